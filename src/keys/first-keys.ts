import { wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { type IdPrefix, newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import type { Db, Queryable } from '../db/db.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { makeCanary } from './canary.ts'
import { DEPLOYMENT, insertKeys, type KeyState, type StoredKey, wrapNewKey } from './stored-key.ts'

export interface NewKeyDeps {
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Pick<Clock, 'now'>
}

/** Bytes of the HMAC keys of the deployment: pepper, cursors, audit head. */
const MAC_SECRET = 32

/** Each key of the deployment: its id prefix, the size of its secret, and whether it signs. */
const made = {
  'root-key': { prefix: 'root', length: sizes.dsaSeed, signs: true },
  'issuer-key': { prefix: 'sig', length: sizes.dsaSeed, signs: true },
  'audit-key': { prefix: 'adk', length: sizes.dsaSeed, signs: true },
  'api-key-pepper': { prefix: 'pep', length: MAC_SECRET, signs: false },
  'cursor-key': { prefix: 'cur', length: MAC_SECRET, signs: false },
  'audit-head-key': { prefix: 'hed', length: MAC_SECRET, signs: false },
} as const satisfies Readonly<Record<string, { prefix: IdPrefix; length: number; signs: boolean }>>

/** What a key of the deployment is for, the canary apart. */
export type DeploymentPurpose = keyof typeof made

export const deploymentPurposes = Object.keys(made) as readonly DeploymentPurpose[]

/** Makes and wraps a key of the deployment. Writes nothing. */
export async function newDeploymentKey(
  { wrapper, provider, clock }: NewKeyDeps,
  purpose: DeploymentPurpose,
  state: KeyState = 'active',
): Promise<StoredKey> {
  const { prefix, length, signs } = made[purpose]
  const nowMs = clock.now()
  const secret = provider.randomBytes(length)
  try {
    const publicKey = signs ? { publicKey: provider.signingKey(secret).publicKey } : {}
    const id = newId(prefix, nowMs)
    return await wrapNewKey(wrapper, { id, tenantId: DEPLOYMENT, purpose, secret, state, ...publicKey }, nowMs)
  } finally {
    wipe(secret)
  }
}

/** Makes those who write the keys of the deployment wait for one another, until the transaction ends. */
export async function lockDeploymentKeys(tx: Queryable): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtext('sealwire/first-keys'))`)
}

/** Writes the first keys, unless another process was faster; the wraps are made before, so that the lock is short. */
export async function writeFirstKeys(deps: NewKeyDeps & { db: Db }): Promise<void> {
  const { wrapper, provider, clock } = deps
  const keys: StoredKey[] = []
  for (const purpose of deploymentPurposes) keys.push(await newDeploymentKey(deps, purpose))
  keys.push(await makeCanary(provider, wrapper, clock.now()))
  await deps.db.transaction(async (tx) => {
    await lockDeploymentKeys(tx)
    if (await hasKeys(tx)) return
    await insertKeys(tx, keys)
  })
}

/** Reports whether the database has keys; only without any may a new key wrapper be made for it. */
export async function hasKeys(db: Queryable): Promise<boolean> {
  const { rows } = await db.query(`select 1 from keys limit 1`)
  return rows.length > 0
}
