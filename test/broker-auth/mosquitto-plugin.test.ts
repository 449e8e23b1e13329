import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { Mosquitto } from '#test/support/mosquitto.ts'
import {
  compileGoAuth,
  type GoAuthOptions,
  type PluginFile,
  startGoAuthBroker,
} from '#test/support/mosquitto-plugin/go-auth-broker.ts'
import { type HookDouble, startHookDouble } from '#test/support/mosquitto-plugin/hook-double.ts'
import { connectMqtt, type MqttLogin } from '#test/support/mqtt-client.ts'

// The plugin speaks for mosquitto-go-auth in the other tests, so its words are held against what is documented of that one.

let plugin: PluginFile
let double: HookDouble
before(async () => {
  plugin = await compileGoAuth()
  double = await startHookDouble()
})
after(async () => {
  await double.stop()
  await plugin.remove()
})
beforeEach(() => {
  double.answer = () => ({ status: 200 })
  double.take()
})

const paths = { getuser_uri: '/mqtt/user', aclcheck_uri: '/mqtt/acl' }
const optionsOf = (backend: 'http' | 'jwt', more: GoAuthOptions): GoAuthOptions => {
  const own = { host: '127.0.0.1', port: double.port, ...paths, ...more }
  return {
    backends: backend,
    ...Object.fromEntries(Object.entries(own).map(([name, value]) => [`${backend}_${name}`, value])),
  }
}
const start = (backend: 'http' | 'jwt', more: GoAuthOptions = {}) => startGoAuthBroker(plugin, optionsOf(backend, more))
const alice = { clientId: 'a1', username: 'alice', password: 'good' } as const

/** Logs in and publishes once, and returns what the service was asked. */
async function askedBy(broker: Mosquitto, login: MqttLogin, topic: string) {
  const client = await connectMqtt(broker.ports.tcp, login)
  assert.equal(client.connected, 0)
  assert.equal(await client.publish(topic, 'x'), 0)
  client.drop()
  return double.take()
}

describe('requests are those of mosquitto-go-auth, byte for byte', () => {
  const head = (path: string, agent: string, length: number, type: string, more: readonly string[] = []) =>
    [
      `POST ${path} HTTP/1.1`,
      `Host: 127.0.0.1:${double.port}`,
      `User-Agent: ${agent}`,
      `Content-Length: ${length}`,
      ...more,
      `Content-Type: ${type}`,
      'Accept-Encoding: gzip',
    ].join('\r\n')

  test('http, json', async () => {
    await using broker = disposable(await start('http', { superuser_uri: '/mqtt/superuser' }))
    double.answer = ({ path }) => ({ status: path === '/mqtt/superuser' ? 403 : 200 })
    const json = (path: string, body: string) => ({
      head: head(path, 'mosquitto-2.0.11', Buffer.byteLength(body), 'application/json'),
      path,
      body,
    })
    assert.deepEqual(await askedBy(broker, alice, 'celine/ok/a'), [
      json('/mqtt/user', '{"clientid":"a1","password":"good","username":"alice"}'),
      json('/mqtt/superuser', '{"username":"alice"}'),
      json('/mqtt/acl', '{"acc":2,"clientid":"a1","topic":"celine/ok/a","username":"alice"}'),
    ])
    const odd = { clientId: 'c "1"', username: 'a<b>&\\\u2028', password: 'ü\n\t\u0001' }
    assert.deepEqual(
      (await askedBy(broker, odd, 'ü/😀')).map(({ body }) => body),
      [
        '{"clientid":"c \\"1\\"","password":"ü\\n\\t\\u0001","username":"a\\u003cb\\u003e\\u0026\\\\\\u2028"}',
        '{"username":"a\\u003cb\\u003e\\u0026\\\\\\u2028"}',
        '{"acc":2,"clientid":"c \\"1\\"","topic":"ü/😀","username":"a\\u003cb\\u003e\\u0026\\\\\\u2028"}',
      ],
    )
  })

  test('http, form: sent by PostForm, which leaves the user agent aside', async () => {
    await using broker = disposable(await start('http', { params_mode: 'form', user_agent: 'mine' }))
    const form = (path: string, body: string) => ({
      head: head(path, 'Go-http-client/1.1', body.length, 'application/x-www-form-urlencoded'),
      path,
      body,
    })
    assert.deepEqual(
      await askedBy(broker, { clientId: 'cl 1', username: 'al ice', password: 'a+b=c&~' }, 'celine/ok/ü'),
      [
        form('/mqtt/user', 'clientid=cl+1&password=a%2Bb%3Dc%26~&username=al+ice'),
        form('/mqtt/acl', 'acc=2&clientid=cl+1&topic=celine%2Fok%2F%C3%BC&username=al+ice'),
      ],
    )
  })

  test('jwt, remote: the name is the token, and nothing else names the client at login', async () => {
    await using broker = disposable(await start('jwt', { superuser_uri: '/mqtt/superuser' }))
    double.answer = ({ path }) => ({ status: path === '/mqtt/superuser' ? 403 : 200 })
    const bearer = ['Authorization: Bearer a.b.c']
    const json = (path: string, body: string) => ({
      head: head(path, 'mosquitto-2.0.11', body.length, 'application/json', bearer),
      path,
      body,
    })
    assert.deepEqual(await askedBy(broker, { clientId: 'a1', username: 'a.b.c', password: '-' }, 't'), [
      json('/mqtt/user', 'null'),
      json('/mqtt/superuser', 'null'),
      json('/mqtt/acl', '{"acc":2,"clientid":"a1","topic":"t"}'),
    ])
  })

  test('jwt, remote, form: an empty body at login', async () => {
    await using broker = disposable(await start('jwt', { params_mode: 'form', user_agent: 'mine' }))
    const bearer = ['Authorization: Bearer a.b.c']
    const form = (path: string, body: string) => ({
      head: head(path, 'mine', body.length, 'application/x-www-form-urlencoded', bearer),
      path,
      body,
    })
    assert.deepEqual(await askedBy(broker, { clientId: 'a1', username: 'a.b.c', password: '-' }, 't'), [
      form('/mqtt/user', ''),
      form('/mqtt/acl', 'acc=2&clientid=a1&topic=t'),
    ])
  })
})

