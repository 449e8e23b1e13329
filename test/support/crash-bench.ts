import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { generate } from 'mqtt-packet'
import { sweepOrphanedIntents } from '#src/audit/sweeper.ts'
import { parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import { createDb } from '#src/db/pool.ts'
import { openFoundation } from '#src/foundation.ts'
import { bundleCrashMain } from './crash-bundle.ts'
import { type CrashServer, startCrashServer } from './crash-server.ts'
import { startFakeBroker } from './fake-broker.ts'

export interface Reply {
  status: number
  /** `null` where the answer is no success; opened and verified by the server. */
  data: { outcome: string; message_id: string; replayed?: true } | null
  error: { code: string; details: { message_id?: string; ask?: string } | null } | null
  retryAfter: string | null
}

/** Acknowledges a message, or refuses it. */
type Settle = (reasonCode?: number) => void

const DEADLINE_MS = 20_000

/** A broker that writes down every PUBLISH, a database, and a server that survives. */
export async function startCrashBench(databaseUrl: string) {
  await using stack = new AsyncDisposableStack()
  const dataDir = stack.adopt(await mkdtemp(path.join(tmpdir(), 'sealwire-crash-')), (folder) =>
    rm(folder, { recursive: true, force: true }),
  )
  /** Message ids by payload, in the order in which they came. */
  const seen = new Map<string, string[]>()
  const holds = new Map<string, (settle: Settle) => void>()
  const broker = stack.adopt(
    await startFakeBroker({
      keep: false,
      misbehave: {
        publish({ payload, properties, qos, messageId = 0 }, connection) {
          const text = payload.toString()
          const id = String(properties?.userProperties?.['sealwire-message-id'])
          seen.set(text, [...(seen.get(text) ?? []), id])
          const settle = (reasonCode = 0) =>
            connection.send({ cmd: qos === 2 ? 'pubrec' : 'puback', messageId, reasonCode })
          const held = holds.get(text)
          if (held) held(settle)
          else settle()
        },
      },
    }),
    (one) => one.stop(),
  )
  const db = stack.adopt(createDb({ connectionString: new Secret(databaseUrl) }), (one) => one.close())
  const main = await bundleCrashMain(path.join(dataDir, 'bundle'))
  /** The first server compiles for all others. */
  const env = { DATABASE_URL: databaseUrl, DATA_DIR: dataDir, NODE_COMPILE_CACHE: path.join(dataDir, 'compile-cache') }
  const servers: CrashServer[] = []
  stack.defer(async () => {
    for (const one of servers) one.kill('SIGKILL')
    await Promise.all(servers.map(({ ended }) => ended))
  })
  /** Starts a server over this database that ends with the bench, or earlier. */
  async function start(more: Readonly<Record<string, string>> = {}): Promise<CrashServer> {
    const name = `sealwire crash ${servers.length}`
    const url = new URL(databaseUrl)
    url.searchParams.set('application_name', name)
    const server = await startCrashServer(main, { ...env, DATABASE_URL: url.href, ...more })
    assert.ok(await connectionsOf(name), 'a server without connections of that name')
    const ended = server.ended.then(async (signal) => {
      await statementsOver(name)
      return signal
    })
    servers.push({ ...server, ended })
    return { ...server, ended }
  }
  async function connectionsOf(name: string): Promise<number | null> {
    return (
      await db.query('select from pg_stat_activity where application_name = $1 and datname = current_database()', [
        name,
      ])
    ).rowCount
  }
  /** Waits for what PostgreSQL still does for a server that is dead: it hears of that when a statement is over. */
  async function statementsOver(name: string): Promise<void> {
    for (let left = 1_000; await connectionsOf(name); left--) {
      assert.ok(left > 0, `${name} is dead and still has connections`)
      await delay(10)
    }
  }
  const survivor = await start()
  const apiKey = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()

  async function call(url: string, method: string, target: string, body?: unknown, headers = {}) {
    const res = await fetch(url + target, {
      method,
      headers: { 'x-api-key': apiKey, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    // biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
    return { status: res.status, retryAfter: res.headers.get('retry-after'), json: (await res.json()) as any }
  }
  async function make(target: string, body: unknown): Promise<string> {
    const { status, json } = await call(survivor.url, 'POST', target, body)
    assert.equal(status, 201, JSON.stringify(json))
    return json.data.id
  }
  const credentialId = await make('/api/v2/vault/seal', {
    credential_type: 'custom_kv',
    values: { hostname: '127.0.0.1', port: broker.port },
  })
  const integrationId = await make('/api/v2/integrations', {
    name: 'crash',
    system_type: 'mqtt',
    credential_id: credentialId,
    allowed_operations: ['publish'],
    config: { topic: 'line/4', qos: 1, protocol_version: 5 },
  })

  /** Opens an answer at the survivor: the envelope is verified on the way. */
  async function open({ status, retryAfter, json }: Awaited<ReturnType<typeof call>>): Promise<Reply> {
    if (!json.success) return { status, data: null, error: json.error, retryAfter }
    const opened = await call(survivor.url, 'POST', '/api/v2/encryption/decrypt', { envelope: json.data })
    assert.equal(opened.status, 200, JSON.stringify(opened.json))
    return { status, data: opened.json.data.plaintext.data, error: null, retryAfter }
  }

  /** Publishes under a key; the key is also the message, so that the broker's log tells them apart. */
  async function publish(url: string, key: string, deadlineMs = DEADLINE_MS, qos: 1 | 2 = 1): Promise<Reply> {
    const body = { integration_id: integrationId, operation: 'publish', payload: { message: key, qos } }
    const headers = { 'idempotency-key': key, 'request-deadline-ms': String(deadlineMs) }
    return open(await call(url, 'POST', '/api/v2/proxy/outbound', body, headers))
  }

  async function messageStatus(id: string, url = survivor.url) {
    const { status, data, error } = await open(await call(url, 'GET', `/api/v2/proxy/messages/${id}`))
    assert.equal(status, 200, `${id}: ${JSON.stringify(error)}`)
    // biome-ignore lint/suspicious/noExplicitAny: as above
    return data as any
  }

  /** Resolves when the broker has read what was sent to it before: it answers a client that came after it. */
  async function allRead(): Promise<void> {
    const socket = connect(broker.port, '127.0.0.1')
    const hello = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'barrier' } as const
    socket.write(generate({ ...hello, keepalive: 0 }, { protocolVersion: 5 }))
    await once(socket, 'data')
    socket.destroy()
  }

  /** Lets a minute go by for the claims of these keys, which is longer than any lasts. */
  async function expireClaims(keys: readonly string[]): Promise<void> {
    await db.query(
      `update idempotency_keys set deadline_at = deadline_at - interval '1 minute' where state = 'running' and key = any ($1)`,
      [keys],
    )
  }

  /**
   * Closes what the killed left open, as the sweeper would in time, has the chain verified, and returns the ids of the
   * messages that were closed like this.
   */
  async function settleAudit(): Promise<ReadonlySet<string>> {
    const foundation = await openFoundation(parseConfig(env), { log: silentLog, join: true })
    try {
      const { db, audit, clock } = foundation
      const later = { ...clock, now: () => clock.now() + 10 * 60_000 }
      await sweepOrphanedIntents({ db, audit, clock: later })
      const { rows } = await db.query<{ open: string; listed: string; swept: string[] | null }>(
        `select count(*) filter (where action = 'proxy.publish.intent' and not exists (
                  select from audit_rows o where o.tenant_id = a.tenant_id and o.message_id = a.message_id
                    and o.action = 'proxy.publish.outcome')) as open,
                (select count(*) from audit_open_intents) as listed,
                array_agg(message_id) filter (where action = 'proxy.publish.outcome' and outcome = 'unknown'
                  and actor_id = 'system') as swept
         from audit_rows a`,
      )
      assert.deepEqual([rows[0]?.open, rows[0]?.listed], ['0', '0'])
      const { json } = await call(survivor.url, 'POST', '/api/v2/audit/verify')
      assert.equal(json.data.ok, true, JSON.stringify(json.data))
      return new Set(rows[0]?.swept)
    } finally {
      await foundation.close()
    }
  }

  assert.equal((await publish(survivor.url, 'first')).status, 200) // what a first publish makes is there for all others
  const running = stack.move()
  return {
    start,
    db,
    expireClaims,
    allRead,
    survivor,
    apiKey,
    integrationId,
    seen,
    publish,
    call,
    messageStatus,
    settleAudit,
    /** From now on the broker leaves this message open; resolves when it has come. */
    hold: (text: string) => new Promise<Settle>((resolve) => holds.set(text, resolve)),
    close: () => running.disposeAsync(),
  }
}

export type CrashBench = Awaited<ReturnType<typeof startCrashBench>>
