import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { FakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { auditRows, integrate, openIntents, publish, type Stack, startSlowBroker, startStack } from './system-parts.ts'

const IN_FLIGHT = 50

async function isRefused(url: string): Promise<boolean> {
  const socket: Socket = connect(Number(new URL(url).port), '127.0.0.1')
  const refused = await Promise.race([
    once(socket, 'connect').then(() => false),
    once(socket, 'error').then(() => true),
  ]).catch(() => true)
  socket.destroy()
  return refused
}

/** Clients that hold a connection: one sends no body, one reads no answers, one does not finish its headers. */
async function openStalled({ server, key }: Stack): Promise<Socket[]> {
  const { hostname, port } = new URL(server.url)
  const head = `host: x\r\nx-api-key: ${key}\r\n`
  const texts = [
    `POST /api/v2/vault/seal HTTP/1.1\r\n${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
    `GET /docs/openapi.json HTTP/1.1\r\n${head}\r\n`.repeat(50),
    'GET /health HTTP/1.1\r\nhost',
  ]
  const sockets = texts.map((text) => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined) // it is cut in the end
    socket.pause()
    socket.write(text)
    return socket
  })
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  return sockets
}

const backends = `select count(*)::int as count from pg_stat_activity
  where datname = current_database() and application_name = 'sealwire'`

describe('F40, A40, G24: SIGTERM with 50 publishes in flight at a slow broker, and clients that stall', () => {
  let stack: Stack
  let broker: FakeBroker
  let waiting: (() => void)[]
  before(async () => {
    ;({ broker, waiting } = await startSlowBroker())
    stack = await startStack({ STOP_NOTICE_MS: '3000' })
  })
  after(async () => {
    await stack.close()
    await broker.stop()
  })

  test('readiness goes at once, what finishes in time is answered as ever, the rest is unknown, and the process exits 0 with nothing left', async () => {
    const { call, sql, server } = stack
    const { integrationId } = await integrate(call, broker.port)
    const ready = async () => {
      const res = await fetch(`${server.url}/health/ready`)
      return {
        status: res.status,
        body: (await res.json()) as { status: string },
        connection: res.headers.get('connection'),
      }
    }
    assert.equal((await ready()).status, 200)
    const headers = { 'request-deadline-ms': '30000' }
    const answers = Array.from({ length: IN_FLIGHT }, () => publish(call, integrationId, { headers }))
    await broker.received('publish', IN_FLIGHT)
    const collecting = call('POST', '/api/v2/proxy/outbound', {
      integration_id: integrationId,
      operation: 'subscribe',
      payload: { topic: 'plant/#', wait_ms: 25_000 },
    })
    await broker.received('subscribe')
    const stalled = await openStalled(stack)

    const exited = once(server.child, 'exit')
    const signalledMs = performance.now()
    server.child.kill('SIGTERM')
    let seen = await ready()
    while (seen.status === 200) seen = await ready()
    assert.deepEqual([seen.status, seen.body.status, seen.connection], [503, 'stopping', 'close'])
    const noticedMs = performance.now() - signalledMs
    assert.ok(noticedMs < patience(2_500), `readiness went after ${noticedMs} ms: not before the listener did`)

    const late = publish(call, integrationId, { headers }) // a load balancer that has not looked yet
    await broker.received('publish', IN_FLIGHT + 1)
    for (const acknowledge of waiting.filter((_, i) => i % 2 === 0)) acknowledge()
    const all = await Promise.all([...answers, late])
    const of = (status: number) => all.filter((answer) => answer.status === status)
    assert.equal(of(200).length, 26)
    assert.equal(of(504).length, 25)
    assert.ok(of(504).every(({ code }) => code === 'outcome.unknown'))

    const collected = await collecting
    assert.ok([200, 503].includes(collected.status), `a collect ended as ${collected.status} ${collected.code}`)

    const [code] = (await exited) as [number | null]
    const tookMs = performance.now() - signalledMs
    assert.equal(code, 0)
    assert.ok(tookMs < patience(15_000), `took ${Math.round(tookMs)} ms`)

    for (const socket of stalled) socket.destroy()
    assert.equal(await isRefused(server.url), true)
    await Promise.all(
      broker.connections.map(({ socket }) => (socket.closed ? Promise.resolve() : once(socket, 'close'))),
    )
    for (let left = 1; left > 0; ) left = (await sql.query<{ count: number }>(backends)).rows[0]?.count ?? 0
    assert.equal(broker.packetsOf('publish').length, IN_FLIGHT + 1, 'nothing was sent twice')

    const rows = await auditRows(sql)
    assert.equal(rows.filter(({ action }) => action === 'proxy.publish.intent').length, IN_FLIGHT + 1)
    assert.deepEqual(openIntents(rows), [])
    const outcomes = rows.filter(({ action }) => action === 'proxy.publish.outcome').map(({ outcome }) => outcome)
    assert.deepEqual(
      [outcomes.filter((one) => one === 'success').length, outcomes.filter((one) => one === 'unknown').length],
      [26, 25],
    )
  })
})
