import { LRUCache } from 'lru-cache'
import { type Bytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import type { CryptoProvider, KemPrivateKey, MacKey } from '../crypto/provider.ts'
import type { Queryable } from '../db/db.ts'
import type { SigningPair } from '../envelope/sign-verified.ts'
import { version1MacKey } from '../envelope/version-1.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { findKeys, type StoredKey, unwrapKey } from './stored-key.ts'

/** Signing and MAC keys stay in memory, as the issuer's do, so that a KMS outage stops nobody who signs. */
const SIGNING_KEYS_MAX = 10_000
const KEM_KEYS_MAX = 1_000
/** Milliseconds that an unwrapped decapsulation key stays in memory. */
const KEM_KEY_TTL_MS = 300_000

/** Private keys in memory, unwrapped once for each row. */
export interface OpenedKeys {
  signing(row: StoredKey): Promise<SigningPair>
  mac(row: StoredKey): Promise<MacKey>
  /** Kept for at most five minutes. */
  kem(row: StoredKey): Promise<KemPrivateKey>
  /** Forgets the keys of one tenant; of all, those that only open. */
  forget(tenantId: string | undefined): void
}

export function createOpenedKeys(deps: {
  db: Queryable
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Pick<Clock, 'monotonic'>
}): OpenedKeys {
  const { db, wrapper, provider, clock } = deps
  const signingKeys = new LRUCache<string, Promise<SigningPair>>({ max: SIGNING_KEYS_MAX })
  const macKeys = new LRUCache<string, Promise<MacKey>>({ max: SIGNING_KEYS_MAX })
  const kemKeys = new LRUCache<string, Promise<KemPrivateKey>>({
    max: KEM_KEYS_MAX,
    ttl: KEM_KEY_TTL_MS,
    ttlAutopurge: true,
    ttlResolution: 0,
    perf: { now: () => clock.monotonic() },
  })

  /** A row that was read a while ago may have been wrapped under another KMS key since. */
  async function unwrapNow(row: StoredKey): Promise<Bytes> {
    try {
      return await unwrapKey(wrapper, row)
    } catch (err) {
      const [now] = await findKeys(db, row.tenantId, { id: row.id })
      if (!now?.wrapped || now.kmsKeyId === row.kmsKeyId) throw err
      return unwrapKey(wrapper, now)
    }
  }

  /** One unwrap at a time for each row; a failed one is not kept. */
  function open<Key>(cache: LRUCache<string, Promise<Key>>, row: StoredKey, use: (secret: Bytes) => Key): Promise<Key> {
    const cacheKey = `${row.tenantId}/${row.id}`
    const known = cache.get(cacheKey)
    if (known) return known
    const opening = unwrapNow(row).then((secret) => {
      try {
        return use(secret)
      } finally {
        wipe(secret)
      }
    })
    cache.set(cacheKey, opening)
    opening.catch(() => cache.delete(cacheKey))
    return opening
  }

  return {
    signing: (row) => open(signingKeys, row, (seed) => pairOf(provider, seed)),
    mac: (row) => open(macKeys, row, (secret) => provider.macKey(macBytes(provider, row, secret))),
    kem: (row) => open(kemKeys, row, (seed) => provider.kemPrivateKey(seed)),
    forget(tenantId) {
      if (tenantId === undefined) {
        kemKeys.clear()
        return
      }
      for (const cache of [signingKeys, macKeys, kemKeys])
        for (const key of cache.keys()) if (key.startsWith(`${tenantId}/`)) cache.delete(key)
    },
  }
}

function pairOf(provider: CryptoProvider, seed: Bytes): SigningPair {
  const signing = provider.signingKey(seed)
  const verify = provider.verifyKey(signing.publicKey)
  if (!verify) throw new Error('Not a verification key') // never: it was made just now
  return { signing, verify }
}

/** The HMAC key of a row: its secret, but for version 1, where it is the SHA-512 of it. */
function macBytes(provider: CryptoProvider, { purpose }: StoredKey, secret: Bytes): Bytes {
  return purpose === 'v1-mac-key' ? version1MacKey(provider, secret) : secret
}