describe('answers come to what mosquitto-go-auth makes of them', () => {
  const cases: readonly { mode: string; status: number; body?: string; connected: number | 'closed' }[] = [
    { mode: 'status', status: 200, body: '{"ok":false}', connected: 0 },
    { mode: 'status', status: 204, connected: 0 },
    { mode: 'status', status: 302, connected: 0x87 },
    { mode: 'status', status: 403, connected: 0x87 },
    { mode: 'status', status: 500, connected: 'closed' },
    { mode: 'json', status: 200, body: '{"ok":true,"error":"","reason":{"a":[1,-2.5e3,null]}}', connected: 0 },
    { mode: 'json', status: 200, body: ' { "Ok" : true } ', connected: 0 },
    { mode: 'json', status: 200, body: '{"ok":false}', connected: 0x87 },
    { mode: 'json', status: 200, body: '{}', connected: 0x87 },
    { mode: 'json', status: 200, body: 'null', connected: 0x87 },
    { mode: 'json', status: 200, body: '', connected: 'closed' },
    { mode: 'json', status: 200, body: '{"ok":true', connected: 'closed' },
    { mode: 'json', status: 200, body: '{"ok":true}}', connected: 'closed' },
    { mode: 'json', status: 200, body: '{"ok":true,}', connected: 'closed' },
    { mode: 'json', status: 200, body: '{"ok":"true"}', connected: 'closed' },
    { mode: 'json', status: 200, body: '{"ok":true,"error":1}', connected: 'closed' },
    { mode: 'json', status: 403, body: '{"ok":true}', connected: 0x87 },
    { mode: 'text', status: 200, body: 'ok', connected: 0 },
    { mode: 'text', status: 200, body: 'ok\n', connected: 0x87 },
    { mode: 'text', status: 200, body: 'OK', connected: 0x87 },
    { mode: 'text', status: 503, body: 'ok', connected: 'closed' },
  ]
  for (const mode of ['status', 'json', 'text']) {
    test(`response_mode ${mode}`, async () => {
      await using broker = disposable(await start('http', { response_mode: mode }))
      const own = cases.filter((one) => one.mode === mode)
      assert.ok(own.length >= 4)
      for (const { status, body = '', connected } of own) {
        double.answer = () => ({ status, body })
        const client = await connectMqtt(broker.ports.tcp, alice)
        client.drop()
        assert.equal(client.connected, connected, `${status} ${body}`)
        assert.equal(double.take().length, 1)
      }
    })
  }
})

