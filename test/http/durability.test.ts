import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { type ServerProcess, startServerProcess } from '#test/support/server-process.ts'

describe('a server process', () => {
  let database: TestDatabase
  let broker: Mosquitto
  let dataDir: string
  let server: ServerProcess
  let key: string
  let integrationId: string
  let sql: pg.Client

  const call = async (target: string, body: unknown) => {
    const res = await fetch(server.url + target, {
      method: 'POST',
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const json = (await res.json()) as { data: { id: string }; meta: { request_id: string } }
    return { status: res.status, json }
  }
  const publish = () =>
    call('/api/v2/proxy/outbound', {
      integration_id: integrationId,
      operation: 'publish',
      payload: { topic: 'plant/t', message: '22.5', qos: 1 },
    })

  before(async () => {
    ;[database, broker, dataDir] = await Promise.all([
      testDatabase(),
      startMosquitto(),
      mkdtemp(path.join(tmpdir(), 'sealwire-process-')),
    ])
    server = await startServerProcess({ DATABASE_URL: database.url, DATA_DIR: dataDir })
    key = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
    sql = new pg.Client({ connectionString: database.url })
    await sql.connect()
    const sealed = await call('/api/v2/vault/seal', {
      credential_type: 'custom_kv',
      values: { hostname: '127.0.0.1', port: broker.ports.tcp },
    })
    const made = await call('/api/v2/integrations', {
      name: 'x',
      system_type: 'mqtt',
      credential_id: sealed.json.data.id,
      allowed_operations: ['publish'],
      config: { topic: 'plant/t' },
    })
    integrationId = made.json.data.id
  })
  after(async () => {
    server.child.kill('SIGKILL')
    await sql.end()
    await broker.stop()
    await database.drop()
    await rm(dataDir, { recursive: true, force: true })
  })

  test('1,000 publishes, one after the other and then 64 at a time, leave exactly one CONNECT, and at 64 connections fewer commits than a third of the requests', async () => {
    for (let i = 0; i < 200; i++) assert.ok((await publish()).status < 300)
    // A backend reports its commits with the first one that comes a second after the last report: let a second go by, and
    // make every backend that is in use commit once more.
    const committed = async () => {
      await delay(1_100)
      for (let i = 0; i < 3; i++) await publish()
      await sql.query('select pg_stat_clear_snapshot()')
      const text = 'select xact_commit as commits from pg_stat_database where datname = current_database()'
      return Number((await sql.query<{ commits: string }>(text)).rows[0]?.commits)
    }
    assert.equal((await sql.query('show synchronous_commit')).rows[0].synchronous_commit, 'on')
    /** Transactions that wrote audit rows so far: exact, and known at once. */
    const written = async () => {
      const { rows } = await sql.query<{ count: string }>('select count(distinct xmin::text) from audit_rows')
      return Number(rows[0]?.count)
    }
    const before = await committed()
    const writtenBefore = await written()
    let left = 800
    const worker = async () => {
      while (left-- > 0) assert.ok((await publish()).status < 300)
    }
    await Promise.all(Array.from({ length: 64 }, worker))
    const transactions = (await written()) - writtenBefore
    let commits = (await committed()) - before
    for (let i = 0; i < 5 && commits < transactions; i++) commits = (await committed()) - before // a report is still out
    assert.ok(transactions > 0 && commits >= transactions, `${commits} commits reported for ${transactions} that wrote`)
    assert.ok(commits > 0 && commits < 800 / 3, `${commits} commits for 800 requests`)
    assert.equal(broker.connects(), 1)
  })

  test('kill -9 right after a success arrived: intent and outcome are both on record, and the next start finds them', async () => {
    const { status, json } = await publish()
    server.child.kill('SIGKILL')
    await once(server.child, 'exit')
    assert.ok(status < 300)
    const rows = async () => {
      const { rows: found } = await sql.query<{ action: string; outcome: string }>(
        'select action, outcome from audit_rows where request_id = $1 order by seq',
        [json.meta.request_id],
      )
      return found
    }
    const wanted = [
      { action: 'proxy.publish.intent', outcome: 'success' },
      { action: 'proxy.publish.outcome', outcome: 'success' },
    ]
    assert.deepEqual(await rows(), wanted)
    server = await startServerProcess({ DATABASE_URL: database.url, DATA_DIR: dataDir })
    assert.ok((await publish()).status < 300)
    assert.deepEqual(await rows(), wanted)
  })

  test('SIGTERM ends it with exit code 0', async () => {
    server.child.kill('SIGTERM')
    const [code] = (await once(server.child, 'exit')) as [number]
    assert.equal(code, 0)
  })
})
