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
import { activeKey, viewOf } from './key-view.ts'
import { createSecretOpener, type NamedMacKey, type SigningPair } from './open-secrets.ts'
import { createServedDocument } from './served-document.ts'
import { DEPLOYMENT, findKeys } from './stored-key.ts'

export { hasKeys } from './first-keys.ts'

/** The peppers of API keys: one makes digests, retired ones still verify. */
export interface Peppers {
  readonly active: NamedMacKey
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
  /** Signs checkpoints of the audit log. */
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
/** Milliseconds between two reloads while one fails, or the change feed is away. */
const RETRY_MS = 500

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
  let view = viewOf(provider, first, opener.secrets, undefined)
  const [failure] = view.failures
  if (failure !== undefined) throw failure

  /** Takes what is there after a moment, so that a KMS that does not answer keeps no revoked key in use. */
  async function load(): Promise<void> {
    const rows = await findKeys(db, DEPLOYMENT)
    await Promise.race([opener.openAll(rows), delay(UNWRAP_GRACE_MS, undefined, { ref: false })])
    const next = viewOf(provider, rows, opener.secrets, view)
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
    } catch {
      await opener.settled() // what took longer than a moment may be open now
      await refresh()
    }
  }

  let retry: NodeJS.Timeout | undefined
  let closed = false

  function follow(feed: Pick<ChangeFeed, 'on' | 'live'>, log: Log): void {
    const again = () => {
      clearTimeout(retry)
      retry = closed ? undefined : setTimeout(hear, RETRY_MS).unref()
    }
    async function hear(): Promise<void> {
      try {
        await refresh()
        if (!feed.live) again()
      } catch (err) {
        if (closed) return
        log.warn({ code: (err as { code?: unknown }).code }, 'keys did not reload; the ones before stay in use')
        again()
      }
    }
    feed.on('deployment_key', () => void hear())
  }

  const inUse = <Key>(key: Key | undefined, what: string): Key => {
    if (key) return key
    throw new AppError('kms.unavailable', 'A key is not available.', { cause: `no ${what} is in use`, retryAfterS: 1 })
  }
  const peppers: Peppers = {
    get active() {
      return inUse(view.pepper, 'api-key-pepper')
    },
    find: (id) => view.peppers.get(id)?.mac,
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
    probe: () => checkCanary(provider, wrapper, view.canary),
    reload,
    follow,
    close() {
      closed = true
      clearTimeout(retry)
    },
  }
}
