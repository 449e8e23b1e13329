import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BrokerRequest, brokerRequests, type TriedClient } from '#src/broker-auth/broker-requests.ts'
import { dialects } from '#src/broker-auth/create-broker-auth.ts'
import { type DialectName, dialectNames, type HookRequest, type Want } from '#src/broker-auth/dialect.ts'
import { settings, told } from './dialects/asking.ts'
import * as recordings from './recorded-requests.ts'

const alice: TriedClient = {
  username: 'alice',
  clientId: 'a1',
  password: 'good',
  token: undefined,
  certificate: undefined,
  ip: '127.0.0.1',
}
const want = (action: Want['action'], topic: string, more: Partial<Want> = {}): Want => ({ action, topic, ...more })

const bodyOf = (request: string) => request.slice(request.indexOf('\r\n\r\n') + 4)
const recorded = (list: readonly { readonly request: string }[]) => list.map(({ request }) => bodyOf(request))
const bodies = (requests: readonly BrokerRequest[]) => requests.map(({ body }) => body)

test('go-auth: the requests are those that were recorded', () => {
  const goAuth = brokerRequests['go-auth']
  const [user, publish, wildcard, shared, delivery, escaped] = recorded(recordings.goAuthJson)
  assert.deepEqual(bodies(goAuth.login(alice)), [user])
  assert.deepEqual(bodies(goAuth.access(alice, want('publish', 'celine/ok/a'))), [publish])
  assert.deepEqual(bodies(goAuth.access(alice, want('subscribe', 'celine/ok/#'))), [wildcard])
  assert.deepEqual(bodies(goAuth.access(alice, want('subscribe', '$share/g/celine/ok/+'))), [shared])
  assert.deepEqual(bodies(goAuth.access(alice, want('receive', 'celine/ok/a'))), [delivery])
  assert.deepEqual(bodies(goAuth.access(alice, want('publish', 'celine/no/<a>'))), [escaped])
  assert.deepEqual(bodies(goAuth.superuser(alice)), ['{"username":"alice"}'])
})

test('go-auth: with a token the remote mode of its JWT backend', () => {
  const goAuth = brokerRequests['go-auth']
  const client = { ...alice, username: '', clientId: 'j1', token: 'a.b.c' }
  const [user, superuser, acl] = recordings.goAuthJwt('a.b.c')
  const sent = [goAuth.login(client), goAuth.superuser(client), goAuth.access(client, want('publish', 'celine/ok/a'))]
  assert.deepEqual(bodies(sent.flat()), recorded([user, superuser, acl].flatMap((one) => one ?? [])))
  for (const { headers } of sent.flat()) assert.equal(headers['authorization'], 'Bearer a.b.c')
})

test('RabbitMQ: the requests are those that were recorded', () => {
  const { login, access } = brokerRequests.rabbitmq
  const client = { ...alice, clientId: 'c2' }
  assert.deepEqual(bodies(login(client)), [
    'username=alice&password=good&vhost=%2F&client_id=c2',
    'username=alice&vhost=%2F&ip=127.0.0.1&tags=&client_id=c2',
  ])
  assert.deepEqual(bodies(access(client, want('publish', 'celine/ok/a'))), [
    'username=alice&vhost=%2F&resource=topic&name=amq.topic&permission=write&tags=&routing_key=celine.ok.a&variable_map.client_id=c2&variable_map.username=alice&variable_map.vhost=%2F',
    'username=alice&vhost=%2F&resource=exchange&name=amq.topic&permission=write&tags=&client_id=c2',
  ])
  const keys = (action: Want['action'], topic: string) =>
    bodies(access(client, want(action, topic))).flatMap((body) => new URLSearchParams(body).get('routing_key') ?? [])
  assert.deepEqual(keys('subscribe', 'celine/ok/+'), ['celine.ok.*'])
  assert.deepEqual(keys('subscribe', 'celine/ok/#'), ['celine.ok.#'])
  const subscribe = bodies(access({ ...client, clientId: 'c5' }, want('subscribe', 'a', { qos: 1 })))
  assert.equal(subscribe.length, 5)
  assert.equal(
    subscribe[0],
    'username=alice&vhost=%2F&resource=queue&name=mqtt-subscription-c5qos1&permission=configure&tags=&client_id=c5',
  )
})

test('TBMQ: values stand in its template as they are', () => {
  const hostile = { ...alice, username: 'x","username":"admin' }
  const [request] = brokerRequests.tbmq.login(hostile)
  assert.equal(request?.body, '{"clientId":"a1","username":"x","username":"admin","password":"good"}')
  assert.deepEqual(brokerRequests.tbmq.access(alice, want('publish', 'a')), [])
})

const cases: readonly { readonly dialect: DialectName; readonly wants: readonly Want[] }[] = [
  { dialect: 'go-auth', wants: [want('publish', 'a/ü'), want('subscribe', 'a/+/#'), want('receive', 'a/b')] },
  {
    dialect: 'emqx',
    wants: [want('publish', 'a', { qos: 2, retain: true }), want('subscribe', '$share/g/a/#', { qos: 1 })],
  },
  { dialect: 'rabbitmq', wants: [want('publish', 'a/ü b'), want('subscribe', 'a/+/#')] },
  { dialect: 'tbmq', wants: [] },
  {
    dialect: 'vernemq',
    wants: [want('publish', 'a', { qos: 1, retain: false }), want('subscribe', 'a/#', { qos: 2 })],
  },
]
for (const { dialect: name, wants } of cases) {
  test(`${name}: its dialect reads from every request what was meant`, () => {
    const dialect = dialects[name](settings)
    const parse = ({ body, ...request }: BrokerRequest) => {
      const asked: HookRequest = { ...request, query: '', body: new TextEncoder().encode(body) }
      return dialect.parse(asked)
    }
    const [login] = brokerRequests[name].login(alice).map(parse)
    assert.ok(login?.kind === 'login')
    const { ip: _ip, ...credentials } = (told(login) as { credentials: Record<string, unknown> }).credentials
    assert.deepEqual(credentials, { clientId: 'a1', username: 'alice', password: 'good' })
    for (const one of wants) {
      const questions = brokerRequests[name].access(alice, one).map(parse)
      assert.equal(questions.filter(({ kind }) => kind !== 'access' && kind !== 'known').length, 0)
      const read = questions.flatMap((question) => (question.kind === 'access' ? question.wants : []))
      assert.deepEqual(read, [one])
    }
  })
}

test('every dialect has requests', () =>
  assert.deepEqual(Object.keys(brokerRequests).toSorted(), [...dialectNames].toSorted()))

test('RabbitMQ and VerneMQ: a hook of another virtual host or mountpoint is asked about that one', () => {
  const elsewhere = { ...settings, vhost: 'plant b', mountpoint: 'plant-b' }
  const client = { ...alice, vhost: elsewhere.vhost, mountpoint: elsewhere.mountpoint }
  for (const name of ['rabbitmq', 'vernemq'] as const) {
    const { login, access } = brokerRequests[name]
    const requests = [
      ...login(client),
      ...access(client, want('publish', 'a')),
      ...access(client, want('subscribe', 'a')),
    ]
    assert.ok(requests.length > 2)
    for (const request of requests) {
      const asked: HookRequest = { ...request, query: '', body: new TextEncoder().encode(request.body) }
      assert.notEqual(dialects[name](elsewhere).parse(asked).kind, 'malformed', request.body)
      assert.equal(dialects[name](settings).parse(asked).kind, 'malformed', request.body)
    }
  }
})
