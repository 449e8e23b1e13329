import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PolicyDocument } from '#src/policy/document.ts'
import { type FaultProxy, startFaultProxy } from '#test/support/fault-proxy.ts'
import { type HookedDeployment, type HookUser, serveHooks } from '#test/support/hooked-deployment.ts'
import type { Mosquitto } from '#test/support/mosquitto.ts'
import { compileGoAuth, type PluginFile, startGoAuthBroker } from '#test/support/mosquitto-plugin/go-auth-broker.ts'
import { type HookDouble, startHookDouble } from '#test/support/mosquitto-plugin/hook-double.ts'
import { connectMqtt, type MqttClient } from '#test/support/mqtt-client.ts'

// Mosquitto has one thread, and it waits for each answer: while ours does not come, nobody is served. What bounds that is the
// plugin's timeout, and for whatever holds us up but leaves us running, our own deadline, which is shorter.

const document: PolicyDocument = {
  schema: 'mqtt-policy/1',
  id: 'outage',
  rules: [{ id: 'own', effect: 'allow', actions: ['publish', 'subscribe', 'receive'], topics: ['own/${username}/#'] }],
}
const ann: HookUser = { username: 'ann', password: 'ann-password' }
const ben: HookUser = { username: 'ben', password: 'ben-password' }
/** Whole seconds, as go-auth takes them. */
const TIMEOUT_MS = 1_000
/** What a loaded machine may add. */
const SLACK_MS = 3_000

let server: HookedDeployment
let plugin: PluginFile
let proxy: FaultProxy
/** A service of the operator that knows clients. */
let service: HookDouble
let broker: Mosquitto
before(async () => {
  service = await startHookDouble()
  const url = `http://127.0.0.1:${service.port}/who`
  ;[server, plugin] = await Promise.all([
    serveHooks({
      document,
      users: [ann, ben],
      configure: ({ providers, hooks: [section], ...rest }) => ({
        ...rest,
        providers: { ...providers, service: { type: 'http', url } },
        hooks: [section, { ...section, name: 'slow', providers: ['service'], deadline_ms: 250 }],
      }),
    }),
    compileGoAuth(),
  ])
  proxy = await startFaultProxy({ toPort: server.port })
  const options = { http_port: proxy.port, http_timeout: TIMEOUT_MS / 1000, disable_superuser: 'true' }
  broker = await startGoAuthBroker(plugin, { ...server.goAuth('http'), ...options })
})
after(async () => {
  await broker?.stop()
  await Promise.all([proxy?.stop(), server?.close(), plugin?.remove(), service?.stop()])
})

async function join(user: HookUser, clientId: string): Promise<MqttClient & AsyncDisposable> {
  const client = await connectMqtt(broker.ports.tcp, { ...user, clientId })
  assert.equal(client.connected, 0, `${user.username} as ${clientId}`)
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}

const timeouts = () => broker.log().split('Timeout was reached').length - 1

describe('our answer hangs', () => {
  const faults = [
    { name: 'the server stands still', begin: () => server.signal('SIGSTOP'), end: () => server.signal('SIGCONT') },
    {
      name: 'the network swallows the answer',
      begin: () => proxy.change('down', { stalled: true }),
      end: () => proxy.change('down', { stalled: false }),
    },
  ]
  for (const { name, begin, end } of faults) {
    test(`${name}: the client that asked is refused in time, and the broker lives`, async () => {
      await using idle = await join(ben, 'ben-1')
      assert.deepEqual(await idle.subscribe('own/ben/#'), [1])
      const asking = await join(ann, 'ann-1')
      const before = timeouts()
      begin()
      try {
        const startedMs = performance.now()
        const asked = proxy.up.bytesRead
        const published = asking
          .publish('own/ann/x', 'during')
          .then((code) => ({ code, ms: performance.now() - startedMs }))
        while (proxy.up.bytesRead === asked) await nextTurn()
        // The other client asks nothing of us. It waits all the same, until the plugin gives up on the first.
        await idle.ping()
        const idleMs = performance.now() - startedMs
        const { code, ms } = await published
        assert.equal(code, 'closed') // an error in the plugin ends the connection; it is no grant
        assert.equal(timeouts(), before + 1)
        for (const waitedMs of [ms, idleMs])
          assert.ok(waitedMs > TIMEOUT_MS / 2 && waitedMs < TIMEOUT_MS + SLACK_MS, `${waitedMs} ms`)
        // Whoever comes meanwhile is not let in.
        assert.equal((await connectMqtt(broker.ports.tcp, { ...ann, clientId: 'ann-2' })).connected, 'closed')
        assert.equal(timeouts(), before + 2)
      } finally {
        end()
      }
      assert.equal(await idle.publish('own/ben/x', 'afterwards'), 0)
      assert.deepEqual(await idle.delivered(1), [{ topic: 'own/ben/x', payload: 'afterwards' }])
      await using back = await join(ann, 'ann-1')
      assert.equal(await back.publish('own/ann/x', 'afterwards'), 0)
      assert.equal(idle.isClosed, false)
    })
  }
})

