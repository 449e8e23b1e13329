import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { assertKnownEvent } from '#src/audit/actions.ts'
import type { Audit, AuditEvent, Caller } from '#src/audit/audit.ts'
import type { Clock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { silentLog } from '#src/core/log.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { ChangeFeed, ChangeHandler } from '#src/db/change-feed.ts'
import type { Db, Queryable } from '#src/db/db.ts'
import { openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import { createTenantKeys } from '#src/keys/tenant-keys.ts'
import type { KeyWrapper, WrapContext } from '#src/kms/kms.ts'
import { openLocalKeyWrapper } from '#src/kms/local.ts'
import { createApiKeys } from '#src/tenants/api-keys.ts'
import { createAuthenticate } from '#src/tenants/authenticate.ts'
import type { Principal } from '#src/tenants/principal.ts'
import { createRecipients } from '#src/tenants/recipients.ts'
import { createTenants } from '#src/tenants/tenants.ts'
import { createVault } from '#src/vault/vault.ts'
import { testDatabase } from './database.ts'

export const providers: readonly CryptoProvider[] = [opensslProvider, nobleProvider]

/** A clock that stands until it is moved. */
export function testClock(startMs = Date.parse('2026-11-21T09:00:00.000Z')): Clock & { advance(ms: number): void } {
  let elapsedMs = 1
  return {
    now: () => startMs + elapsedMs,
    monotonic: () => elapsedMs,
    advance(ms) {
      elapsedMs += ms
    },
  }
}

/** An audit log in memory that takes only what the real one takes, and can be made to fail. */
export function memoryAudit(): Audit & { events: AuditEvent[]; failing: boolean } {
  const audit = {
    events: [] as AuditEvent[],
    failing: false,
    async record(...events: readonly AuditEvent[]) {
      if (audit.failing) throw new AppError('audit.unavailable', 'The audit log is not available.')
      for (const event of events) assertKnownEvent(event)
      audit.events.push(...events)
    },
  }
  return audit
}

/** What waits for the commit of a transaction of {@link countingDb}. */
const afterCommit = new WeakMap<Queryable, (() => void)[]>()

/**
 * A change feed within one process: announcements arrive after the commit, as those of PostgreSQL do; in a transaction of
 * another `db` than {@link countingDb}, with the next turn of the loop.
 */
export function localFeed(): ChangeFeed & { live: boolean; send(topic: string, key: string | undefined): void } {
  const handlers: { topic: string; handler: ChangeHandler }[] = []
  const feed = {
    live: true,
    async announce(tx: Queryable, topic: string, key: string) {
      const send = () => void setImmediate(() => feed.send(topic, key))
      const waiting = afterCommit.get(tx)
      if (waiting) waiting.push(send)
      else send()
    },
    on(topic: string, handler: ChangeHandler) {
      handlers.push({ topic, handler })
    },
    send(topic: string, key: string | undefined) {
      for (const one of handlers) if (one.topic === topic) one.handler(key)
    },
    async close() {},
  }
  return feed
}

/** Counts the statements that reach the database. */
export function countingDb(db: Db): Db & { statements: number } {
  const counting = {
    statements: 0,
    query: ((text, values) => {
      counting.statements++
      return db.query(text, values)
    }) as Db['query'],
    transaction: (async (work) => {
      const committed: (() => void)[] = []
      const result = await db.transaction((tx) => {
        const own: Queryable = {
          query(text, values) {
            counting.statements++
            return tx.query(text, values)
          },
        }
        afterCommit.set(own, committed)
        return work(own)
      })
      for (const announce of committed) announce()
      return result
    }) as Db['transaction'],
    close: () => db.close(),
  }
  return counting
}

/** Writes down what the key wrapper is asked. */
export function watchedWrapper(wrapper: KeyWrapper): KeyWrapper & {
  calls: { method: 'wrap' | 'unwrap'; context: WrapContext }[]
  down: boolean
} {
  const watched = {
    provider: wrapper.provider,
    defaultKeyId: wrapper.defaultKeyId,
    calls: [] as { method: 'wrap' | 'unwrap'; context: WrapContext }[],
    down: false,
    async wrap(keyId: string, plaintext: Uint8Array, context: WrapContext) {
      watched.enter('wrap', context)
      return wrapper.wrap(keyId, plaintext, context)
    },
    async unwrap(keyId: string, wrapped: Uint8Array, context: WrapContext) {
      watched.enter('unwrap', context)
      return wrapper.unwrap(keyId, wrapped, context)
    },
    enter(method: 'wrap' | 'unwrap', context: WrapContext) {
      watched.calls.push({ method, context })
      if (watched.down) throw new AppError('kms.unavailable', 'The key wrapper does not answer.')
    },
  }
  return watched
}

/** A local key wrapper with a key file of its own. */
export async function testWrapper(provider: CryptoProvider = opensslProvider): Promise<KeyWrapper> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sealwire-ring-'))
  try {
    return await openLocalKeyWrapper({ file: path.join(folder, 'key-ring.json'), provider, createIfEmpty: true })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Keys, tenants and vault over a fresh database with a real key wrapper; clock, change feed and audit log are the test's.
 * Call `drop` when done.
 */
export async function testDeployment({ provider = opensslProvider }: { provider?: CryptoProvider } = {}) {
  const database = await testDatabase()
  const db = countingDb(database.db)
  const wrapper = watchedWrapper(await testWrapper(provider))
  const clock = testClock()
  const audit = memoryAudit()
  const feed = localFeed()
  const users = new Map<string, readonly string[]>()
  const keys = await openDeploymentKeys({ db, wrapper, provider, clock })
  const tenantKeys = createTenantKeys({ db, wrapper, provider, clock, feed })
  const deps = { db, feed, provider, clock, audit, wrapper, tenantKeys, peppers: keys.peppers, log: silentLog }
  const usersOf = async (_tx: Queryable, tenantId: string, id: string) => users.get(`${tenantId}/${id}`) ?? []
  const parts = {
    tenants: createTenants(deps),
    apiKeys: createApiKeys({ ...deps, forget: () => undefined }),
    authenticate: createAuthenticate(deps),
    recipients: createRecipients(deps),
    vault: createVault({ ...deps, usersOf }),
  }

  return {
    ...deps,
    ...parts,
    connection: database.connection,
    keys,
    users,
    /** The same over the same database, as another process would have it: nothing cached, nothing shared in memory. */
    replica: () => {
      const heard = { ...deps, feed: localFeed() }
      const own = { ...heard, tenantKeys: createTenantKeys(heard) }
      return {
        feed: own.feed,
        recipients: createRecipients(own),
        vault: createVault({ ...own, usersOf }),
        authenticate: createAuthenticate(own),
      }
    },
    /** A new tenant with its owner, as a request of the owner would show them. */
    async tenant(name = 'plant', sandbox = false): Promise<{ principal: Principal; caller: Caller; ownerKey: string }> {
      const { tenantId, keyId, ownerKey } = await parts.tenants.create({ name, sandbox })
      const principal = await parts.authenticate(ownerKey.reveal(), '192.0.2.1')
      const caller = { tenantId, actor: { id: keyId, address: '192.0.2.1' }, requestId: 'req_test' }
      return { principal, caller, ownerKey: ownerKey.reveal() }
    },
    drop: database.drop,
  }
}

export type TestDeployment = Awaited<ReturnType<typeof testDeployment>>
