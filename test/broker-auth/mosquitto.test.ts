import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { PolicyDocument } from '#src/policy/document.ts'
import { type HookedDeployment, type HookUser, serveHooks } from '#test/support/hooked-deployment.ts'
import type { Mosquitto } from '#test/support/mosquitto.ts'
import {
  compileGoAuth,
  type GoAuthOptions,
  type PluginFile,
  startGoAuthBroker,
} from '#test/support/mosquitto-plugin/go-auth-broker.ts'
import { connectMqtt, type MqttClient } from '#test/support/mqtt-client.ts'
import { hmacToken } from '../../scripts/bench/hooks/tokens.ts'

// A real Mosquitto that asks the whole server: what a policy says is asserted where it counts, at the clients of the broker,
// and in what the server says of itself.

const document: PolicyDocument = {
  schema: 'mqtt-policy/1',
  id: 'line',
  rules: [
    {
      id: 'own-telemetry',
      effect: 'allow',
      actions: ['publish'],
      topics: ['plant/${clientId}/telemetry/#'],
      when: { groups: ['machines'] },
    },
    {
      id: 'own-commands',
      effect: 'allow',
      actions: ['subscribe', 'receive'],
      topics: ['plant/${clientId}/cmd/#'],
      when: { groups: ['machines'] },
    },
    {
      id: 'watch',
      effect: 'allow',
      actions: ['subscribe', 'receive'],
      topics: ['plant/+/telemetry/#'],
      when: { groups: ['operators', 'viewers'] },
    },
    {
      id: 'command',
      effect: 'allow',
      actions: ['publish'],
      topics: ['plant/+/cmd/+'],
      when: { groups: ['operators'] },
    },
    {
      id: 'not-for-viewers',
      effect: 'deny',
      actions: ['subscribe', 'receive'],
      topics: ['plant/+/telemetry/private'],
      overlap: 'filter',
      when: { groups: ['viewers'] },
    },
  ],
}

const press: HookUser = { username: 'press', password: 'press-password', groups: ['machines'] }
const operator: HookUser = { username: 'ola', password: 'ola-password', groups: ['operators'] }
const viewer: HookUser = { username: 'vik', password: 'vik-password', groups: ['viewers'] }
const users = [press, operator, viewer, { username: 'gone', password: 'gone-password', enabled: false }]

const NOT_AUTHORIZED = 0x87
const ISSUER = 'https://idp.example'
const TOKEN_SECRET = Buffer.from('of 32 characters, as HS256 has it')

let server: HookedDeployment
let plugin: PluginFile
let broker: Mosquitto
before(async () => {
  ;[server, plugin] = await Promise.all([
    serveHooks({
      document,
      users,
      configure: ({ providers, hooks: [section], ...rest }) => ({
        ...rest,
        providers: {
          ...providers,
          tokens: { type: 'jwt', issuer: ISSUER, audience: 'mqtt', secret: { env: 'TOKEN_SECRET' } },
        },
        hooks: [
          section,
          { ...section, name: 'forms', answers: 'text', superuser: { groups: ['operators'] } },
          { ...section, name: 'tokens', providers: ['tokens'] },
        ],
      }),
      env: { TOKEN_SECRET: TOKEN_SECRET.toString('latin1') },
    }),
    compileGoAuth(),
  ])
  broker = await startGoAuthBroker(plugin, server.goAuth('http'))
})
after(async () => {
  await broker?.stop()
  await Promise.all([server?.close(), plugin?.remove()])
})

async function join(user: HookUser, clientId: string, version: 4 | 5 = 5): Promise<MqttClient & AsyncDisposable> {
  const client = await connectMqtt(broker.ports.tcp, { ...user, clientId, version })
  assert.equal(client.connected, 0, `${user.username} as ${clientId}`)
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}

/** Answers about topics so far: those that allowed, and those that did not. */
async function answered() {
  const count = (outcome: string) =>
    server.metric('sealwire_hook_answers_total', `question="access",outcome="${outcome}"`)
  return { allowed: await count('allowed'), denied: await count('denied') }
}

/** Repeats an assertion until it holds, for as long as a change may take to be felt. */
async function eventually(check: () => Promise<void>, withinMs = 5_000): Promise<void> {
  for (const since = performance.now(); ; await delay(20)) {
    try {
      return await check()
    } catch (err) {
      if (performance.now() - since > withinMs) throw err
    }
  }
}