test('what we wait for ourselves holds the broker up for a quarter of a second, and is a no', async () => {
  await using patient = await startPatient()
  const idle = await connectMqtt(patient.broker.ports.tcp, { ...ben, clientId: 'ben-3' })
  assert.equal(idle.connected, 0)
  service.answer = () => 'hang'
  const isAsked = service.next()
  const startedMs = performance.now()
  const slow = connectMqtt(patient.broker.ports.tcp, { ...ann, clientId: 'ann-5' })
  await isAsked
  await idle.ping()
  const idleMs = performance.now() - startedMs
  assert.equal((await slow).connected, 'closed')
  assert.ok(idleMs > 100 && idleMs < 250 + SLACK_MS, `${idleMs} ms`)
  const logins = (outcome = '') =>
    server.metric('sealwire_hook_answers_total', `hook="slow",question="login"${outcome}`)
  assert.deepEqual([await logins(), await logins(',outcome="accepted"')], [2, 1])
  assert.match(patient.broker.log(), /go-auth: .*\/user: no usable answer, status 503/)
  assert.doesNotMatch(patient.broker.log(), /Timeout was reached/)
  await idle.end()
})

/** A broker that would wait for half a minute, and asks the hook whose provider can be made slow. */
async function startPatient() {
  service.answer = () => ({ status: 200, body: '{"result":"success"}' })
  const patient = await startGoAuthBroker(plugin, { ...server.goAuth('http', 'slow'), http_timeout: 30 })
  return { broker: patient, [Symbol.asyncDispose]: () => patient.stop() }
}

describe('the server is started again', () => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`after ${signal} who is connected goes on without logging in again`, async () => {
      await using client = await join(ann, `ann-${signal}`)
      assert.deepEqual(await client.subscribe('own/ann/#'), [1])
      assert.equal(await client.publish('own/ann/x', 'before'), 0)
      await server.restart(signal)
      assert.equal(await client.publish('own/ann/x', 'after'), 0)
      assert.deepEqual(
        (await client.delivered(2)).map(({ payload }) => payload),
        ['before', 'after'],
      )
      assert.equal(await client.publish('own/ben/x', 'not hers'), 0x87)
      assert.equal(await server.metric('sealwire_hook_answers_total', 'question="login"'), 0)
      assert.equal(client.isClosed, false)
    })
  }

  test('while it is away a question is an error: no grant, and no stall', async () => {
    await using idle = await join(ben, 'ben-2')
    const asking = await join(ann, 'ann-3')
    await server.whileAway(async () => {
      const startedMs = performance.now()
      assert.equal(await asking.publish('own/ann/x', 'x'), 'closed')
      assert.equal((await connectMqtt(broker.ports.tcp, { ...ann, clientId: 'ann-4' })).connected, 'closed')
      await idle.ping()
      assert.ok(performance.now() - startedMs < TIMEOUT_MS + SLACK_MS)
    })
    assert.equal(await idle.publish('own/ben/x', 'x'), 0)
  })
})