describe('what a client of the broker sees', () => {
  let broker: Mosquitto
  before(async () => {
    broker = await start('http', { timeout: 1 })
  })
  after(() => broker.stop())
  const connect = (login: MqttLogin) => connectMqtt(broker.ports.tcp, login)

  test('without a name, or without a password, nobody is asked', async () => {
    for (const login of [
      { clientId: 'n1', username: '', password: 'x' },
      { clientId: 'n2', username: 'alice' },
      { clientId: 'n3' },
    ]) {
      assert.equal((await connect({ ...login, version: 5 })).connected, 0x87)
      assert.equal((await connect({ ...login, version: 4 })).connected, 5)
    }
    assert.deepEqual(double.take(), [])
  })

  test('a refused publish is acknowledged and dropped under 3.1.1, named under 5; an error ends the connection', async () => {
    await using watcher = endable(await connect({ clientId: 'w', username: 'w', password: 'w' }))
    assert.deepEqual(await watcher.subscribe('#'), [1])
    double.answer = ({ body }) => ({ status: body.includes('"acc":2') && body.includes('"no"') ? 403 : 200 })
    for (const version of [4, 5] as const) {
      await using client = endable(await connect({ ...alice, version }))
      assert.equal(await client.publish('no', '1'), version === 5 ? 0x87 : 0)
      assert.equal(await client.publish('yes', String(version)), 0)
    }
    assert.deepEqual(
      (await watcher.delivered(2)).map(({ topic, payload }) => [topic, payload]),
      [
        ['yes', '4'],
        ['yes', '5'],
      ],
    )
    double.answer = ({ path }) => ({ status: path === '/mqtt/acl' ? 500 : 200 })
    const client = await connect(alice)
    assert.equal(await client.publish('yes', '6'), 'closed')
  })

  test('a refused filter is refused alone, and a refused delivery is dropped in silence', async () => {
    double.answer = ({ body }) => {
      const isNo = body.includes('"topic":"no') || (body.includes('"acc":1') && body.includes('secret'))
      return { status: isNo ? 403 : 200 }
    }
    await using client = endable(await connect(alice))
    assert.deepEqual(await client.subscribe('no/#', 'yes/#', '$share/g/yes/+'), [0x87, 1, 1])
    await using sender = endable(await connect({ clientId: 's', username: 's', password: 's' }))
    await sender.publish('yes/secret/x', 'hidden')
    await sender.publish('yes/x/x', 'seen')
    assert.deepEqual(await client.delivered(1), [{ topic: 'yes/x/x', payload: 'seen' }])
    const bodies = double.take().map(({ body }) => body)
    assert.ok(
      bodies.includes('{"acc":4,"clientid":"a1","topic":"$share/g/yes/+","username":"alice"}'),
      bodies.join('\n'),
    )
    assert.ok(bodies.includes('{"acc":1,"clientid":"a1","topic":"yes/secret/x","username":"alice"}'), bodies.join('\n'))
  })

  test('a will is asked about when it fires', async () => {
    double.answer = ({ body }) => ({ status: body.includes('"topic":"will/no"') ? 403 : 200 })
    await using watcher = endable(await connect({ clientId: 'w', username: 'w', password: 'w' }))
    await watcher.subscribe('will/#')
    for (const topic of ['will/no', 'will/yes']) {
      const client = await connect({ ...alice, will: { topic, payload: 'gone' } })
      assert.equal(client.connected, 0)
      assert.ok(!double.requests.some(({ body }) => body.includes(topic)))
      client.drop()
    }
    assert.deepEqual(await watcher.delivered(1), [{ topic: 'will/yes', payload: 'gone' }])
    assert.ok(double.requests.some(({ body }) => body.includes('"acc":2') && body.includes('will/no')))
  })

  test('while an answer does not come the whole broker waits, for no longer than the time that the plugin grants', async () => {
    double.answer = ({ path, body }) => (path === '/mqtt/user' && body.includes('"alice"') ? 'hang' : { status: 200 })
    const isAsked = double.next()
    const slow = connect(alice)
    await isAsked
    const asked = performance.now()
    const other = await connect({ clientId: 'b1', username: 'bob', password: 'good' })
    const waitedMs = performance.now() - asked
    assert.equal((await slow).connected, 'closed')
    assert.equal(other.connected, 0)
    assert.ok(waitedMs > 500 && waitedMs < 5_000, `${waitedMs} ms`)
    assert.match(broker.log(), /go-auth: \/mqtt\/user: Timeout was reached/)
    assert.equal(await other.publish('t', 'x'), 0)
    other.drop()
  })

  test('a service that breaks off or is not there lets nobody in', async () => {
    double.answer = () => 'reset'
    assert.equal((await connect(alice)).connected, 'closed')
    double.answer = () => ({ status: 200 })
    const gone = await startHookDouble()
    await gone.stop()
    await using lonely = disposable(await start('http', { port: gone.port }))
    assert.equal((await connectMqtt(lonely.ports.tcp, alice)).connected, 'closed')
    assert.match(lonely.log(), /go-auth: \/mqtt\/user: Couldn't connect to server/)
  })
})

function disposable<T extends { stop(): Promise<void> }>(one: T): T & AsyncDisposable {
  return Object.assign(one, { [Symbol.asyncDispose]: () => one.stop() })
}

function endable<T extends { end(): Promise<void> }>(one: T): T & AsyncDisposable {
  return Object.assign(one, { [Symbol.asyncDispose]: () => one.end() })
}
