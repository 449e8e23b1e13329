import { AppError } from '../core/errors.ts'
import type { CryptoProvider, SigningKey } from '../crypto/provider.ts'
import { signKeyDocument } from '../envelope/key-document.ts'
import { saveDocument } from './document-store.ts'
import type { KeyStep } from './key-change.ts'
import { activeKey } from './key-view.ts'
import { publishedKeys } from './published-keys.ts'
import { assertSameRoot, type OfflineRoot } from './root-file.ts'

const DAY_S = 86_400
/** Days that a document of an offline root is believed; readers accept no more. */
export const OFFLINE_LIFE_DAYS = 90

/** Signs the keys as they are in this change with a root key and keeps the document, to be served while the root is away. */
export async function signStoredDocument(
  provider: CryptoProvider,
  step: KeyStep,
  signing: SigningKey,
  days: number = OFFLINE_LIFE_DAYS,
): Promise<Date> {
  if (!(Number.isInteger(days) && days >= 1 && days <= OFFLINE_LIFE_DAYS)) {
    throw new AppError('request.invalid', `days: must be a whole number from 1 to ${OFFLINE_LIFE_DAYS}.`)
  }
  const root = activeKey(step.rows, 'root-key')
  const iat = Math.floor(step.nowMs / 1000)
  const exp = iat + days * DAY_S
  const document = await signKeyDocument(provider, { signing }, publishedKeys(step.rows), iat, exp)
  const [issuedAt, expiresAt] = [new Date(iat * 1000), new Date(exp * 1000)]
  await saveDocument(step.tx, root.id, { document, issuedAt, expiresAt })
  step.note('keys.sign_document', root, { expires_at: expiresAt.toISOString() })
  return expiresAt
}

/**
 * Sees to it that readers learn of this change: with the root here every process signs a new document by itself; with the
 * root offline one is signed with the root that the operator brought.
 *
 * @returns whether the change stands in a document, or in the next that a process signs
 */
export async function publishChange(
  provider: CryptoProvider,
  step: KeyStep,
  root: OfflineRoot | undefined,
): Promise<boolean> {
  const row = activeKey(step.rows, 'root-key')
  if (row.wrapped) return true
  if (!root) return false
  assertSameRoot(root, row)
  await signStoredDocument(provider, step, root.signing)
  return true
}

/** The refusal of a change that no reader could follow. */
export function rootIsOffline(): AppError {
  return new AppError(
    'precondition.failed',
    'The root key is offline, so readers cannot learn of a new key. Bring the root file: add --root-file FILE.',
  )
}
