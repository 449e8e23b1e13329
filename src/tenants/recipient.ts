import type { Audit, AuditEvent } from '../audit/audit.ts'
import type { Bytes } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import { findSuite, type Suite } from '../envelope/suites.ts'
import type { TenantKeys } from '../keys/tenant-keys.ts'

export type Custody = 'client' | 'server'

/** To whom answers of one API key are sealed; private halves and MAC keys are rows of `keys`. */
export interface Recipient {
  id: string
  tenantId: string
  apiKeyId: string
  name: string
  /** Who holds the private half. */
  custody: Custody
  suite: string
  state: 'pending' | 'active' | 'retired' | 'revoked'
  kemKeyId: string
  kemPublicKey: Bytes
  macKeyId: string
  createdAt: Date
  confirmedAt: Date | null
  /** When a pending one dies. */
  expiresAt: Date | null
}

/** Whom an answer is sealed to, and who can open it. */
export type KnownRecipient = SealingRecipient & { readonly custody: Custody }

export interface RecipientsDeps {
  db: Db
  feed: ChangeFeed
  tenantKeys: TenantKeys
  provider: CryptoProvider
  audit: Audit
  clock: Pick<Clock, 'now'>
}

/** The name under which a recipient is cached and its changes are announced. */
export function recipientTopicKey(tenantId: string, apiKeyId: string): string {
  return `${tenantId}/${apiKeyId}`
}

/**
 * Finds the suite of a recipient that is stored.
 *
 * @throws {AppError} `vault.unavailable` when a newer release stored it
 */
export function suiteOf(name: string): Suite {
  const suite = findSuite(name)
  if (!suite) throw new AppError('vault.unavailable', 'A key is not available.', { cause: `unknown suite: ${name}` })
  return suite
}

/** The audit row of a change to a recipient. */
export function recipientEvent(
  action: 'recipients.enroll' | 'recipients.confirm' | 'recipients.revoke',
  caller: Pick<AuditEvent, 'tenantId' | 'actor' | 'requestId'>,
  recipient: Recipient,
  replaced?: Recipient,
): AuditEvent {
  const { id, apiKeyId, name, custody, suite, kemKeyId, macKeyId } = recipient
  const keys = { kem_key_id: kemKeyId, mac_key_id: macKeyId, ...(replaced && { replaced_id: replaced.id }) }
  const detail = { api_key_id: apiKeyId, name, custody, suite, ...keys }
  return { ...caller, action, outcome: 'success', object: { kind: 'recipient', id }, detail }
}
