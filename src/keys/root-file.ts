import { z } from 'zod'
import { fromBase64Url, toBase64Url } from '../core/base64.ts'
import { type Bytes, equalBytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider, SigningKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { rootFingerprint } from '../envelope/key-document.ts'

const TYPE = 'sealwire-root-key'
const WARNING = 'This is the private root key, unencrypted. Whoever reads it can vouch for any signing key.'
const MAX_CHARACTERS = 16_384

/** A root key outside the database. */
export interface OfflineRoot {
  readonly keyId: string
  readonly seed: Secret<Bytes>
  readonly signing: SigningKey
}

const RootFile = z.strictObject({
  type: z.literal(TYPE),
  version: z.literal(1),
  warning: z.string(),
  key_id: z.string().min(1).max(64),
  fingerprint: z.string().length(64),
  seed: z.string().length(43),
})

/** Writes the file that holds a root key: JSON, not encrypted; the one who stores it decides how. */
export function writeRootFile(provider: CryptoProvider, keyId: string, seed: Uint8Array): Secret<string> {
  const fingerprint = rootFingerprint(provider, provider.signingKey(seed).publicKey)
  const file = { type: TYPE, version: 1, warning: WARNING, key_id: keyId, fingerprint, seed: toBase64Url(seed) }
  return new Secret(`${JSON.stringify(file, null, 2)}\n`)
}

/**
 * Reads a root key file.
 *
 * @throws {AppError} `request.invalid`; the message names members, never what they hold
 */
export function parseRootFile(provider: CryptoProvider, text: Secret<string>): OfflineRoot {
  const refuse = (why: string) => new AppError('request.invalid', `This is not a root key file: ${why}.`)
  if (text.reveal().length > MAX_CHARACTERS) throw refuse('it is too long')
  let json: unknown
  try {
    json = parseStrictJson(text.reveal())
  } catch {
    throw refuse('it is not JSON') // the reason may quote the text, and the text holds the key
  }
  const parsed = RootFile.safeParse(json)
  if (!parsed.success) {
    throw refuse(parsed.error.issues.map(({ path }) => path.join('.') || 'the whole').join(', '))
  }
  const seed = fromBase64Url(parsed.data.seed)
  if (seed?.length !== sizes.dsaSeed) throw refuse('seed')
  const signing = provider.signingKey(seed)
  if (rootFingerprint(provider, signing.publicKey) !== parsed.data.fingerprint) {
    throw refuse('seed and fingerprint do not belong together')
  }
  return { keyId: parsed.data.key_id, seed: new Secret(seed), signing }
}

/**
 * Checks that a root file is the root of this deployment.
 *
 * @throws {AppError} `precondition.failed`; names both keys
 */
export function assertSameRoot(root: OfflineRoot, row: { id: string; publicKey: Bytes | null }): void {
  if (row.publicKey && equalBytes(root.signing.publicKey, row.publicKey)) return
  throw new AppError(
    'precondition.failed',
    `The file holds root ${root.keyId}, but the root of this deployment is ${row.id}. Bring the file of ${row.id}.`,
  )
}
