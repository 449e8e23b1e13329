import { LRUCache } from 'lru-cache'
import { type Bytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { CryptoProvider, KemPrivateKey, KemPublicKey, MacKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import { type Db, isUniqueViolation, type Queryable } from '../db/db.ts'
import type { KeyPurpose, KeyWrapper } from '../kms/kms.ts'
import { destroyKeys, findKeys, insertKeys, type StoredKey, unwrapKey, wrapNewKey } from './stored-key.ts'

/** MAC keys stay in memory while the process runs, so that a KMS outage does not stop answers. */
const MAC_KEYS_MAX = 50_000
const KEM_KEYS_MAX = 1_000
/** Milliseconds that an unwrapped decapsulation key stays in memory. */
const KEM_KEY_TTL_MS = 300_000

/** A key that is wrapped but not yet written: `insert` it in the transaction that needs it. */
export interface NewMacKey {
  readonly stored: StoredKey
  /** 64 bytes, for the one who is to hold the key as well; wipe it. */
  readonly secret: Bytes
}

export interface TenantKeys {
  /** The tenant's active vault key, made on first use. */
  vaultKey(tenantId: string): Promise<{ keyId: string; kem: KemPublicKey }>
  /** A vault key to take the place of the active one; not written. */
  newVaultKey(tenantId: string): Promise<StoredKey>
  /**
   * Keeps a vault key from being destroyed until the transaction ends: for whoever writes a record that it guards.
   *
   * @throws {AppError} `vault.unavailable` when it was destroyed already; what was sealed to it must not be kept
   */
  hold(tx: Queryable, tenantId: string, keyId: string): Promise<void>
  /** A decapsulation key of the tenant, kept for at most five minutes. */
  kemPrivateKey(tenantId: string, keyId: string): Promise<KemPrivateKey>
  macKey(tenantId: string, keyId: string): Promise<MacKey>
  newMacKey(tenantId: string): Promise<NewMacKey>
  newRecipientSeed(tenantId: string): Promise<StoredKey & { publicKey: Bytes }>
  insert(tx: Queryable, ...keys: readonly StoredKey[]): Promise<void>
  /** Destroys private halves for good, and with the commit what any process holds of them in memory. */
  destroy(tx: Queryable, tenantId: string, ids: readonly string[]): Promise<void>
  /** Reports whether an encapsulation key is one that this deployment made for itself, or for any tenant. */
  isOurs(kemPublicKey: Uint8Array): Promise<boolean>
}

/** Keeps the keys of tenants: made on first use, wrapped under the deployment's KMS key, unwrapped once. */
export function createTenantKeys(deps: {
  db: Db
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Clock
  feed: Pick<ChangeFeed, 'announce' | 'on'>
}): TenantKeys {
  const { db, wrapper, provider, clock, feed } = deps
  const perf = { now: () => clock.monotonic() }
  const macKeys = new LRUCache<string, Promise<MacKey>>({ max: MAC_KEYS_MAX })
  const kemKeys = new LRUCache<string, Promise<KemPrivateKey>>({
    max: KEM_KEYS_MAX,
    ttl: KEM_KEY_TTL_MS,
    ttlAutopurge: true,
    ttlResolution: 0,
    perf,
  })

  feed.on('recipient', (topicKey) => {
    // MAC keys stay when the feed is lost, as in a KMS outage: nobody asks for one whose recipient has ended.
    if (topicKey === undefined) kemKeys.clear()
    else for (const cache of [macKeys, kemKeys]) forgetTenant(cache, topicKey.split('/')[0] ?? '')
  })

  function forgetTenant(cache: Pick<LRUCache<string, never>, 'keys' | 'delete'>, tenantId: string): void {
    for (const key of cache.keys()) if (key.startsWith(`${tenantId}/`)) cache.delete(key)
  }

  /** One load at a time for each key; a failed one is forgotten. */
  function once<Key>(cache: LRUCache<string, Promise<Key>>, cacheKey: string, load: () => Promise<Key>): Promise<Key> {
    const known = cache.get(cacheKey)
    if (known) return known
    const loading = load()
    cache.set(cacheKey, loading)
    loading.catch(() => cache.delete(cacheKey))
    return loading
  }

  /** A row of another purpose is as good as none. */
  async function open<Key>(
    tenantId: string,
    id: string,
    purposes: readonly KeyPurpose[],
    use: (secret: Bytes) => Key,
  ): Promise<Key> {
    const [stored] = await findKeys(db, tenantId, { id })
    if (!stored || !purposes.includes(stored.purpose))
      throw new AppError('vault.unavailable', 'A key is not available.', { cause: `${id}: no such row` })
    const secret = await unwrapKey(wrapper, stored)
    const key = use(secret)
    wipe(secret)
    return key
  }

  async function newKemKey(tenantId: string, purpose: KeyPurpose): Promise<StoredKey & { publicKey: Bytes }> {
    const seed = provider.randomBytes(sizes.kemSeed)
    const { publicKey } = provider.kemPrivateKey(seed)
    const id = newId('kem', clock.now())
    const stored = await wrapNewKey(wrapper, { id, tenantId, purpose, secret: seed, publicKey }, clock.now())
    wipe(seed)
    return { ...stored, publicKey }
  }

  async function activeVaultKey(tenantId: string): Promise<{ keyId: string; kem: KemPublicKey } | undefined> {
    const keys = await findKeys(db, tenantId, { purpose: 'vault-key' })
    const active = keys.find((key) => key.state === 'active')
    if (!active) return undefined
    const kem = active.publicKey && provider.kemPublicKey(active.publicKey)
    if (!kem)
      throw new AppError('vault.unavailable', 'A key is not available.', { cause: `${active.id}: bad public half` })
    return { keyId: active.id, kem }
  }

  async function makeVaultKey(tenantId: string): Promise<void> {
    const key = await newKemKey(tenantId, 'vault-key')
    try {
      await db.transaction((tx) => insertKeys(tx, [key]))
    } catch (err) {
      if (!isUniqueViolation(err, 'keys_one_active')) throw err // lost the race: the winner's key serves
    }
  }

  return {
    async vaultKey(tenantId) {
      const known = await activeVaultKey(tenantId)
      if (known) return known
      await makeVaultKey(tenantId)
      const now = await activeVaultKey(tenantId)
      if (!now) throw new AppError('vault.unavailable', 'The tenant has no vault key.')
      return now
    },
    newVaultKey: (tenantId) => newKemKey(tenantId, 'vault-key'),
    async hold(tx, tenantId, keyId) {
      const { rows } = await tx.query(
        `select 1 from keys where tenant_id = $1 and id = $2 and purpose = 'vault-key' and wrapped is not null for share`,
        [tenantId, keyId],
      )
      if (rows.length > 0) return
      const options = { cause: `${keyId}: destroyed`, retryAfterS: 1 }
      throw new AppError('vault.unavailable', 'The vault key was replaced meanwhile: try again.', options)
    },
    kemPrivateKey: (tenantId, keyId) =>
      once(kemKeys, `${tenantId}/${keyId}`, () =>
        open(tenantId, keyId, ['vault-key', 'recipient-seed'], (seed) => provider.kemPrivateKey(seed)),
      ),
    macKey: (tenantId, keyId) =>
      once(macKeys, `${tenantId}/${keyId}`, () =>
        open(tenantId, keyId, ['mac-key'], (secret) => provider.macKey(secret)),
      ),
    async newMacKey(tenantId) {
      const secret = provider.randomBytes(sizes.macKey)
      const id = newId('mac', clock.now())
      const stored = await wrapNewKey(wrapper, { id, tenantId, purpose: 'mac-key', secret }, clock.now())
      return { stored, secret }
    },
    newRecipientSeed: (tenantId) => newKemKey(tenantId, 'recipient-seed'),
    insert: (tx, ...keys) => insertKeys(tx, keys),
    async destroy(tx, tenantId, ids) {
      await destroyKeys(tx, tenantId, ids)
      await feed.announce(tx, 'recipient', tenantId)
    },
    async isOurs(kemPublicKey) {
      const { rows } = await db.query(
        `select 1 from keys where purpose in ('vault-key', 'canary', 'object-key', 'v1-key')
         and substring(public from 1 for ${sizes.kemPublicKey}) = $1 limit 1`, // as the index has it
        [kemPublicKey],
      )
      return rows.length > 0
    },
  }
}
