import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { runToExit, type ServerProcess, startServerProcess } from '#test/support/server-process.ts'

const run = promisify(execFile)

/** The command as the operator types it. */
async function tenantsAt(dataDir: string, ...args: string[]): Promise<string> {
  const env = { PATH: process.env['PATH'] ?? '', DATA_DIR: dataDir, LOG_LEVEL: 'silent' }
  const { stdout } = await run(process.execPath, ['src/cli/main.ts', 'tenants', ...args], { env })
  return stdout
}

const createTenantAt = (dataDir: string) => tenantsAt(dataDir, 'create', 'plant-4', '--json')

describe('the operator at the host, on the own PostgreSQL', () => {
  let dataDir: string
  let server: ServerProcess | undefined

  before(async () => {
    dataDir = await mkdtemp(path.join(tmpdir(), 'sealwire-operator-'))
    server = await startServerProcess({ DATA_DIR: dataDir })
  })
  after(async () => {
    server?.child.kill('SIGKILL')
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 }) // its PostgreSQL still writes
  })

  test('makes a tenant beside the running server, whose key works there at once', async () => {
    const key = /qs_live_\w+/.exec(await createTenantAt(dataDir))?.[0]
    assert.ok(key)
    const res = await fetch(`${server?.url}/api/v2/vault/entries`, { headers: { 'x-api-key': key } })
    assert.equal(res.status, 200)
  })

  test('lists the tenants beside the running server, the oldest first, with what was set for them', async () => {
    const tenants = async () =>
      (await tenantsAt(dataDir, 'list', '--json'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    const before = await tenants()
    assert.deepEqual(
      before.map(({ name }) => name),
      ['default', 'plant-4'],
    )
    const { id } = before[1]
    await tenantsAt(dataDir, 'set', id, '--envelope-versions', '1,2', '--rate-limit', '5000')
    const [, after] = await tenants()
    assert.deepEqual(after, {
      id,
      name: 'plant-4',
      sandbox: false,
      created_at: before[1].created_at,
      envelope_versions: [1, 2],
      rate_limit: 5000,
      kms_key_id: null,
      api_keys: 1,
    })
    const [first = '', second = ''] = (await tenantsAt(dataDir, 'list')).trim().split('\n')
    assert.match(first, /^ten_\w{26} {2}\S+Z {2}1 key {5}default$/)
    assert.ok(second.endsWith('  1 key     plant-4  envelope versions 1 and 2  5000 cost units a second'), second)
  })

  test('makes a tenant after the server was killed, and the next start knows it', async () => {
    const { child } = server as ServerProcess
    child.kill('SIGKILL')
    await once(child, 'exit')
    const key = /qs_live_\w+/.exec(await createTenantAt(dataDir))?.[0]
    assert.ok(key)
    server = await startServerProcess({ DATA_DIR: dataDir })
    const res = await fetch(`${server.url}/api/v2/vault/entries`, { headers: { 'x-api-key': key } })
    assert.equal(res.status, 200)
  })
})

describe('a server on a given PostgreSQL', () => {
  let database: TestDatabase
  let dataDir: string

  before(async () => {
    ;[database, dataDir] = await Promise.all([testDatabase(), mkdtemp(path.join(tmpdir(), 'sealwire-first-'))])
  })
  after(async () => {
    await database.drop()
    await rm(dataDir, { recursive: true, force: true })
  })
  const env = () => ({ DATABASE_URL: database.url, DATA_DIR: dataDir })
  const keyFile = () => path.join(dataDir, 'owner-api-key')

  test('whose first owner key cannot be written makes no tenant, and the next start makes it', async () => {
    await mkdir(keyFile())
    const { code } = await runToExit(env())
    assert.equal(code, 1)
    assert.deepEqual((await database.db.query('select 1 from tenants')).rows, [])
    await rm(keyFile(), { recursive: true })
    const { child, url } = await startServerProcess(env())
    const key = (await readFile(keyFile(), 'utf8')).trim()
    assert.equal((await fetch(`${url}/api/v2/vault/entries`, { headers: { 'x-api-key': key } })).status, 200)
    child.kill('SIGTERM')
    await once(child, 'exit')
  })

  test('never overwrites the owner key of another database', async () => {
    const other = await testDatabase()
    const before = await readFile(keyFile(), 'utf8')
    const { code, said } = await runToExit({ ...env(), DATABASE_URL: other.url })
    await other.drop()
    assert.equal(code, 1)
    assert.match(said, /owner-api-key|local-kms/)
    assert.equal(await readFile(keyFile(), 'utf8'), before)
  })

  test('is not ready while the database only reads, and is again when it writes', async () => {
    const { child, url } = await startServerProcess(env())
    const ready = async () => (await fetch(`${url}/health/ready`)).status
    const becomes = async (status: number) => {
      for (const end = Date.now() + 10_000; (await ready()) !== status; ) assert.ok(Date.now() < end, `never ${status}`)
    }
    await becomes(200)
    const name = (await database.db.query<{ name: string }>('select current_database() as name')).rows[0]?.name
    const disconnect =
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'
    await database.db.query(`alter database ${name} set default_transaction_read_only = on`)
    await database.db.query(disconnect)
    await becomes(503)
    await database.db.query('set default_transaction_read_only = off')
    await database.db.query(`alter database ${name} reset default_transaction_read_only`)
    await database.db.query(disconnect)
    await becomes(200)
    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number]
    assert.equal(code, 0)
  })

  test('a key sent twice in Authorization is no key; once it is', async () => {
    const { child, url } = await startServerProcess(env())
    const key = (await readFile(keyFile(), 'utf8')).trim()
    const { hostname, port } = new URL(url)
    const status = async (authorization: string[]) => {
      const req = request({
        hostname,
        port,
        path: '/api/v2/vault/entries',
        headers: ['host', hostname, ...authorization.flatMap((value) => ['authorization', value])],
      })
      req.end()
      const [res] = await once(req, 'response')
      res.resume()
      return res.statusCode as number
    }
    assert.equal(await status([`Bearer ${key}`, 'Bearer other']), 401)
    assert.equal(await status([`Bearer ${key}`]), 200)

    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.write(`GET /health HTTP/1.1\r\nhost: x\r\nx-large: ${'x'.repeat(20_000)}\r\n\r\n`)
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    assert.match(text, /^HTTP\/1\.1 431 /)
    assert.equal(JSON.parse(text.slice(text.indexOf('\r\n\r\n'))).error.code, 'request.too_large')
    child.kill('SIGTERM')
    await once(child, 'exit')
  })

  test('stops with the database away, without a trace', async () => {
    const own = await testDatabase()
    const home = await mkdtemp(path.join(tmpdir(), 'sealwire-away-'))
    const { child, url } = await startServerProcess({ DATABASE_URL: own.url, DATA_DIR: home })
    await fetch(`${url}/api/v2/vault/entries`) // a refusal to count
    await own.drop()
    child.kill('SIGTERM')
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    assert.equal(signal, null)
    assert.ok(code === 0 || code === 1)
    assert.ok(existsSync(home))
    await rm(home, { recursive: true })
  })
})