describe('three users, each within what the policy says', () => {
  test('connect, subscribe, publish and delivery, under MQTT 5 and 3.1.1', async () => {
    for (const version of [5, 4] as const) {
      const refused = version === 5 ? NOT_AUTHORIZED : 0x80
      const before = await answered()
      await using machine = await join(press, 'm7', version)
      await using ola = await join(operator, 'ola-1', version)
      await using vik = await join(viewer, 'vik-1', version)

      assert.deepEqual(await machine.subscribe('plant/m7/cmd/#', 'plant/m8/cmd/#', 'plant/+/cmd/#', '#'), [
        1,
        refused,
        refused,
        refused,
      ])
      assert.deepEqual(await ola.subscribe('plant/+/telemetry/#', 'plant/+/cmd/#', '$SYS/#'), [1, refused, refused])
      assert.deepEqual(await vik.subscribe('plant/+/telemetry/#', 'plant/m7/telemetry/private'), [1, refused])

      // Under 3.1.1 a refused publish is acknowledged like any other: what counts is that nobody gets it.
      const notDone = version === 5 ? NOT_AUTHORIZED : 0
      assert.equal(await machine.publish('plant/m8/telemetry/temp', 'as another'), notDone)
      assert.equal(await machine.publish('plant/m7/cmd/stop', 'to itself'), notDone)
      assert.equal(await vik.publish('plant/m7/cmd/stop', 'a viewer'), notDone)
      assert.equal(await ola.publish('plant/m7/telemetry/temp', 'an operator'), notDone)
      assert.equal(await ola.publish('plant/m7/cmd/deep/down', 'one level too many'), notDone)

      assert.equal(await machine.publish('plant/m7/telemetry/private', 'p'), 0)
      assert.equal(await machine.publish('plant/m7/telemetry/temp', '21.5'), 0)
      assert.equal(await ola.publish('plant/m7/cmd/stop', 'now'), 0)

      const [toMachine, toOla, toVik] = await Promise.all([machine.delivered(1), ola.delivered(2), vik.delivered(1)])
      await Promise.all([machine, ola, vik].map((client) => client.ping())) // and nothing after that
      assert.deepEqual(toMachine, [{ topic: 'plant/m7/cmd/stop', payload: 'now' }])
      assert.deepEqual(toOla, [
        { topic: 'plant/m7/telemetry/private', payload: 'p' },
        { topic: 'plant/m7/telemetry/temp', payload: '21.5' },
      ])
      assert.deepEqual(toVik, [{ topic: 'plant/m7/telemetry/temp', payload: '21.5' }])
      assert.deepEqual(
        [machine, ola, vik].map(({ messages }) => messages.length),
        [1, 2, 1],
      )
      // Three filters, three publishes and four deliveries; six filters, five publishes and what a viewer must not see.
      assert.deepEqual(await answered(), { allowed: before.allowed + 10, denied: before.denied + 12 })
    }
  })

  test('a will is judged when it fires', async () => {
    await using ola = await join(operator, 'ola-2')
    await ola.subscribe('plant/+/telemetry/#')
    for (const topic of ['plant/m9/telemetry/lost', 'plant/m7/telemetry/lost']) {
      const machine = await connectMqtt(broker.ports.tcp, { ...press, clientId: 'm7', will: { topic, payload: 'w' } })
      assert.equal(machine.connected, 0)
      machine.drop()
    }
    assert.deepEqual(await ola.delivered(1), [{ topic: 'plant/m7/telemetry/lost', payload: 'w' }])
  })

  test('nobody else gets in, nobody learns why, and the operator does', async () => {
    const refusals = () => server.metric('sealwire_hook_answers_total', 'question="login",outcome="refused:')
    const before = await refusals()
    const logins = [
      { username: 'press', password: 'ola-password', clientId: 's1', reason: 'wrong-password' },
      { username: 'nobody', password: 'press-password', clientId: 's2', reason: 'unknown-user' },
      { username: 'gone', password: 'gone-password', clientId: 's3', reason: 'disabled' },
    ]
    for (const login of logins) {
      const client = await connectMqtt(broker.ports.tcp, login)
      assert.equal(client.connected, NOT_AUTHORIZED, login.username)
    }
    assert.equal(await refusals(), before + logins.length)
    const wanted = logins.map(({ clientId, username, reason }) => ({ clientId, username, reason, count: 1 }))
    const listed = async () => {
      const all = await server.owner.unauthorisedClients.list()
      return all
        .map(({ clientId, username, reason, count }) => ({ clientId, username, reason, count }))
        .sort((one, other) => String(one.clientId).localeCompare(String(other.clientId)))
    }
    await eventually(async () => assert.deepEqual(await listed(), wanted))
  })
})

