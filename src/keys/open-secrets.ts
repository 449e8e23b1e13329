import { equalBytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider, MacKey, SigningKey, VerifyKey } from '../crypto/provider.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { type StoredKey, unwrapKey } from './stored-key.ts'

/** A signing key with both halves. */
export interface SigningPair {
  readonly keyId: string
  readonly signing: SigningKey
  readonly verify: VerifyKey
}

export interface NamedMacKey {
  readonly id: string
  readonly mac: MacKey
}

/** Private halves in memory, by key id, and why those that are missing did not open. */
export interface OpenSecrets {
  readonly pairs: ReadonlyMap<string, SigningPair>
  readonly macs: ReadonlyMap<string, NamedMacKey>
  readonly failures: ReadonlyMap<string, unknown>
}

/** What a process holds of a key's private half: what it uses, what it will use next, and what old digests need. */
export function isHeld({ purpose, state, wrapped }: StoredKey): boolean {
  if (purpose === 'canary') return false
  if (purpose === 'root-key' && wrapped === null) return false // offline
  return state === 'active' || state === 'next' || (state === 'retired' && purpose === 'api-key-pepper')
}

/** Names the key that did not open, never bytes. */
function explained({ id, purpose, kmsKeyId }: StoredKey, cause: unknown): AppError {
  if (cause instanceof AppError && cause.message.includes(id)) return cause
  const code = cause instanceof AppError ? cause.code : 'internal'
  return new AppError(code, `Key ${id} (${purpose}), wrapped under KMS key ${kmsKeyId}, did not open.`, { cause })
}

/** Opens private halves once each and forgets those that are no longer used. */
export function createSecretOpener({ wrapper, provider }: { wrapper: KeyWrapper; provider: CryptoProvider }) {
  const pairs = new Map<string, SigningPair>()
  const macs = new Map<string, NamedMacKey>()
  const failures = new Map<string, unknown>()
  const inFlight = new Map<string, Promise<void>>()

  async function openOne(key: StoredKey): Promise<void> {
    const secret = await unwrapKey(wrapper, key)
    try {
      if (key.publicKey === null) {
        macs.set(key.id, { id: key.id, mac: provider.macKey(secret) })
        return
      }
      const signing = provider.signingKey(secret)
      const verify = provider.verifyKey(signing.publicKey)
      if (!verify || !equalBytes(verify.bytes, key.publicKey))
        throw new AppError('vault.unavailable', `The halves of key ${key.id} do not belong together.`)
      pairs.set(key.id, { keyId: key.id, signing, verify })
    } finally {
      wipe(secret)
    }
  }

  function start(key: StoredKey): Promise<void> {
    const work = openOne(key)
      .then(() => void failures.delete(key.id))
      .catch((err: unknown) => void failures.set(key.id, explained(key, err)))
      .finally(() => inFlight.delete(key.id))
    inFlight.set(key.id, work)
    return work
  }

  /** Resolves when each of them is open or has failed; who asks while one is being opened waits for the same. */
  async function openAll(rows: readonly StoredKey[]): Promise<void> {
    const held = rows.filter(isHeld)
    const ids = new Set(held.map(({ id }) => id))
    for (const known of [pairs, macs, failures]) for (const id of known.keys()) if (!ids.has(id)) known.delete(id)
    const missing = held.filter(({ id }) => !pairs.has(id) && !macs.has(id))
    await Promise.all(missing.map((key) => inFlight.get(key.id) ?? start(key)))
  }

  /** Resolves when nothing is being opened. */
  async function settled(): Promise<void> {
    await Promise.all(inFlight.values())
  }

  return { openAll, settled, secrets: { pairs, macs, failures } as OpenSecrets }
}
