import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { type PublishedKey, rootFingerprint } from '../envelope/key-document.ts'
import type { IssuerKey } from '../envelope/open.ts'
import type { KeyPurpose } from '../kms/kms.ts'
import type { DeploymentPurpose } from './first-keys.ts'
import { isHeld, type NamedMacKey, type OpenSecrets, type SigningPair } from './open-secrets.ts'
import { issuersOf, publishedKeys } from './published-keys.ts'
import type { StoredKey } from './stored-key.ts'

/** The keys of the deployment as a process uses them from one moment to the next change. */
export interface KeyView {
  readonly root: {
    readonly id: string
    readonly fingerprint: string
    /** `undefined`: offline, or not opened (then `failures` says why). */
    readonly pair: SigningPair | undefined
    readonly isOffline: boolean
  }
  /** `undefined` while no key may be used. */
  readonly issuer: SigningPair | undefined
  readonly auditKey: SigningPair | undefined
  readonly pepper: NamedMacKey | undefined
  readonly cursor: NamedMacKey | undefined
  readonly auditHead: NamedMacKey | undefined
  /** The active pepper and the retired ones. */
  readonly peppers: ReadonlyMap<string, NamedMacKey>
  readonly published: readonly PublishedKey[]
  readonly issuers: ReadonlyMap<string, IssuerKey>
  readonly canary: StoredKey
  /** Why keys that should be in use are not, the first that matters first. */
  readonly failures: readonly unknown[]
  /** Ids of keys that this process should hold and does not, in use or not. */
  readonly unopened: ReadonlySet<string>
}

/**
 * Finds the one active key of a purpose.
 *
 * @throws {AppError} `vault.unavailable` when there is none, or more than one
 */
export function activeKey(rows: readonly StoredKey[], purpose: KeyPurpose): StoredKey {
  const [key, ...others] = rows.filter((row) => row.purpose === purpose && row.state === 'active')
  if (!key)
    throw new AppError(
      'vault.unavailable',
      `The database has keys, but no active ${purpose}; refusing to make another.`,
    )
  if (others.length > 0) {
    const ids = [key, ...others].map(({ id }) => id).join(', ')
    throw new AppError('vault.unavailable', `The database has ${others.length + 1} active keys for ${purpose}: ${ids}.`)
  }
  return key
}

/**
 * Puts together what rows and opened private halves give, to be used until `untilMs`. Where the active key of a purpose did
 * not open, the one before stays in use until its row says that it is revoked or destroyed, or that its window has closed:
 * readers refuse what it would seal then.
 *
 * @throws {AppError} `vault.unavailable` when root or canary are not there, or a public half is no key
 */
export function viewOf(
  provider: CryptoProvider,
  rows: readonly StoredKey[],
  { pairs, macs, failures }: OpenSecrets,
  before: KeyView | undefined,
  untilMs: number,
): KeyView {
  const failed: unknown[] = []

  function pick<Key>(
    purpose: DeploymentPurpose,
    opened: ReadonlyMap<string, Key>,
    last: Key | undefined,
    idOf: (key: Key) => string,
  ): Key | undefined {
    try {
      const { id } = activeKey(rows, purpose)
      const key = opened.get(id)
      if (key) return key
      failed.push(failures.get(id) ?? new AppError('kms.unavailable', `Key ${id} is not open yet.`))
    } catch (err) {
      failed.push(err)
    }
    const row = last && rows.find(({ id }) => id === idOf(last))
    if (!row || row.state === 'revoked' || row.state === 'destroyed') return undefined
    return row.notAfter === null || untilMs <= row.notAfter.getTime() ? last : undefined
  }
  const pair = (purpose: DeploymentPurpose, last?: SigningPair) => pick(purpose, pairs, last, ({ keyId }) => keyId)
  const mac = (purpose: DeploymentPurpose, last?: NamedMacKey) => pick(purpose, macs, last, ({ id }) => id)

  const canary = activeKey(rows, 'canary')
  const rootRow = activeKey(rows, 'root-key')
  if (!rootRow.publicKey) throw new AppError('vault.unavailable', `Key ${rootRow.id} has no public half.`)
  const isOffline = rootRow.wrapped === null
  const published = publishedKeys(rows)
  return {
    root: {
      id: rootRow.id,
      fingerprint: rootFingerprint(provider, rootRow.publicKey),
      pair: isOffline ? undefined : pair('root-key'),
      isOffline,
    },
    issuer: pair('issuer-key', before?.issuer),
    // A database of before has none until the start has made it.
    auditKey: rows.some(({ purpose }) => purpose === 'audit-key') ? pair('audit-key', before?.auditKey) : undefined,
    pepper: mac('api-key-pepper', before?.pepper),
    cursor: mac('cursor-key', before?.cursor),
    auditHead: mac('audit-head-key', before?.auditHead),
    peppers: new Map(
      rows
        .filter(({ purpose }) => purpose === 'api-key-pepper')
        .flatMap(({ id }) => {
          const pepper = macs.get(id)
          return pepper ? [[id, pepper] as const] : []
        }),
    ),
    published,
    issuers: issuersOf(provider, published),
    canary,
    failures: failed,
    unopened: new Set(rows.filter((row) => isHeld(row) && !pairs.has(row.id) && !macs.has(row.id)).map(({ id }) => id)),
  }
}
