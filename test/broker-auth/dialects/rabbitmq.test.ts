import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRabbitmq } from '#src/broker-auth/dialects/rabbitmq.ts'
import { answerTo, loggedIn, refusals, requestOf, settings, told } from './asking.ts'

const rabbitmq = createRabbitmq(settings)
const alice = { username: 'alice', clientId: 'c2' }
const user = 'username=alice&password=good&vhost=%2F&client_id=c2'
const vhost = 'username=alice&vhost=%2F&ip=127.0.0.1&tags=&client_id=c2'
const topicOf = (permission: string, key: string) =>
  `username=alice&vhost=%2F&resource=topic&name=amq.topic&permission=${permission}&tags=&routing_key=${key}&variable_map.client_id=c2&variable_map.username=alice&variable_map.vhost=%2F`
const resourceOf = (kind: string, name: string, permission: string) =>
  `username=alice&vhost=%2F&resource=${kind}&name=${name}&permission=${permission}&tags=&client_id=c2`

test('/user is a login, by POST and by GET', () => {
  const expected = { kind: 'login', credentials: { clientId: 'c2', username: 'alice', password: 'good' } }
  assert.deepEqual(told(rabbitmq.parse(requestOf('/user', user))), expected)
  assert.deepEqual(told(rabbitmq.parse(requestOf('/user', '', { method: 'GET', query: user }))), expected)
  const token = 'username=&password=ey.a.b&vhost=%2F&client_id=c2'
  assert.deepEqual(told(rabbitmq.parse(requestOf('/user', token))), {
    kind: 'login',
    credentials: { clientId: 'c2', password: 'ey.a.b' },
  })
})

test('/vhost needs a session and nothing else', () => {
  assert.deepEqual(rabbitmq.parse(requestOf('/vhost', vhost)), { kind: 'known', subject: alice })
})

const keys: readonly { permission: string; key: string; want: object; why?: string }[] = [
  { permission: 'write', key: 'celine.ok.a', want: { action: 'publish', topic: 'celine/ok/a' } },
  { permission: 'read', key: 'celine.ok.%23', want: { action: 'subscribe', topic: 'celine/ok/#' } },
  { permission: 'read', key: 'celine.ok.%2A', want: { action: 'subscribe', topic: 'celine/ok/+' } },
  {
    permission: 'write',
    key: 'celine.ok.a.b',
    want: { action: 'publish', topic: 'celine/ok/a/b' },
    why: 'a dot is a slash there: subscribers of celine/ok/a/b get it',
  },
  { permission: 'write', key: '.celine.ok', want: { action: 'publish', topic: '/celine/ok' } },
  {
    permission: 'write',
    key: 'celine.ok.a%2Ab+%C3%BC%25',
    want: { action: 'publish', topic: 'celine/ok/a*b ü%' },
    why: 'a star in a name stays one',
  },
  {
    permission: 'read',
    key: 'celine.a%2Ab',
    want: { action: 'subscribe', topic: 'celine/a+b' },
    why: 'no filter at all, so that the policy refuses it',
  },
]
for (const { permission, key, want, why } of keys) {
  test(`/topic ${permission} ${key}${why === undefined ? '' : `: ${why}`}`, () => {
    const expected = { kind: 'access', subject: alice, wants: [want], mode: 'all' }
    assert.deepEqual(rabbitmq.parse(requestOf('/topic', topicOf(permission, key))), expected)
    assert.deepEqual(
      rabbitmq.parse(requestOf('/topic', '', { method: 'GET', query: topicOf(permission, key) })),
      expected,
    )
  })
}

const denied = {
  kind: 'reply',
  answer: { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: 'deny' },
}

test('/topic of another exchange is refused by the dialect', () => {
  const request = requestOf('/topic', topicOf('write', 'a').replace('amq.topic', 'amq.direct'))
  assert.deepEqual(rabbitmq.parse(request), denied)
})

test('a share prefix is refused: RabbitMQ would bind the queue to topics of that very name', () => {
  for (const key of ['%24share.g.celine.ok.%2A', '%24share.g', '%24share.%23'])
    assert.deepEqual(rabbitmq.parse(requestOf('/topic', topicOf('read', key))), denied, key)
  assert.equal(rabbitmq.parse(requestOf('/topic', topicOf('read', '%24shared.a'))).kind, 'access')
})

test('a client chooses its virtual host by its user name: only that of the hook is answered for', () => {
  const questions = [
    { path: '/user', body: user },
    { path: '/vhost', body: vhost },
    { path: '/resource', body: resourceOf('exchange', 'amq.topic', 'write') },
    { path: '/topic', body: topicOf('write', 'a') },
  ]
  const other = createRabbitmq({ ...settings, vhost: 'plant b' })
  for (const { path, body } of questions) {
    const elsewhere = body.replace('&vhost=%2F', '&vhost=plant+b')
    for (const [dialect, asked] of [
      [rabbitmq, elsewhere],
      [other, body],
    ] as const) {
      const question = dialect.parse(requestOf(path, asked))
      assert.ok(question.kind === 'malformed' && /vhost is not that of this hook/.test(question.what), path)
      assert.equal(answerTo(dialect, requestOf(path, asked), question), '200 deny')
    }
    assert.deepEqual(told(other.parse(requestOf(path, elsewhere))), told(rabbitmq.parse(requestOf(path, body))), path)
    const missing = rabbitmq.parse(requestOf(path, body.replace('vhost=%2F', 'v=')))
    assert.ok(missing.kind === 'malformed' && /vhost is missing/.test(missing.what), path)
  }
})

