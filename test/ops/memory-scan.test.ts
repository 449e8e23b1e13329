import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { testDatabase } from '#test/support/database.ts'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { type Found, searchMemory, whyMemoryIsClosed } from '#test/support/process-memory.ts'
import { type ServerProcess, startServerProcess } from '#test/support/server-process.ts'

/** As `src/messaging/README.md` says: what a login leaves behind until its memory is used again. */
const COPIES_PER_LOGIN = 3
/** What arrived with the request that sealed it, in the process that took it. */
const COPIES_PER_REQUEST = 8
const CONNECTIONS = 8
const PUBLISHES = 100
/** Requests that make the process use memory again. */
const CHURN = 300

const text32 = () => randomBytes(16).toString('hex')
const words = ({ utf8, base64, utf16 }: Found) => `${utf8} in UTF-8, ${base64} in base64, ${utf16} in UTF-16`

/** One process after the other on the same data, asked as its owner. */
async function startServers() {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'sealwire-memory-'))
  const database = await testDatabase()
  const env = { DATABASE_URL: database.url, DATA_DIR: dataDir, POOL_IDLE_MS: '600000' }
  let server: ServerProcess | undefined
  let key = ''

  async function stop() {
    if (!server) return
    const exited = once(server.child, 'exit')
    server.child.kill('SIGTERM')
    await exited
    server = undefined
  }
  return {
    async start() {
      await stop()
      server = await startServerProcess(env)
      key = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
    },
    pid: () => server?.child.pid ?? assert.fail('no server runs'),
    async call(method: string, target: string, body?: unknown): Promise<{ id: string }> {
      const headers = { 'x-api-key': key, 'content-type': 'application/json' }
      const sent = body === undefined ? {} : { body: JSON.stringify(body) }
      const res = await fetch(`${server?.url}${target}`, { method, headers, ...sent })
      const answer = (await res.json()) as { data: { id: string } }
      assert.ok(res.ok, JSON.stringify(answer))
      return answer.data
    },
    async close() {
      await stop()
      await database.drop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

function isClosed(t: TestContext, pid: number): boolean {
  const why = whyMemoryIsClosed(pid)
  if (why !== undefined) t.skip(why)
  return why !== undefined
}

test('the search finds UTF-8, UTF-16 and base64 in the memory of another process, and nothing that is not there', async (t) => {
  const [held, absent] = [text32(), text32()]
  const holder = `
    const text = Buffer.from(process.env.REVERSED).reverse().toString()
    globalThis.kept = [
      Buffer.from(text),
      Buffer.from(text, 'utf16le'),
      ...['', 'x', 'xx'].map((before) => Buffer.from(Buffer.from(before + text).toString('base64'))),
    ]
    console.log('ready')
    setInterval(() => globalThis.kept, 1000)`
  const env = { REVERSED: Buffer.from(held).reverse().toString() } // so that the environment does not hold it
  const child = spawn(process.execPath, ['-e', holder], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    const pid = child.pid ?? assert.fail()
    if (isClosed(t, pid)) return
    const { bytes, found } = searchMemory(pid, [held, absent])
    assert.ok(bytes > 1024 * 1024, `${bytes} bytes were searched`)
    const { utf8 = 0, utf16 = 0, base64 = 0 } = found.get(held) ?? {}
    assert.ok(utf8 >= 1 && utf16 >= 1 && base64 >= 3, words({ utf8, utf16, base64 }))
    assert.deepEqual(found.get(absent), { utf8: 0, base64: 0, utf16: 0 })
  } finally {
    child.kill('SIGKILL')
  }
})

test('a connection keeps no password: what a login leaves in memory is bounded, and goes', async (t) => {
  const [password, control] = [text32(), text32()]
  await using stack = new AsyncDisposableStack()
  const servers = stack.adopt(await startServers(), (one) => one.close())
  const broker = stack.adopt(await startMosquitto({ users: { sealwire: password } }), (one) => one.stop())
  const { call } = servers
  const values = { hostname: '127.0.0.1', port: broker.ports.tcp, username: 'sealwire', password }

  function search(when: string): number {
    const { found } = searchMemory(servers.pid(), [password, control])
    const [secret, known] = [found.get(password) ?? assert.fail(), found.get(control) ?? assert.fail()]
    t.diagnostic(`${when}: ${words(secret)}`)
    assert.ok(known.utf8 > 0, `${when}: the control is not found`)
    assert.deepEqual([secret.base64, secret.utf16], [0, 0], when)
    return secret.utf8
  }
  const churn = async () => {
    for (let i = 0; i < CHURN; i++) await call('GET', '/api/v2/integrations')
  }

  await servers.start()
  if (isClosed(t, servers.pid())) return
  const credential = { name: control, credential_type: 'custom_kv', values }
  const { id: credentialId } = await call('POST', '/api/v2/vault/seal', credential)
  assert.ok(search('after it was sealed') <= COPIES_PER_REQUEST)

  await servers.start() // what follows is the work of the pool
  const integrations: string[] = []
  for (let i = 0; i < CONNECTIONS; i++) {
    const config = { topic: 'memory', qos: 1 }
    const body = { name: control, system_type: 'mqtt', credential_id: credentialId, allowed_operations: ['publish'] }
    integrations.push((await call('POST', '/api/v2/integrations', { ...body, config })).id)
  }
  assert.equal(search('before the first login'), 0)

  for (let i = 0; i < PUBLISHES; i++) {
    const payload = { message: 'x' }
    const integration = integrations[i % CONNECTIONS]
    await call('POST', '/api/v2/proxy/outbound', { integration_id: integration, operation: 'publish', payload })
  }
  await delay(5_000) // the promise is about this long after the work
  assert.equal(broker.connects(), CONNECTIONS)
  const after = search(`5 s after ${PUBLISHES} publishes over ${CONNECTIONS} connections`)
  assert.ok(after <= COPIES_PER_LOGIN * CONNECTIONS)

  await churn()
  const used = search(`${CHURN} other requests later, ${CONNECTIONS} connections open`)
  assert.ok(used < CONNECTIONS, 'fewer copies than connections, so that none keeps its own')
  assert.ok(!/disconnected|closed its connection/.test(broker.log()), 'they were open all the while')

  const rotated = { ...values, password: text32() }
  await call('POST', `/api/v2/vault/rotate/${credentialId}`, { values: rotated })
  await broker.logged('disconnected') // the pool drains
  await churn()
  assert.ok(search('after the pool was drained') <= used)
})
