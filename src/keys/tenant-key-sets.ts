import { type Bytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { type IdPrefix, newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import type { Queryable } from '../db/db.ts'
import type { KeyPurpose, KeyWrapper } from '../kms/kms.ts'
import { findKeys, type StoredKey, wrapNewKey } from './stored-key.ts'

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
export function leadingPurpose(set: KeySetName): KeyPurpose {
  return (partsOf[set][0] as readonly [Part, KeyPurpose])[1]
}

/**
 * The id of another key of the same set. All ids of a set end in the same 26 characters, so that an envelope or a signature
 * that names one of them names them all.
 */
export function siblingId(id: string, prefix: IdPrefix): string {
  return `${prefix}_${id.slice(id.indexOf('_') + 1)}`
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
    const key = { id: siblingId(setId, part), tenantId, purpose, secret, ...publicHalf(provider, part, secret) }
    made.push(await wrapNewKey(wrapper, key, nowMs))
    wipe(secret)
  }
  return made as unknown as KeySetRows
}

/** All rows of the set that `leading` belongs to. */
export async function findSiblings(db: Queryable, leading: StoredKey, set: KeySetName): Promise<KeySetRows> {
  const others: StoredKey[] = []
  for (const [part, purpose] of partsOf[set].slice(1))
    others.push(...(await findKeys(db, leading.tenantId, { id: siblingId(leading.id, part), purpose })))
  return [leading, ...others]
}

/** The active set of a tenant, if it was made. */
export async function findActiveSet(db: Queryable, tenantId: string, set: KeySetName): Promise<KeySetRows | undefined> {
  const found = await findKeys(db, tenantId, { purpose: leadingPurpose(set) })
  const leading = found.find(({ state }) => state === 'active')
  return leading && findSiblings(db, leading, set)
}

/** Retires the active rows of a set and destroys its private signing key; returns the id of its leading row. */
export async function retireActiveSet(
  tx: Queryable,
  tenantId: string,
  set: KeySetName,
  now: Date,
): Promise<string | null> {
  // Serialises with another rotation, whose new rows this one must see.
  await tx.query(`select pg_advisory_xact_lock(hashtext($1))`, [`sealwire/tenant-keys/${tenantId}`])
  const { rows } = await tx.query<{ id: string; purpose: KeyPurpose }>(
    `update keys set state = 'retired', not_after = $3, wrapped = case when purpose = any($4) then null else wrapped end
     where tenant_id = $1 and purpose = any($2) and state = 'active' returning id, purpose`,
    [tenantId, purposesOf(set), now, signingPurposes],
  )
  return rows.find(({ purpose }) => purpose === leadingPurpose(set))?.id ?? null
}

/** Takes the public halves out of the rows of a set. */
export function publicKeySet(rows: KeySetRows): PublicKeySet {
  const [{ id, state, notBefore }] = rows
  const half = (part: Part) => {
    const row = rows.find((one) => one.id === siblingId(id, part))
    return row?.publicKey ? { keyId: row.id, publicKey: row.publicKey } : null
  }
  return {
    id: siblingId(id, 'rcp'),
    state,
    createdAt: notBefore,
    kem: half('kem'),
    signing: half('sig'),
    macKeyId: siblingId(id, 'mac'),
  }
}
