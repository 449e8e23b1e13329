import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually } from '#test/audit/parts.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { patience } from '#test/support/patience.ts'
import { type ServerProcess, startServerProcess } from '#test/support/server-process.ts'

const PASSWORD = 'of the line'

interface Answer {
  status: number
  code: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: answers have many shapes
  data: any
}

describe('two server processes over one database, and a real broker', () => {
  let database: TestDatabase
  let broker: Mosquitto
  let dataDir: string
  let servers: [ServerProcess, ServerProcess]
  let key: string
  let custodyKey: string
  let integrationId: string

  async function call({ url }: ServerProcess, target: string, body: unknown = {}): Promise<Answer> {
    const res = await fetch(url + target, {
      method: 'POST',
      headers: {
        'x-api-key': key,
        'content-type': 'application/json',
        ...(target.endsWith('/seal') && { 'x-vault-enable-mpc': 'true' }),
      },
      body: JSON.stringify(body),
    })
    const { data, error } = (await res.json()) as { data: unknown; error: { code: string } | null }
    return { status: res.status, code: error?.code, data }
  }
  const publish = (server: ServerProcess) =>
    call(server, '/api/v2/proxy/outbound', {
      integration_id: integrationId,
      operation: 'publish',
      payload: { message: '22.5', qos: 1 },
    })
  const unlock = (server: ServerProcess) =>
    call(server, `/api/v2/integrations/${integrationId}/unlock`, { custody_key: custodyKey, ttl_s: 600 })
  const lock = (server: ServerProcess) => call(server, `/api/v2/integrations/${integrationId}/lock`)
  const logins = () => broker.connects()
  const statusesOf = async (work: (server: ServerProcess) => Promise<Answer>) =>
    (await Promise.all(servers.map(work))).map(({ status }) => status)

  before(async () => {
    ;[database, broker, dataDir] = await Promise.all([
      testDatabase(),
      startMosquitto({ users: { line: PASSWORD } }),
      mkdtemp(path.join(tmpdir(), 'sealwire-two-')),
    ])
    const env = { DATABASE_URL: database.url, DATA_DIR: dataDir }
    servers = [await startServerProcess(env), await startServerProcess(env)]
    key = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
    const values = { hostname: '127.0.0.1', port: broker.ports.tcp, username: 'line', password: PASSWORD }
    const sealed = await call(servers[0], '/api/v2/vault/seal', { credential_type: 'custom_kv', values })
    custodyKey = sealed.data.custody_key
    const made = await call(servers[1], '/api/v2/integrations', {
      name: 'line 4',
      system_type: 'mqtt',
      credential_id: sealed.data.id,
      allowed_operations: ['publish'],
      config: { topic: 'line/4' },
    })
    integrationId = made.data.id
  })
  after(async () => {
    for (const { child } of servers) child.kill('SIGKILL')
    await broker.stop()
    await database.drop()
    await rm(dataDir, { recursive: true, force: true })
  })

  test('each holds what was handed to it; a lock in one reaches the other within a second, and its connection ends', async () => {
    const [one, other] = servers
    const ids = await Promise.all(servers.map(async (server) => (await unlock(server)).data?.process_id as string))
    assert.equal(new Set(ids).size, 2)
    assert.deepEqual(await statusesOf(publish), [202, 202])
    assert.equal(logins(), 2)
    assert.equal((await lock(one)).status, 200)
    const lockedAt = performance.now()
    assert.equal((await publish(one)).code, 'integration.locked')
    await eventually(async () => ((await publish(other)).code === 'integration.locked' ? true : undefined))
    assert.ok(performance.now() - lockedAt < patience(1_000), `${performance.now() - lockedAt} ms`)
    await eventually(async () => (broker.log().split(' disconnected').length > 2 ? true : undefined))
    assert.equal(logins(), 2)
    await unlock(other)
    assert.deepEqual([(await publish(one)).code, (await publish(other)).status], ['integration.locked', 202])
  })

  test('a broker that is restarted is logged in to again while the integration is unlocked, and not once it is locked', async () => {
    await Promise.all(servers.map(unlock))
    assert.deepEqual(await statusesOf(publish), [202, 202])
    const before = logins()
    await broker.restart()
    for (const server of servers)
      await eventually(async () => ((await publish(server)).status === 202 ? true : undefined))
    assert.equal(logins(), before + 2)
    await lock(servers[0])
    await eventually(async () => ((await publish(servers[1])).code === 'integration.locked' ? true : undefined))
    await broker.restart()
    for (const server of servers) assert.equal((await publish(server)).code, 'integration.locked')
    assert.equal(logins(), before + 2)
  })
})