describe('other ways in which go-auth asks', () => {
  async function start(options: GoAuthOptions) {
    const own = await startGoAuthBroker(plugin, options)
    return { port: own.ports.tcp, [Symbol.asyncDispose]: () => own.stop() }
  }

  test('forms that are answered with a word; whom the hook names is a superuser, and nobody else', async () => {
    await using own = await start({
      ...server.goAuth('http', 'forms'),
      http_params_mode: 'form',
      http_response_mode: 'text',
    })
    const machine = await connectMqtt(own.port, { ...press, clientId: 'm7' })
    assert.equal(machine.connected, 0)
    assert.deepEqual(await machine.subscribe('plant/m7/cmd/#', '#'), [1, NOT_AUTHORIZED])
    assert.equal(await machine.publish('plant/m8/telemetry/x', 'x'), NOT_AUTHORIZED)
    const ola = await connectMqtt(own.port, { ...operator, clientId: 'ola-1' })
    assert.deepEqual(await ola.subscribe('#'), [1])
    assert.equal(await ola.publish('plant/m7/cmd/deep/down', 'x'), 0)
    assert.deepEqual(await machine.delivered(1), [{ topic: 'plant/m7/cmd/deep/down', payload: 'x' }])
    const stranger = await connectMqtt(own.port, { ...press, password: 'wrong', clientId: 'm7' })
    assert.equal(stranger.connected, NOT_AUTHORIZED)
    await Promise.all([machine.end(), ola.end()])
  })

  test('json answers', async () => {
    await using own = await start({ ...server.goAuth('http'), http_response_mode: 'json' })
    const machine = await connectMqtt(own.port, { ...press, clientId: 'm7' })
    assert.equal(machine.connected, 0)
    assert.deepEqual(await machine.subscribe('plant/m7/cmd/#', '#'), [1, NOT_AUTHORIZED])
    assert.equal(await machine.publish('plant/m7/telemetry/x', 'x'), 0)
    assert.equal(await machine.publish('plant/m8/telemetry/x', 'x'), NOT_AUTHORIZED)
    await machine.end()
  })

  for (const mode of ['json', 'form']) {
    test(`a token as the username, shown with every question (backend jwt, ${mode})`, async () => {
      await using own = await start({ ...server.goAuth('jwt', 'tokens'), jwt_params_mode: mode })
      const exp = Math.floor(Date.now() / 1000) + 600
      const claims = { iss: ISSUER, aud: 'mqtt', sub: 'press', groups: ['/machines'], exp }
      const connect = (username: string) => connectMqtt(own.port, { username, password: '-', clientId: 'm7' })
      const machine = await connect(hmacToken(TOKEN_SECRET, claims))
      assert.equal(machine.connected, 0)
      assert.deepEqual(await machine.subscribe('plant/m7/cmd/#', '#'), [1, NOT_AUTHORIZED])
      assert.equal(await machine.publish('plant/m7/telemetry/x', 'x'), 0)
      assert.equal(await machine.publish('plant/m8/telemetry/x', 'x'), NOT_AUTHORIZED)
      for (const bad of [
        hmacToken(Buffer.from('another secret of 32 characters!'), claims),
        hmacToken(TOKEN_SECRET, { ...claims, exp: exp - 3600 }),
        hmacToken(TOKEN_SECRET, { ...claims, aud: 'rest' }),
        'press',
      ])
        assert.equal((await connect(bad)).connected, NOT_AUTHORIZED, bad)
      await machine.end()
    })
  }
})

