import type { Caller } from '../audit/audit.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { KemPublicKey, MacKey, VerifyKey } from '../crypto/provider.ts'
import { createCache } from '../db/cache.ts'
import type { ReaderRecipient } from '../envelope/open.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import type { SigningPair } from '../envelope/sign-verified.ts'
import { ML_KEM_SUITE } from '../envelope/suites.ts'
import {
  createKeySetChanges,
  type KeySetDeps,
  keySetEvent,
  keySetTopic,
  type RotatedKeySet,
} from './key-set-changes.ts'
import { createOpenedKeys } from './opened-keys.ts'
import { type StoredKey, unwrapKey } from './stored-key.ts'
import {
  findSets,
  isKeySetName,
  type KeySetName,
  type KeySetRows,
  type PublicKeySet,
  publicKeySet,
  rowOf,
  siblingId,
} from './tenant-key-sets.ts'

const ACTIVE_SETS_MAX = 10_000
/** Milliseconds that what is active is believed, should an announcement ever be lost. */
const ACTIVE_SET_TTL_MS = 300_000

/** A pair that signs, and the MAC key beside it. */
export interface SigningKeySet extends SigningPair {
  readonly keyId: string
  readonly macKeyId: string
  readonly mac: MacKey
}

/** The keys of a tenant's envelopes of version 1. */
export interface Version1KeySet extends SigningKeySet {
  readonly recipientId: string
  readonly kemKeyId: string
  readonly kem: KemPublicKey
}

/** What a reader of version 1 needs; wipe `kemSeed` and `hmacSecret`. */
export interface ExportedVersion1Keys {
  readonly keys: PublicKeySet
  readonly kemSeed: Bytes
  /** 64 bytes; the HMAC key is its SHA-512. */
  readonly hmacSecret: Bytes
}

export interface TenantSigningKeys {
  /** The active keys of `/encryption/sign`, made on first use. */
  signingKeys(tenantId: string): Promise<SigningKeySet>
  /** The public half and the MAC key of a set that signs or signed; `undefined` for every other pair of ids alike. */
  verifyingKeys(
    tenantId: string,
    ids: { keyId: string; macKeyId: string },
  ): Promise<{ verify: VerifyKey; mac: MacKey; state: ReadableState } | undefined>
  /** To whom the tenant's objects are sealed now; made on first use. */
  objectRecipient(tenantId: string): Promise<SealingRecipient>
  /** Who opens an object that was sealed to this KEM key; `undefined` when it is none of the tenant's object keys. */
  objectReader(tenantId: string, kemKeyId: string): Promise<ReaderRecipient | undefined>
  /** The active keys of envelopes of version 1, made on first use. */
  version1Keys(tenantId: string): Promise<Version1KeySet>
  /** The sets of the tenant, newest first: all, or `limit` of those older than the set `after`. */
  list(tenantId: string, set: KeySetName, page?: { limit: number; after: string | undefined }): Promise<PublicKeySet[]>
  /**
   * Hands out what opens envelopes of version 1; on record before it is returned.
   *
   * @throws {AppError} `object.not_found`
   */
  exportVersion1(caller: Caller, tenantId: string, setId: string): Promise<ExportedVersion1Keys>
  /**
   * Makes a new set active. What was sealed to the old one still opens and what it signed still verifies; its private
   * signing key is destroyed.
   *
   * @throws {AppError} `object.not_found` for a set that no tenant has
   */
  rotate(caller: Caller, tenantId: string, set: string): Promise<RotatedKeySet>
}

const notFound = () => new AppError('object.not_found', 'No such object.')
const unavailable = (cause: string) => new AppError('vault.unavailable', 'A key is not available.', { cause })

/** A set in one of these still opens or verifies. */
type ReadableState = 'active' | 'retired'

