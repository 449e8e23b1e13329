import { equalBytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { type IdPrefix, newId } from '../core/ids.ts'
import type { CryptoProvider, MacKey, SigningKey, VerifyKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import type { Db, Queryable } from '../db/db.ts'
import { type KeyDocument, type PublishedKey, rootFingerprint, signKeyDocument } from '../envelope/key-document.ts'
import type { IssuerKey } from '../envelope/open.ts'
import type { KeyPurpose, KeyWrapper } from '../kms/kms.ts'
import { checkCanary, makeCanary } from './canary.ts'
import { DEPLOYMENT, findKeys, insertKeys, type StoredKey, unwrapKey, wrapNewKey } from './stored-key.ts'

/** Seconds that a key document is believed, and after which this process signs a new one. */
const DOCUMENT_LIFE_S = 7 * 86_400
const DOCUMENT_RENEWAL_S = 86_400

/** Bytes of the HMAC keys of the deployment: pepper, cursors, audit head. */
const MAC_SECRET = 32

/** Each key of the deployment: its id prefix and the size of its secret. */
const made = [
  ['root-key', 'root', sizes.dsaSeed],
  ['issuer-key', 'sig', sizes.dsaSeed],
  ['api-key-pepper', 'pep', MAC_SECRET],
  ['cursor-key', 'cur', MAC_SECRET],
  ['audit-head-key', 'hed', MAC_SECRET],
] as const satisfies readonly (readonly [KeyPurpose, IdPrefix, number])[]

export interface DeploymentKeys {
  /** `b64u(SHA-384(root public key))`: what a recipient pins. */
  readonly rootFingerprint: string
  readonly issuer: { keyId: string; signing: SigningKey; verify: VerifyKey }
  readonly pepper: { id: string; mac: MacKey }
  readonly cursor: { id: string; mac: MacKey }
  readonly auditHead: { id: string; mac: MacKey }
  /** The signed key document; signed anew once a day, so that it never has less than six days to live. */
  document(): Promise<KeyDocument>
  issuers(): ReadonlyMap<string, IssuerKey>
  /** Opens the canary again: resolves while the key wrapper works. @throws {AppError} as the start does */
  probe(): Promise<void>
}

export interface DeploymentKeysDeps {
  db: Db
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Pick<Clock, 'now'>
}

async function makeKeys({ wrapper, provider, clock }: DeploymentKeysDeps): Promise<StoredKey[]> {
  const nowMs = clock.now()
  const keys: StoredKey[] = []
  for (const [purpose, prefix, length] of made) {
    const secret = provider.randomBytes(length)
    const isSigning = purpose === 'root-key' || purpose === 'issuer-key'
    const key = { id: newId(prefix, nowMs), tenantId: DEPLOYMENT, purpose, secret }
    const publicKey = isSigning ? { publicKey: provider.signingKey(secret).publicKey } : {}
    keys.push(await wrapNewKey(wrapper, { ...key, ...publicKey }, nowMs))
    wipe(secret)
  }
  return [...keys, await makeCanary(provider, wrapper, nowMs)]
}

/** Writes the first keys, unless another process was faster; the wraps are made before, so that the lock is short. */
async function writeFirstKeys(deps: DeploymentKeysDeps): Promise<void> {
  const keys = await makeKeys(deps)
  await deps.db.transaction(async (tx) => {
    await tx.query(`select pg_advisory_xact_lock(hashtext('sealwire/first-keys'))`)
    if (await hasKeys(tx)) return
    await insertKeys(tx, keys)
  })
}

/** Reports whether the database has keys; only without any may a new key wrapper be made for it. */
export async function hasKeys(db: Queryable): Promise<boolean> {
  const { rows } = await db.query(`select 1 from keys limit 1`)
  return rows.length > 0
}

function activeKey(keys: readonly StoredKey[], purpose: KeyPurpose): StoredKey {
  const key = keys.find((one) => one.purpose === purpose && one.state === 'active')
  if (!key)
    throw new AppError(
      'vault.unavailable',
      `The database has keys, but no active ${purpose}; refusing to make another.`,
    )
  return key
}

/**
 * Opens the keys of the deployment and keeps them in memory, so that a KMS outage does not stop answers. An empty
 * database gets its first keys, together with the canary; in any other, a key that is missing stops the start.
 *
 * @throws {AppError} `kms.unavailable` or `vault.unavailable`; the message names ids of keys, never bytes
 */
export async function openDeploymentKeys(deps: DeploymentKeysDeps): Promise<DeploymentKeys> {
  const { db, wrapper, provider, clock } = deps
  if (!(await hasKeys(db))) await writeFirstKeys(deps)
  const stored = await findKeys(db, DEPLOYMENT)
  await checkCanary(provider, wrapper, activeKey(stored, 'canary'))

  async function macKey(purpose: KeyPurpose): Promise<{ id: string; mac: MacKey }> {
    const key = activeKey(stored, purpose)
    const secret = await unwrapKey(wrapper, key)
    const mac = provider.macKey(secret)
    wipe(secret)
    return { id: key.id, mac }
  }

  async function signingKey(purpose: KeyPurpose): Promise<{ keyId: string; signing: SigningKey; verify: VerifyKey }> {
    const key = activeKey(stored, purpose)
    const seed = await unwrapKey(wrapper, key)
    const signing = provider.signingKey(seed)
    wipe(seed)
    const verify = provider.verifyKey(signing.publicKey)
    if (!verify || !key.publicKey || !equalBytes(verify.bytes, key.publicKey)) {
      throw new AppError('vault.unavailable', `The halves of key ${key.id} do not belong together.`)
    }
    return { keyId: key.id, signing, verify }
  }

  const root = await signingKey('root-key')
  const issuer = await signingKey('issuer-key')
  const published = stored.filter((key) => key.purpose === 'issuer-key').map(publish)
  const issuers = new Map(published.map((key) => [key.kid, issuerOf(provider, key)]))
  let current: { iat: number; document: Promise<KeyDocument> } | undefined

  function document(): Promise<KeyDocument> {
    const iat = Math.floor(clock.now() / 1000)
    if (current && iat >= current.iat && iat - current.iat < DOCUMENT_RENEWAL_S) return current.document
    const signed = signKeyDocument(provider, root, published, iat, iat + DOCUMENT_LIFE_S)
    current = { iat, document: signed }
    signed.catch(() => {
      current = undefined // the caller sees the failure; the next one tries again
    })
    return signed
  }

  return {
    rootFingerprint: rootFingerprint(provider, root.verify.bytes),
    issuer,
    pepper: await macKey('api-key-pepper'),
    cursor: await macKey('cursor-key'),
    auditHead: await macKey('audit-head-key'),
    document,
    issuers: () => issuers,
    probe: () => checkCanary(provider, wrapper, activeKey(stored, 'canary')),
  }
}

function publish(key: StoredKey): PublishedKey {
  const { id, state, publicKey, notBefore, notAfter } = key
  if (!publicKey) throw new AppError('vault.unavailable', `Key ${id} has no public half.`)
  return {
    kid: id,
    use: 'envelope-v2',
    pub: publicKey,
    nbf: Math.floor(notBefore.getTime() / 1000),
    naf: notAfter && Math.floor(notAfter.getTime() / 1000),
    state: state === 'destroyed' ? 'retired' : state,
  }
}

function issuerOf(provider: CryptoProvider, { kid, use, pub, nbf, naf, state }: PublishedKey): IssuerKey {
  const key = provider.verifyKey(pub)
  if (!key) throw new AppError('vault.unavailable', `The public half of key ${kid} is not a key.`)
  return { keyId: kid, use, state, notBefore: nbf, notAfter: naf, key }
}
