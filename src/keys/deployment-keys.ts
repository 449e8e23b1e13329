import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { CryptoProvider, MacKey } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import type { KeyDocument } from '../envelope/key-document.ts'
import type { IssuerKey } from '../envelope/open.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { checkCanary } from './canary.ts'
import { hasKeys, writeFirstKeys } from './first-keys.ts'
import { createFollower, RETRY_MS } from './follow-changes.ts'
import { activeKey, viewOf } from './key-view.ts'
import { createSecretOpener, type NamedMacKey, type SigningPair } from './open-secrets.ts'
import { createServedDocument } from './served-document.ts'
import { DEPLOYMENT, findKeys } from './stored-key.ts'

export { hasKeys } from './first-keys.ts'

/** The peppers of API keys: one makes digests, retired ones still verify. */
export interface Peppers {
  readonly active: NamedMacKey
  /** @throws {AppError} `kms.unavailable` for one that is there, but did not open here yet */
  find(id: string): MacKey | undefined
  /** Reads the keys again: for a digest under a pepper that this process has not heard of. */
  refresh(): Promise<void>
}

/**
 * The keys of the deployment as they are now: each may be another one between two reads, after a rotation here or in
 * another process.
 *
 * @throws {AppError} `kms.unavailable` from a key that is not in use: revoked, and its successor did not open
 */
export interface DeploymentKeys {
  /** `b64u(SHA-384(root public key))`: what a recipient pins. */
  readonly rootFingerprint: string
  readonly issuer: SigningPair
  /** For checkpoints of the audit log. */
  readonly auditKey: SigningPair
  readonly pepper: NamedMacKey
  readonly peppers: Peppers
  readonly cursor: NamedMacKey
  readonly auditHead: NamedMacKey
  /**
   * The signed key document. With the root here it is signed anew once a day, so that it never has less than six days to
   * live; with the root offline it is the last one that the operator had it sign.
   */
  document(): Promise<KeyDocument>
  /** Whether the root is offline, and the end of the document in Unix seconds. */
  documentState(): Promise<{ isRootOffline: boolean; expiresAtS: number }>
  /** Every issuer key that was ever published, by id, with its state. */
  issuers(): ReadonlyMap<string, IssuerKey>
  /** Reports whether this process holds the private half of a signing key, in use or not yet. */
  isOpen(id: string): boolean
  /** Opens the canary again: resolves while the key wrapper works. @throws {AppError} as the start does */
  probe(): Promise<void>
  /** Reads the keys again. @throws {AppError} when one that is to be used did not open; what did is in use all the same */
  reload(): Promise<void>
  /** Reloads at every announced change, and as often as it takes where a reload fails or nothing can be announced. */
  follow(feed: Pick<ChangeFeed, 'on' | 'live'>, log: Log): void
  close(): void
}

export interface DeploymentKeysDeps {
  db: Db
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Pick<Clock, 'now'>
}

/** Milliseconds that a revoked key may stay in use while its successor is unwrapped. */
const UNWRAP_GRACE_MS = 300
/** Milliseconds that a key must still be good for when it goes on being used in place of one that did not open. */
const UNTIL_NEXT_LOAD_MS = 2 * RETRY_MS

/**
 * Opens the keys of the deployment and keeps them in memory, so that a KMS outage does not stop answers. An empty
 * database gets its first keys, together with the canary; in any other, a key that is missing stops the start.
 *
 * @throws {AppError} `kms.unavailable` or `vault.unavailable`; the message names ids of keys, never bytes
 */
export async function openDeploymentKeys(deps: DeploymentKeysDeps): Promise<DeploymentKeys> {
  const { db, wrapper, provider, clock } = deps
  if (!(await hasKeys(db))) await writeFirstKeys(deps)
  const opener = createSecretOpener({ wrapper, provider })
  const served = createServedDocument({ db, provider, clock })

  const first = await findKeys(db, DEPLOYMENT)
  await checkCanary(provider, wrapper, activeKey(first, 'canary'))
  await opener.openAll(first)
  let view = viewOf(provider, first, opener.secrets, undefined, clock.now())
  const [failure] = view.failures
  if (failure !== undefined) throw failure

  /** Takes what is there after a moment, so that a KMS that does not answer keeps no revoked key in use. */
  async function load(): Promise<void> {
    const rows = await findKeys(db, DEPLOYMENT)
    await Promise.race([opener.openAll(rows), delay(UNWRAP_GRACE_MS, undefined, { ref: false })])
    const next = viewOf(provider, rows, opener.secrets, view, clock.now() + UNTIL_NEXT_LOAD_MS)
    served.changed(view, next)
    view = next
    const [failed] = view.failures
    if (failed !== undefined) throw failed
  }

  let current: Promise<void> = Promise.resolve()
  let queued: Promise<void> | undefined
  /** One load at a time; who asks during one gets the next, which sees what was committed before. */
  function refresh(): Promise<void> {
    queued ??= current
      .catch(() => undefined) // its callers were told
      .then(() => {
        queued = undefined
        current = load()
        return current
      })
    return queued
  }

  async function reload(): Promise<void> {
    try {
      await refresh()
      if (view.unopened.size === 0) return
    } catch {
      // Asked again below.
    }
    await opener.settled() // what took longer than a moment may be open now
    await refresh()
  }

  const follower = createFollower({
    refresh,
    unopened() {
      const failed = [...view.unopened].filter((id) => opener.secrets.failures.has(id))
      return { failed, isOpening: failed.length < view.unopened.size }
    },
  })

  const unavailable = (cause: string) =>
    new AppError('kms.unavailable', 'A key is not available.', { cause, retryAfterS: 1 })
  const inUse = <Key>(key: Key | undefined, what: string): Key => {
    if (key) return key
    throw unavailable(`no ${what} is in use`)
  }
  const peppers: Peppers = {
    get active() {
      return inUse(view.pepper, 'api-key-pepper')
    },
    find(id) {
      const pepper = view.peppers.get(id)
      if (!pepper && view.unopened.has(id)) throw unavailable(`${id} did not open`)
      return pepper?.mac
    },
    refresh: reload,
  }

  return {
    get rootFingerprint() {
      return view.root.fingerprint
    },
    get issuer() {
      return inUse(view.issuer, 'issuer-key')
    },
    get auditKey() {
      return inUse(view.auditKey, 'audit-key')
    },
    get pepper() {
      return peppers.active
    },
    peppers,
    get cursor() {
      return inUse(view.cursor, 'cursor-key')
    },
    get auditHead() {
      return inUse(view.auditHead, 'audit-head-key')
    },
    document: async () => (await served.get(view)).document,
    async documentState() {
      const { isOffline } = view.root
      return { isRootOffline: isOffline, expiresAtS: (await served.get(view)).expiresAtS }
    },
    issuers: () => view.issuers,
    isOpen: (id) => opener.secrets.pairs.has(id),
    probe: () => checkCanary(provider, wrapper, view.canary),
    reload,
    follow: follower.follow,
    close: follower.close,
  }
}