const resources: readonly { kind: string; name: string; permission: string; own: boolean }[] = [
  { kind: 'exchange', name: 'amq.topic', permission: 'write', own: true },
  { kind: 'exchange', name: 'amq.topic', permission: 'read', own: true },
  { kind: 'exchange', name: 'amq.topic', permission: 'configure', own: false },
  { kind: 'exchange', name: 'amq.default', permission: 'write', own: false },
  { kind: 'exchange', name: '', permission: 'write', own: false },
  { kind: 'queue', name: 'mqtt-subscription-c2qos1', permission: 'configure', own: true },
  { kind: 'queue', name: 'mqtt-subscription-c2qos0', permission: 'write', own: true },
  { kind: 'queue', name: 'mqtt-will-c2', permission: 'read', own: true },
  { kind: 'queue', name: 'mqtt-subscription-c2qos2', permission: 'read', own: false },
  { kind: 'queue', name: 'mqtt-subscription-c22qos1', permission: 'read', own: false },
  { kind: 'queue', name: 'mqtt-subscription-c1qos1', permission: 'read', own: false },
  { kind: 'queue', name: 'mqtt-will-c2x', permission: 'read', own: false },
  { kind: 'queue', name: 'orders', permission: 'read', own: false },
  { kind: 'queue', name: 'mqtt-subscription-c2qos1', permission: 'administer', own: false },
  { kind: 'topic', name: 'amq.topic', permission: 'write', own: false },
]
for (const { kind, name, permission, own } of resources) {
  test(`/resource ${permission} of ${kind} ${name}: ${own ? 'needs a session' : 'refused'}`, () => {
    const question = rabbitmq.parse(requestOf('/resource', resourceOf(kind, name, permission)))
    if (own) assert.deepEqual(question, { kind: 'known', subject: alice })
    else assert.ok(question.kind === 'reply' && question.answer.body === 'deny')
  })
}

test('a client without id has no queue', () => {
  const body = resourceOf('queue', 'mqtt-subscription-qos1', 'read').replace('client_id=c2', 'client_id=')
  assert.equal(rabbitmq.parse(requestOf('/resource', body)).kind, 'reply')
})

const malformed: readonly { path: string; body: string; what: RegExp }[] = [
  { path: '/user', body: 'username=alice&password=good&vhost=%2F', what: /client_id is missing/ },
  { path: '/user', body: 'username=a&username=b&client_id=c', what: /username.*twice/ },
  { path: '/user', body: 'username=%zz&client_id=c', what: /%/ },
  { path: '/user', body: 'username=%ff&vhost=%2F&client_id=c', what: /UTF-8/ },
  { path: '/vhost', body: 'vhost=%2F&client_id=c2', what: /username is missing/ },
  { path: '/user', body: `${user}&vhost=%2F`, what: /vhost.*twice/ },
  { path: '/resource', body: vhost, what: /resource is missing/ },
  { path: '/topic', body: topicOf('configure', 'a'), what: /permission must be/ },
  { path: '/topic', body: topicOf('write', 'a').replace(/&routing_key=a/, ''), what: /routing_key is missing/ },
  { path: '/topic', body: topicOf('write', 'a').replace('resource=topic', 'resource=queue'), what: /resource must be/ },
  { path: '/topic', body: `${topicOf('write', 'a')}&client_id=other`, what: /two different client ids/ },
  { path: '/superuser', body: user, what: /no such path/ },
]
for (const { path, body, what } of malformed) {
  test(`refused as malformed: ${path} ${what.source}`, () => {
    const question = rabbitmq.parse(requestOf(path, body))
    assert.ok(question.kind === 'malformed', JSON.stringify(question))
    assert.match(question.what, what)
    assert.equal(answerTo(rabbitmq, requestOf(path, body), question), '200 deny')
  })
}

test('whatever is no yes is one word, without a line break', () => {
  const requests = [
    requestOf('/user', user),
    requestOf('/vhost', vhost),
    requestOf('/resource', resourceOf('exchange', 'amq.topic', 'read')),
    requestOf('/topic', topicOf('write', 'a')),
  ]
  for (const answer of refusals) {
    for (const request of requests)
      assert.equal(answerTo(rabbitmq, request, answer), '200 deny', JSON.stringify(answer))
  }
})

test('a yes has no tags, even for a superuser: tags open the management of the broker', () => {
  const say = (isSuperuser: boolean) =>
    answerTo(rabbitmq, requestOf('/user', user), { kind: 'accepted', login: loggedIn({ isSuperuser }) })
  assert.equal(say(false), '200 allow')
  assert.equal(say(true), '200 allow')
  assert.equal(answerTo(rabbitmq, requestOf('/vhost', vhost), { kind: 'known', isKnown: true }), '200 allow')
  const verdicts = [{ allowed: true }]
  const allowed = { kind: 'access', verdicts, session: 'found' } as const
  assert.equal(answerTo(rabbitmq, requestOf('/topic', topicOf('write', 'a')), allowed), '200 allow')
})
