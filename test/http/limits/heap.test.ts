import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Sealwire } from '#src/sdk/index.ts'
import { testDatabase } from '#test/support/database.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { startServerProcess } from '#test/support/server-process.ts'

const HEAP_MIB = 80
/** Many times what the heap holds: each body becomes text, a tree and a payload. */
const REQUESTS = 150
const MESSAGE = 'x'.repeat(900 * 1024)

/** Status of one request, or the code of the failure of its connection. */
function send(url: string, headers: Record<string, string>, body: string): Promise<number | string> {
  return new Promise((resolve) => {
    const req = request(url, { method: 'POST', headers, agent: false }, (res) => {
      res.resume()
      res.once('end', () => resolve(res.statusCode ?? 0))
    })
    req.on('error', (err: NodeJS.ErrnoException) => resolve(err.code ?? 'error'))
    req.end(body)
  })
}

test('bodies that would fill the heap many times over are refused with 503; the process lives, and serves afterwards', async (t) => {
  await using stack = new AsyncDisposableStack()
  const dataDir = stack.adopt(await mkdtemp(path.join(tmpdir(), 'sealwire-heap-')), (folder) =>
    rm(folder, { recursive: true, force: true }),
  )
  const database = stack.adopt(await testDatabase(), ({ drop }) => drop())
  const held: (() => void)[] = []
  let mute = true
  const broker = await startFakeBroker({
    keep: false,
    misbehave: {
      publish({ messageId = 0 }, connection) {
        const acknowledge = () => connection.send({ cmd: 'puback', messageId })
        if (mute) held.push(acknowledge)
        else acknowledge()
      },
    },
  })
  stack.defer(() => broker.stop())
  let said = ''
  const server = await startServerProcess(
    { DATABASE_URL: database.url, DATA_DIR: dataDir, NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` },
    (text) => {
      said = (said + text).slice(-4000)
    },
  )
  stack.defer(async () => {
    if (server.child.exitCode !== null) return
    server.child.kill('SIGTERM')
    await once(server.child, 'exit')
  })
  const apiKey = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
  const sdk = new Sealwire({ baseUrl: server.url, apiKey })
  const values = { hostname: '127.0.0.1', port: broker.port }
  const { id: credentialId } = await sdk.vault.seal({ credentialType: 'custom_kv', values })
  const { id } = await sdk.integrations.create({
    name: 'large',
    systemType: 'mqtt',
    credentialId,
    allowedOperations: ['publish'],
    config: { topic: 'large', qos: 1, limits: { maxPayloadBytes: 1_000_000, maxInFlight: 1000 } },
  })
  const headers = { 'content-type': 'application/json', 'x-api-key': apiKey, 'request-deadline-ms': '5000' }
  const body = JSON.stringify({ integration_id: id, operation: 'publish', payload: { message: MESSAGE } })
  const target = `${server.url}/api/v2/proxy/outbound`

  const ask = () => Promise.all(Array.from({ length: REQUESTS }, () => send(target, headers, body)))
  let answers = await ask()
  for (let i = 1; i < 4 && !answers.includes(504); i++) answers = await ask() // a busy machine may let in nothing
  const counts = Map.groupBy(answers, (answer) => answer)
  const summary = JSON.stringify(Object.fromEntries([...counts].map(([answer, all]) => [answer, all.length])))
  t.diagnostic(summary)
  assert.equal(server.child.exitCode, null, `the process ended: ${said}`)
  assert.equal(server.child.signalCode, null, said)
  assert.ok((counts.get(503)?.length ?? 0) > 0, `nothing was refused: ${summary}`)
  assert.ok((counts.get(504)?.length ?? 0) > 0, `nothing was let in: ${summary}`)
  assert.equal((await fetch(`${server.url}/health`)).status, 200)

  mute = false
  for (const acknowledge of held) acknowledge()
  // What the storm left on the heap is collected by and by, and until then there is room for little.
  const patient = { ...headers, 'request-deadline-ms': '20000' }
  let served = await send(target, patient, body)
  for (const startedMs = performance.now(); served === 503 && performance.now() - startedMs < 30_000; ) {
    await delay(250)
    served = await send(target, patient, body)
  }
  assert.equal(served, 200)
})