describe('what is taken back is gone within five seconds, though the client stays connected', () => {
  const WITHIN_MS = 5_000

  /** Publishes until the broker refuses it; returns how long that took since `change` was done. */
  async function refusedAfter(client: MqttClient, topic: string, change: () => Promise<unknown>): Promise<number> {
    assert.equal(await client.publish(topic, 'before'), 0)
    await change()
    const since = performance.now()
    for (;;) {
      const code = await client.publish(topic, 'after')
      const ms = performance.now() - since
      if (code === NOT_AUTHORIZED) return ms
      assert.equal(code, 0)
      assert.ok(ms < 2 * WITHIN_MS, 'it was never refused')
      await delay(20)
    }
  }

  test('a user who is disabled in the file', async () => {
    await using machine = await join(press, 'm1')
    await using vik = await join(viewer, 'vik-2')
    await vik.subscribe('plant/+/telemetry/#')
    const disabled = users.map((user) => (user === press ? { ...user, enabled: false } : user))
    const ms = await refusedAfter(machine, 'plant/m1/telemetry/x', () => server.writeUsers(disabled))
    assert.ok(ms <= WITHIN_MS, `${ms} ms`)
    const again = await connectMqtt(broker.ports.tcp, { ...press, clientId: 'm1' })
    assert.equal(again.connected, NOT_AUTHORIZED)
    assert.equal(machine.isClosed, false)
    await using ola = await join(operator, 'ola-3') // others are not touched
    assert.equal(await ola.publish('plant/m1/cmd/x', ''), 0)
    await server.writeUsers(users)
    await eventually(async () => assert.equal(await machine.publish('plant/m1/telemetry/x', 'again'), 0))
  })

  test('deliveries end too', async () => {
    await using ola = await join(operator, 'ola-4')
    await using vik = await join(viewer, 'vik-3')
    await using machine = await join(press, 'm2')
    await ola.subscribe('plant/m2/telemetry/#')
    await vik.subscribe('plant/m2/telemetry/#')
    await machine.publish('plant/m2/telemetry/x', 'first')
    await Promise.all([ola.delivered(1), vik.delivered(1)])
    await server.writeUsers(users.filter((user) => user !== viewer))
    const since = performance.now()
    let seen = vik.messages.length
    for (let i = 0; ; i++) {
      await machine.publish('plant/m2/telemetry/x', String(i))
      await ola.delivered(i + 2)
      await vik.ping()
      const ms = performance.now() - since
      if (vik.messages.length === seen) {
        assert.ok(ms <= WITHIN_MS, `${ms} ms`)
        break
      }
      seen = vik.messages.length
      assert.ok(ms < 2 * WITHIN_MS, 'it went on')
      await delay(20)
    }
    assert.equal(vik.isClosed, false)
    await server.writeUsers(users)
    await eventually(async () => {
      await using back = await join(viewer, 'vik-4')
      assert.ok(back)
    })
  })

  test('a client that is blocked', async () => {
    await using machine = await join(press, 'm3')
    await using other = await join(press, 'm4')
    const ms = await refusedAfter(machine, 'plant/m3/telemetry/x', () =>
      server.owner.blockedClients.create({ type: 'client_id', value: 'm3' }),
    )
    assert.ok(ms <= WITHIN_MS, `${ms} ms`)
    const again = await connectMqtt(broker.ports.tcp, { ...press, clientId: 'm3' })
    assert.equal(again.connected, NOT_AUTHORIZED)
    assert.equal(await other.publish('plant/m4/telemetry/x', 'not meant'), 0)
    assert.equal(machine.isClosed, false)
    const [entry] = await server.owner.blockedClients.list()
    await server.owner.blockedClients.remove(entry?.id ?? assert.fail('no entry'))
    await eventually(async () => assert.equal(await machine.publish('plant/m3/telemetry/x', 'again'), 0))
  })

  test('a policy that decides otherwise', async () => {
    await using ola = await join(operator, 'ola-5')
    const rules = document.rules.filter(({ id }) => id !== 'command')
    const ms = await refusedAfter(ola, 'plant/m1/cmd/x', () => server.activate({ ...document, rules }))
    assert.ok(ms <= WITHIN_MS, `${ms} ms`)
    await server.activate(document)
    await eventually(async () => assert.equal(await ola.publish('plant/m1/cmd/x', 'again'), 0))
  })
})

test('what was refused is on record, with who wanted what and why', async () => {
  await server.restart('SIGTERM') // what was not written yet is written then
  const rows = await server.audit('policy.decision')
  const found = rows.map(({ detail: { client_id, username, action, topic, reason, rule, policy_id } }) => {
    assert.equal(policy_id, server.policyId)
    return [client_id, username, action, topic, reason, rule].join(' ')
  })
  for (const wanted of [
    'm7 press publish plant/m8/telemetry/temp default ',
    'm7 press subscribe # default ',
    'vik-1 vik subscribe plant/m7/telemetry/private rule not-for-viewers',
    'vik-1 vik receive plant/m7/telemetry/private rule not-for-viewers',
    'vik-1 vik publish plant/m7/cmd/stop default ',
  ])
    assert.ok(found.includes(wanted), `${wanted}\n${found.join('\n')}`)
  const summaries = await server.audit('broker_auth.summary')
  const counted = (answer: string) =>
    summaries
      .filter(({ detail }) => detail['answer'] === answer && detail['hook'] === 'default')
      .reduce((sum, { detail }) => sum + Number(detail['count']), 0)
  assert.ok(counted('denied') >= 24, JSON.stringify(summaries))
  assert.ok(counted('accepted') >= 10, JSON.stringify(summaries))
  assert.equal(counted('refused:wrong-password'), 1)
  assert.equal((await server.call('POST', '/api/v2/audit/verify')).ok, true)
})
