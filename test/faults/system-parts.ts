import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type pg from 'pg'
import { type FaultyProxy, startProxy } from '#test/db/proxy.ts'
import { openSql, testDatabase } from '#test/support/database.ts'
import { type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { type ServerProcess, startServerProcess } from '#test/support/server-process.ts'

export interface Answer {
  status: number
  message: string | undefined
  /** Of a refusal. */
  code: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: every code has its own
  details: any
  requestId: string
  /** When the server says that it answered. */
  timestamp: string
  nextCursor: string | undefined
  /** Ids that a list leaves out. */
  notUnderstood: string[] | undefined
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
  data: any
  startedMs: number
  endedMs: number
}

export interface CallOptions {
  headers?: Record<string, string>
  key?: string
}

/** What callers see of a server: whatever happens to it, a call ends with an answer, or rejects when there was none. */
export function callerOf(urlOf: () => string, keyOf: () => string) {
  return async function call(
    method: string,
    target: string,
    body?: unknown,
    options: CallOptions = {},
  ): Promise<Answer> {
    const startedMs = performance.now()
    const res = await fetch(urlOf() + target, {
      method,
      headers: {
        'x-api-key': options.key ?? keyOf(),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    // biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
    const json = (await res.json()) as any
    return {
      status: res.status,
      code: json.error?.code,
      message: json.error?.message,
      details: json.error?.details,
      requestId: json.meta?.request_id,
      timestamp: json.meta?.timestamp,
      nextCursor: json.meta?.next_cursor,
      notUnderstood: json.meta?.not_understood,
      headers: res.headers,
      data: json.data,
      startedMs,
      endedMs: performance.now(),
    }
  }
}

export type Call = ReturnType<typeof callerOf>

/** A credential and an integration for a broker on this host. */
export async function integrate(
  call: Call,
  port: number,
  {
    values = {},
    key,
    ...more
  }: { values?: object; key?: string; name?: string; policy_id?: string; guards?: object } = {},
): Promise<{ integrationId: string; credentialId: string }> {
  const options = key === undefined ? {} : { key }
  const sealed = await call(
    'POST',
    '/api/v2/vault/seal',
    { credential_type: 'custom_kv', values: { hostname: '127.0.0.1', port, ...values } },
    options,
  )
  assert.equal(sealed.code, undefined)
  const made = await call(
    'POST',
    '/api/v2/integrations',
    {
      name: 'line',
      system_type: 'mqtt',
      credential_id: sealed.data.id,
      allowed_operations: ['publish', 'subscribe'],
      config: { topic: 'plant/t', topics: ['plant/#'], qos: 1 },
      ...more,
    },
    options,
  )
  assert.equal(made.code, undefined)
  return { integrationId: made.data.id, credentialId: sealed.data.id }
}

/** Publishes at QoS 1. */
export function publish(
  call: Call,
  integrationId: string,
  { message = '22.5', topic, ...options }: CallOptions & { message?: string; topic?: string } = {},
): Promise<Answer> {
  const payload = { message, qos: 1, ...(topic !== undefined && { topic }) }
  return call(
    'POST',
    '/api/v2/proxy/outbound',
    { integration_id: integrationId, operation: 'publish', payload },
    options,
  )
}

export interface AuditFact {
  action: string
  outcome: string
  message_id: string | null
  request_id: string | null
}

/** What is on record, oldest first; all of it, or of one request. */
export async function auditRows(sql: pg.Client | pg.Pool, requestId?: string): Promise<AuditFact[]> {
  const { rows } = await sql.query<AuditFact>(
    `select action, outcome, message_id, request_id from audit_rows
     where $1::text is null or request_id = $1 order by tenant_id, seq`,
    [requestId ?? null],
  )
  return rows
}

/** Ids of requests with an intent on record and no outcome. */
export function openIntents(rows: readonly AuditFact[]): string[] {
  const ended = new Set(rows.filter(({ action }) => action.endsWith('.outcome')).map((row) => row.request_id))
  const begun = rows.filter(({ action }) => action.endsWith('.intent')).map((row) => row.request_id ?? '')
  return begun.filter((id) => !ended.has(id))
}

export interface StackOptions {
  /** Called with whatever the server writes. */
  said?: (text: string) => void
  /** Puts a network that can fail between the server and PostgreSQL, and not between the test and it. */
  proxied?: boolean
}

export interface Stack {
  proxy: FaultyProxy | undefined
  server: ServerProcess
  call: Call
  key: string
  sql: pg.Pool
  databaseUrl: string
  dataDir: string
  env: Record<string, string>
  /** Starts another process over the same database; it ends with the stack. */
  another(env?: Record<string, string>, said?: (text: string) => void): Promise<ServerProcess>
  close(): Promise<void>
}

async function killed({ child }: ServerProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGCONT')
  child.kill('SIGKILL')
  await once(child, 'exit')
}

function urlThrough(databaseUrl: string, port: number): string {
  const url = new URL(databaseUrl)
  url.searchParams.delete('host')
  url.hostname = '127.0.0.1'
  url.port = String(port)
  return url.href
}

/** A server in a process of its own, over a database of its own. */
export async function startStack(
  env: Record<string, string> = {},
  { said, proxied = false }: StackOptions = {},
): Promise<Stack> {
  await using stack = new AsyncDisposableStack()
  const ends: (() => Promise<void>)[] = []
  const dataDir = stack.adopt(await mkdtemp(path.join(tmpdir(), 'sealwire-fault-')), (folder) =>
    rm(folder, { recursive: true, force: true }),
  )
  const database = stack.adopt(await testDatabase(), ({ drop }) => drop())
  const databaseUrl = env['DATABASE_URL'] ?? database.url
  const proxy = proxied ? stack.adopt(await startProxy(database.connection), (one) => one.close()) : undefined
  const sql = stack.adopt(openSql(databaseUrl), (pool) => pool.end())
  stack.defer(async () => {
    for (const end of ends) await end()
  })
  const url = proxy ? urlThrough(databaseUrl, proxy.port) : databaseUrl
  const own = { DATA_DIR: dataDir, ...env, DATABASE_URL: url }
  const another = async (more: Record<string, string> = {}, heard = said): Promise<ServerProcess> => {
    const started = await startServerProcess({ ...own, ...more }, heard)
    ends.push(() => killed(started))
    return started
  }
  const server = await another()
  const key = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
  const kept = stack.move()
  const running: Stack = {
    server,
    key,
    sql,
    databaseUrl,
    proxy,
    dataDir,
    env: own,
    call: callerOf(
      () => running.server.url,
      () => key,
    ),
    another,
    close: () => kept.disposeAsync(),
  }
  return running
}

/** Calls in `workers` loops until told to stop; every answer, and every call that had none. */
export function startLoad(call: (i: number) => Promise<Answer>, workers: number) {
  const answers: Answer[] = []
  const unanswered: { startedMs: number; err: unknown }[] = []
  let running = true
  let sent = 0
  const work = async () => {
    while (running) {
      const startedMs = performance.now()
      try {
        answers.push(await call(sent++))
      } catch (err) {
        unanswered.push({ startedMs, err })
      }
    }
  }
  const done = Promise.all(Array.from({ length: workers }, work))
  return {
    answers,
    unanswered,
    async stop() {
      running = false
      await done
    },
  }
}

/** A broker that acknowledges when the test says so. */
export async function startSlowBroker() {
  const waiting: (() => void)[] = []
  const misbehave = {
    publish: ({ messageId = 0 }, connection: FakeConnection) => {
      waiting.push(() => connection.send({ cmd: 'puback', messageId }))
    },
  }
  return { broker: await startFakeBroker({ misbehave }), waiting }
}