/** Keeps the keys that tenants sign with and are sealed to: made on first use, replaced a set at a time. */
export function createTenantSigningKeys(deps: KeySetDeps): TenantSigningKeys {
  const { db, wrapper, provider, clock, feed, audit } = deps
  const changes = createKeySetChanges(deps)
  const opened = createOpenedKeys(deps)
  const active = createCache<KeySetRows>({
    feed,
    topic: 'tenant_key',
    max: ACTIVE_SETS_MAX,
    ttlMs: ACTIVE_SET_TTL_MS,
    load: loadActive,
    now: () => clock.monotonic(),
  })
  feed.on('tenant_key', (topicKey) => opened.forget(topicKey?.split('/')[0]))

  async function loadActive(topicKey: string): Promise<KeySetRows | undefined> {
    const [tenantId = '', set = ''] = topicKey.split('/')
    if (!isKeySetName(set)) return undefined
    const [known] = await findSets(db, tenantId, set, { state: 'active' })
    if (known) return known
    await changes.makeFirst(tenantId, set)
    const [made] = await findSets(db, tenantId, set, { state: 'active' })
    return made
  }

  async function activeSet(tenantId: string, set: KeySetName): Promise<KeySetRows> {
    const rows = await active.get(keySetTopic(tenantId, set))
    if (!rows) throw unavailable(`${tenantId}: no keys for ${set}`)
    return rows
  }

  /** A set by the id of its leading key; what leads another set is as good as none. */
  async function readableSet(
    tenantId: string,
    set: KeySetName,
    id: string,
  ): Promise<{ rows: KeySetRows; state: ReadableState } | undefined> {
    const [rows] = await findSets(db, tenantId, set, { id })
    const state = rows?.[0].state
    return rows && (state === 'active' || state === 'retired') ? { rows, state } : undefined
  }

  function verifyKeyOf({ id, publicKey }: StoredKey): VerifyKey {
    const key = publicKey && provider.verifyKey(publicKey)
    if (!key) throw unavailable(`${id}: bad public half`)
    return key
  }

  function kemPublicKeyOf({ id, publicKey }: StoredKey): KemPublicKey {
    const key = publicKey && provider.kemPublicKey(publicKey)
    if (!key) throw unavailable(`${id}: bad public half`)
    return key
  }

  async function signingPart(keyRow: StoredKey, macRow: StoredKey): Promise<SigningKeySet> {
    const [pair, mac] = await Promise.all([opened.signing(keyRow), opened.mac(macRow)])
    return { ...pair, keyId: keyRow.id, macKeyId: macRow.id, mac }
  }

  const objectIds = ({ tenantId, id }: StoredKey, macRow: StoredKey) => ({
    tenantId,
    recipientId: siblingId(id, 'rcp'),
    suite: ML_KEM_SUITE,
    kemKeyId: id,
    macKeyId: macRow.id,
  })

  return {
    async signingKeys(tenantId) {
      const rows = await activeSet(tenantId, 'sign')
      return signingPart(rowOf(rows, 'sign-key'), rowOf(rows, 'sign-mac-key'))
    },
    async verifyingKeys(tenantId, { keyId, macKeyId }) {
      if (macKeyId !== siblingId(keyId, 'mac')) return undefined
      const found = await readableSet(tenantId, 'sign', keyId)
      if (!found) return undefined
      const { rows, state } = found
      return { verify: verifyKeyOf(rows[0]), mac: await opened.mac(rowOf(rows, 'sign-mac-key')), state }
    },
    async objectRecipient(tenantId) {
      const rows = await activeSet(tenantId, 'object')
      const [row, macRow] = [rowOf(rows, 'object-key'), rowOf(rows, 'object-mac-key')]
      return { ...objectIds(row, macRow), kem: kemPublicKeyOf(row), mac: await opened.mac(macRow) }
    },
    async objectReader(tenantId, kemKeyId) {
      const found = await readableSet(tenantId, 'object', kemKeyId)
      if (!found) return undefined
      const [row, macRow] = [found.rows[0], rowOf(found.rows, 'object-mac-key')]
      const [kem, mac] = await Promise.all([opened.kem(row), opened.mac(macRow)])
      return { ...objectIds(row, macRow), kem, mac }
    },
    async version1Keys(tenantId) {
      const rows = await activeSet(tenantId, 'version-1')
      const row = rowOf(rows, 'v1-key')
      const signing = await signingPart(rowOf(rows, 'v1-sign-key'), rowOf(rows, 'v1-mac-key'))
      return { ...signing, recipientId: siblingId(row.id, 'rcp'), kemKeyId: row.id, kem: kemPublicKeyOf(row) }
    },
    async list(tenantId, set, page) {
      const sets = (await findSets(db, tenantId, set)).map(publicKeySet)
      if (!page) return sets
      return sets.filter(({ id }) => page.after === undefined || id < page.after).slice(0, page.limit)
    },
    async exportVersion1(caller, tenantId, setId) {
      const found = await readableSet(tenantId, 'version-1', siblingId(setId, 'kem'))
      if (!found) throw notFound()
      const { rows } = found
      const [row] = rows
      const secrets = [row, rowOf(rows, 'v1-mac-key')].map((one) => unwrapKey(wrapper, one))
      const [kemSeed, hmacSecret] = (await Promise.all(secrets)) as [Bytes, Bytes]
      try {
        await audit.record(keySetEvent('tenant_keys.export', caller, 'version-1', row.id))
      } catch (err) {
        wipe(kemSeed, hmacSecret)
        throw err
      }
      return { keys: publicKeySet(rows), kemSeed, hmacSecret }
    },
    async rotate(caller, tenantId, set) {
      if (!isKeySetName(set)) throw notFound()
      const rotated = await changes.rotate(caller, tenantId, set)
      active.forget(keySetTopic(tenantId, set))
      opened.forget(tenantId)
      return rotated
    },
  }
}
