import { type Bytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { type IdPrefix, newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import type { Queryable } from '../db/db.ts'
import type { KeyPurpose, KeyWrapper } from '../kms/kms.ts'
import { findKeys, type KeyState, moveKey, type StoredKey, wrapNewKey } from './stored-key.ts'

/** Which keys a tenant has beside its vault key: for `/encryption/sign`, for stored objects, for envelopes of version 1. */
export type KeySetName = 'sign' | 'object' | 'version-1'

type Part = 'kem' | 'sig' | 'mac'

/**
 * The rows of one set: independent random secrets that are made, retired and replaced together. The first row names the set,
 * and at most one of it is active.
 */
const partsOf: Readonly<Record<KeySetName, readonly (readonly [Part, KeyPurpose])[]>> = {
  sign: [
    ['sig', 'sign-key'],
    ['mac', 'sign-mac-key'],
  ],
  object: [
    ['kem', 'object-key'],
    ['mac', 'object-mac-key'],
  ],
  'version-1': [
    ['kem', 'v1-key'],
    ['sig', 'v1-sign-key'],
    ['mac', 'v1-mac-key'],
  ],
}

const secretBytes: Readonly<Record<Part, number>> = { kem: sizes.kemSeed, sig: sizes.dsaSeed, mac: sizes.macKey }

/** Purposes whose private half is destroyed when the key is retired: nothing is signed with it any more. */
const signingPurposes: readonly KeyPurpose[] = ['sign-key', 'v1-sign-key']

/** The rows of one set, the leading one first. */
export type KeySetRows = readonly [StoredKey, ...StoredKey[]]

/** What anybody of the tenant may see of a set. A part that the set does not have is `null`. */
export interface PublicKeySet {
  /** `rcp_…` */
  readonly id: string
  readonly state: StoredKey['state']
  readonly createdAt: Date
  readonly retiredAt: Date | null
  readonly kem: { keyId: string; publicKey: Bytes } | null
  readonly signing: { keyId: string; publicKey: Bytes } | null
  readonly macKeyId: string
}

export function isKeySetName(word: string): word is KeySetName {
  return Object.hasOwn(partsOf, word)
}

function purposesOf(set: KeySetName): KeyPurpose[] {
  return partsOf[set].map(([, purpose]) => purpose)
}

/** The purpose of the row that names a set. */
function leadingPurpose(set: KeySetName): KeyPurpose {
  return (partsOf[set][0] as readonly [Part, KeyPurpose])[1]
}

const suffixOf = (id: string): string => id.slice(id.indexOf('_') + 1)

/**
 * The id of another key of the same set. All ids of a set end in the same 26 characters, so that an envelope or a signature
 * that names one of them names them all.
 */
export function siblingId(id: string, prefix: IdPrefix): string {
  return `${prefix}_${suffixOf(id)}`
}

/** The row of a set with this purpose. @throws {AppError} `vault.unavailable` when it is missing */
export function rowOf(rows: KeySetRows, purpose: KeyPurpose): StoredKey {
  const row = rows.find((one) => one.purpose === purpose)
  if (!row)
    throw new AppError('vault.unavailable', 'A key is not available.', { cause: `${rows[0].id} without ${purpose}` })
  return row
}

function publicHalf(provider: CryptoProvider, part: Part, secret: Uint8Array): { publicKey?: Bytes } {
  if (part === 'kem') return { publicKey: provider.kemPrivateKey(secret).publicKey }
  if (part === 'sig') return { publicKey: provider.signingKey(secret).publicKey }
  return {}
}

/** Makes the rows of a new set, wrapped and active. Writes nothing. @throws {AppError} `kms.unavailable` */
export async function makeKeySet(
  { provider, wrapper }: { provider: CryptoProvider; wrapper: KeyWrapper },
  tenantId: string,
  set: KeySetName,
  nowMs: number,
): Promise<KeySetRows> {
  const setId = newId('rcp', nowMs)
  const made: StoredKey[] = []
  for (const [part, purpose] of partsOf[set]) {
    const secret = provider.randomBytes(secretBytes[part])
    try {
      const key = { id: siblingId(setId, part), tenantId, purpose, secret, ...publicHalf(provider, part, secret) }
      made.push(await wrapNewKey(wrapper, key, nowMs))
    } finally {
      wipe(secret)
    }
  }
  return made as unknown as KeySetRows
}

/** Reads whole sets in one snapshot, newest first: all, the one whose leading key has that id, or those in a state. */
export async function findSets(
  db: Queryable,
  tenantId: string,
  set: KeySetName,
  { id, state }: { id?: string; state?: KeyState } = {},
): Promise<KeySetRows[]> {
  const ids = id === undefined ? undefined : partsOf[set].map(([part]) => siblingId(id, part))
  const rows = await findKeys(db, tenantId, { id: ids, purpose: purposesOf(set), state })
  const sets: KeySetRows[] = []
  for (const parts of Map.groupBy(rows, (row) => suffixOf(row.id)).values()) {
    const leading = parts.find(({ purpose }) => purpose === leadingPurpose(set))
    if (!leading || (id !== undefined && leading.id !== id)) continue
    sets.push([leading, ...parts.filter((part) => part !== leading)])
  }
  return sets.sort(([a], [b]) => (a.id < b.id ? 1 : -1))
}

/** Makes whoever makes or replaces sets of a tenant wait for one another, until the transaction ends. */
export async function lockKeySets(tx: Queryable, tenantId: string): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('sealwire/tenant-keys/' || $1, 0))`, [tenantId])
}

/** Retires the active set, if there is one, and destroys its private signing key; returns the id of its leading key. */
export async function retireActiveSet(
  tx: Queryable,
  tenantId: string,
  set: KeySetName,
  nowMs: number,
): Promise<string | null> {
  const [rows] = await findSets(tx, tenantId, set, { state: 'active' })
  if (!rows) return null
  for (const row of rows) {
    const dropPrivateHalf = signingPurposes.includes(row.purpose)
    await moveKey(tx, row, { state: 'retired', notAfter: new Date(nowMs), dropPrivateHalf }, nowMs)
  }
  return rows[0].id
}

/** Takes the public halves out of the rows of a set. */
export function publicKeySet(rows: KeySetRows): PublicKeySet {
  const [{ id, state, notBefore, notAfter }] = rows
  const half = (part: Part) => {
    const row = rows.find((one) => one.id === siblingId(id, part))
    return row?.publicKey ? { keyId: row.id, publicKey: row.publicKey } : null
  }
  return {
    id: siblingId(id, 'rcp'),
    state,
    createdAt: notBefore,
    retiredAt: notAfter,
    kem: half('kem'),
    signing: half('sig'),
    macKeyId: siblingId(id, 'mac'),
  }
}
