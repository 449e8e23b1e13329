import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { parseBrokerAuthConfig } from '#src/broker-auth/config.ts'
import { type BrokerAuth, createBrokerAuth } from '#src/broker-auth/create-broker-auth.ts'
import type { HookAnswer } from '#src/broker-auth/dialect.ts'
import { AppError } from '#src/core/errors.ts'
import { silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import type { Db } from '#src/db/db.ts'
import { UNKNOWN_LIST } from '#src/identity/blocked/blocked-client.ts'
import type { Refusal } from '#src/identity/chain.ts'
import { openProviders } from '#src/identity/open-providers.ts'
import { createSecretReader } from '#src/identity/secret-source.ts'
import { createGuardedRequest } from '#src/outbound/guarded-request.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { testDatabase } from '../support/database.ts'
import { localFeed, memoryAudit, testClock } from '../support/deployment.ts'

export const TENANT = 'ten_01kea000000000000000000000'
export const POLICY = 'pol_01kea000000000000000000000'
export const HOOK_SECRET = 'a-secret-of-the-broker'
export const TOKEN_SECRET = 'a secret of an issuer that is long enough for SHA-512: 64 bytes!!'
/** The password of every user in the file. */
export const PASSWORD = 'correct horse'
/** bcrypt of {@link PASSWORD}, cost 4: what is measured here is not the hash. */
export const HASH = '$2b$04$JZJBiyiW6h2j6qKDuxRHqO7imDaU3oKthBK7dLbsO/EycT80ROZNq'

export interface User {
  readonly username: string
  readonly enabled?: boolean
  readonly groups?: readonly string[]
  readonly scopes?: readonly string[]
  readonly password_hash?: string
}

export function documentOf(...rules: readonly object[]): PolicyDocument {
  return { schema: 'mqtt-policy/1', id: 'p', rules } as unknown as PolicyDocument
}

/** Everything below a user's own name, and nothing else. */
export const ownTopics = documentOf({
  id: 'own',
  effect: 'allow',
  actions: ['publish', 'subscribe', 'receive'],
  topics: ['plant/${username}/#'],
})

export interface Replica {
  readonly auth: BrokerAuth
  readonly feed: ReturnType<typeof localFeed>
  readonly audit: ReturnType<typeof memoryAudit>
  readonly refusals: Refusal[]
  /** Asks a hook as its broker does: JSON unless `body` is text. */
  ask(target: string, body?: unknown, more?: Partial<Ask>): Promise<HookAnswer>
  /** The status of {@link ask}. */
  status(target: string, body?: unknown, more?: Partial<Ask>): Promise<number>
}

export interface Ask {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** Without it the hook's secret is in the path. */
  readonly url: string
}

export interface Harness extends Replica {
  readonly clock: ReturnType<typeof testClock>
  readonly db: Db
  /** Ids, names and addresses that are blocked; with `UNKNOWN_LIST` nobody knows which. */
  readonly blocked: Set<string>
  /** How the database behaves; both may be set at any time. */
  readonly database: { isDown: boolean; delayMs: number; statements: number }
  /** What decides from now on, announced to every replica. */
  activate(document: PolicyDocument | undefined): void
  /** Writes the users file and waits until it is in force here. */
  writeUsers(...users: readonly User[]): Promise<void>
  /** Another process on the same database, with nothing in memory. */
  replica(): Promise<Replica>
}

export interface HarnessOptions {
  readonly document?: PolicyDocument
  readonly users?: readonly User[]
  /** Members of the hook's section, and further providers. */
  readonly hook?: Readonly<Record<string, unknown>>
  readonly providers?: Readonly<Record<string, unknown>>
  readonly clientIds?: Readonly<Record<string, unknown>>
  /** Sections of further hooks. */
  readonly hooks?: readonly Readonly<Record<string, unknown>>[]
}

/** A database that can be slow, or away. */
function faulty(db: Db, state: Harness['database']): Db {
  async function enter(): Promise<void> {
    state.statements++
    if (state.delayMs > 0) await delay(state.delayMs)
    if (state.isDown) throw new AppError('database.unavailable', 'The database is not available.')
  }
  return {
    async query(text, values, options) {
      await enter()
      return db.query(text, values, options)
    },
    async transaction(work) {
      await enter()
      return db.transaction(work)
    },
    close: () => db.close(),
  }
}

/** Hooks over a real database and real providers; clock, change feed, audit log and policy are the test's. */
export async function startHooks(t: TestContext, options: HarnessOptions = {}): Promise<Harness> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-hooks-'))
  const database = await testDatabase()
  const state = { isDown: false, delayMs: 0, statements: 0 }
  const db = faulty(database.db, state)
  const clock = testClock(Date.now())
  const blocked = new Set<string>()
  const usersFile = path.join(folder, 'users.json')
  const replicas: Replica[] = []
  const closers: (() => Promise<void>)[] = []
  t.after(async () => {
    state.isDown = false
    state.delayMs = 0
    for (const close of closers) await close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  })
  let active: { document: PolicyDocument; compiled: ReturnType<typeof compilePolicy>; revision: number } | undefined

  async function put(users: readonly User[]): Promise<void> {
    const records = users.map((user) => ({ password_hash: HASH, ...user }))
    await writeFile(`${usersFile}.new`, JSON.stringify({ users: records }), { mode: 0o600 })
    await rename(`${usersFile}.new`, usersFile)
  }

  function setActive(document: PolicyDocument | undefined): void {
    const { policy, problems } = document ? parsePolicy(document) : { policy: undefined, problems: [] }
    assert.ok(policy !== undefined || document === undefined, JSON.stringify(problems))
    active = policy && document && { document, compiled: compilePolicy(policy), revision: (active?.revision ?? 0) + 1 }
  }

  const section = {
    name: 'default',
    dialect: 'go-auth',
    secret: { env: 'HOOK_SECRET' },
    tenant: TENANT,
    policy: POLICY,
    providers: ['devices'],
    deadline_ms: 2_000, // a busy machine takes its time
    ...options.hook,
  }
  const config = parseBrokerAuthConfig(
    JSON.stringify({
      version: 1,
      providers: { devices: { type: 'file', path: usersFile }, ...options.providers },
      ...(options.clientIds && { client_ids: options.clientIds }),
      hooks: [section, ...(options.hooks ?? []).map((hook) => ({ ...section, ...hook }))],
    }),
  )
  await put(options.users ?? [{ username: 'alice' }, { username: 'bob' }])
  setActive(options.document ?? ownTopics)

  async function open(): Promise<Replica> {
    const feed = localFeed()
    const [audit, refusals] = [memoryAudit(), [] as Refusal[]]
    const request = createGuardedRequest({ allow: [] })
    const readSecret = createSecretReader({ HOOK_SECRET, TOKEN_SECRET })
    const providers = await openProviders(config.providers, { clock, log: silentLog, readSecret, request })
    const auth = createBrokerAuth({
      config,
      providers: providers.byName,
      material: new Map(
        config.hooks.map(({ name }) => [name, { secret: new Secret(Buffer.from(HOOK_SECRET)), anchors: undefined }]),
      ),
      blockedOf: () => ({
        judge: (subject) =>
          [UNKNOWN_LIST, ...Object.values(subject)].find((value) => typeof value === 'string' && blocked.has(value)),
      }),
      refusalsOf: () => ({ note: (refusal) => void refusals.push(refusal) }),
      policies: {
        async active() {
          await delay(state.delayMs)
          if (state.isDown) throw new AppError('database.unavailable', 'The database is not available.')
          return active && { policyId: POLICY, revision: active.revision, compiled: active.compiled }
        },
      },
      db,
      feed: {
        ...feed,
        on: feed.on,
        get live() {
          return feed.live && !state.isDown
        },
        async announce(_tx, topic, key) {
          setImmediate(() => {
            for (const one of replicas) one.feed.send(topic, key)
          })
        },
      },
      audit,
      clock,
      log: silentLog,
    })
    const replica: Replica = {
      auth,
      feed,
      audit,
      refusals,
      async ask(target, body, { method = 'POST', headers = {}, url = `/mqtt/${HOOK_SECRET}${target}` } = {}) {
        const sent = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
        const opened = auth.open({ method, url, headers, socket: { remoteAddress: '127.0.0.1' } })
        return 'status' in opened ? opened : await opened.answer(new TextEncoder().encode(sent))
      },
      status: async (target, body, more) => (await replica.ask(target, body, more)).status,
    }
    replicas.push(replica)
    closers.push(async () => {
      await auth.close()
      await providers.close()
      request.close()
    })
    return replica
  }

  const first = await open()
  return {
    ...first,
    clock,
    db,
    blocked,
    database: state,
    activate(document) {
      setActive(document)
      for (const { feed } of replicas) feed.send('policy', `${TENANT}/${POLICY}`)
    },
    writeUsers: (...users) => put(users),
    replica: open,
  }
}

/** What go-auth sends. */
export const login = (username: string, clientid: string, password = PASSWORD) => ({ clientid, password, username })
export const acl = (username: string, clientid: string, topic: string, acc: unknown = 2) => ({
  acc,
  clientid,
  topic,
  username,
})
