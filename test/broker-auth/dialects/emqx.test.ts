import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEmqx } from '#src/broker-auth/dialects/emqx.ts'
import { answerTo, loggedIn, refusals, requestOf, settings, told } from './asking.ts'

const emqx = createEmqx(settings)
const json = { headers: { 'content-type': 'application/json' } }
const login = '{"username":"alice","password":"good","clientid":"c1"}'
const publish = '{"clientid":"c1","username":"alice","topic":"a/b","action":"publish","qos":"1","retain":"false"}'

test('/authn: the body that its page shows, and what else a template may add', () => {
  assert.deepEqual(told(emqx.parse(requestOf('/authn', login, json))), {
    kind: 'login',
    credentials: { clientId: 'c1', username: 'alice', password: 'good' },
  })
  const more =
    '{"username":"","password":null,"clientid":"c1","peerhost":"192.0.2.7","zone":"z","cert_common_name":"x"}'
  assert.deepEqual(told(emqx.parse(requestOf('/authn', more, json))), {
    kind: 'login',
    credentials: { clientId: 'c1', ip: '192.0.2.7' },
  })
})

test('GET puts the template into the query', () => {
  const request = requestOf('/authn', '', { method: 'GET', query: 'username=al%20ice&password=g%2Bd&clientid=c1' })
  assert.deepEqual(told(emqx.parse(request)), {
    kind: 'login',
    credentials: { clientId: 'c1', username: 'al ice', password: 'g+d' },
  })
})

const topics: readonly { body: string; want: object }[] = [
  { body: publish, want: { action: 'publish', topic: 'a/b', qos: 1, retain: false } },
  {
    body: '{"clientid":"c1","username":"alice","topic":"a/b","action":"publish","qos":2,"retain":true}',
    want: { action: 'publish', topic: 'a/b', qos: 2, retain: true },
  },
  {
    body: '{"clientid":"c1","username":"alice","topic":"$share/g/a/+","action":"subscribe","qos":"0","retain":""}',
    want: { action: 'subscribe', topic: '$share/g/a/+', qos: 0 },
  },
  {
    body: '{"clientid":"c1","username":"alice","topic":"a","action":"publish"}',
    want: { action: 'publish', topic: 'a' },
  },
]
for (const { body, want } of topics) {
  test(`/authz: ${body}`, () => {
    assert.deepEqual(emqx.parse(requestOf('/authz', body, json)), {
      kind: 'access',
      subject: { username: 'alice', clientId: 'c1' },
      wants: [want],
      mode: 'all',
    })
  })
}

test('a token that is the user name is judged again by itself', () => {
  const token = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln'
  const body = publish.replace('alice', token)
  const question = emqx.parse(requestOf('/authz', body, json))
  assert.ok(question.kind === 'access')
  assert.deepEqual(question.subject, { username: token, clientId: 'c1', proof: { clientId: 'c1', username: token } })
  const without = createEmqx({ ...settings, tokenFrom: [] }).parse(requestOf('/authz', body, json))
  assert.ok(without.kind === 'access')
  assert.equal(without.subject.proof, undefined)
})

const malformed: readonly { path: string; body: string; what: RegExp }[] = [
  { path: '/authn', body: '', what: /clientid is missing/ },
  { path: '/authn', body: '{"username":"alice"', what: /JSON/ },
  { path: '/authn', body: '{"clientid":"c","username":"a","username":"b"}', what: /username.*twice/ },
  { path: '/authn', body: '{"clientid":"c","password":7}', what: /password must be text/ },
  { path: '/authn', body: `{"clientid":"c","peerhost":"${'1'.repeat(65)}"}`, what: /peerhost/ },
  { path: '/authz', body: publish.replace('"topic"', '"tropic"'), what: /topic is missing/ },
  { path: '/authz', body: publish.replace('publish', 'all'), what: /action must be/ },
  { path: '/authz', body: publish.replace('"1"', '"3"'), what: /qos must be/ },
  { path: '/authz', body: publish.replace('"1"', '[1]'), what: /qos must be/ },
  { path: '/authz', body: publish.replace('"false"', '"no"'), what: /retain must be/ },
  { path: '/acl', body: publish, what: /no such path/ },
]
for (const { path, body, what } of malformed) {
  test(`refused as malformed: ${path} ${body.slice(0, 60)}`, () => {
    const question = emqx.parse(requestOf(path, body, json))
    assert.ok(question.kind === 'malformed')
    assert.match(question.what, what)
    assert.equal(answerTo(emqx, requestOf(path, body, json), question), '200 {"result":"deny"}')
  })
}

test('whatever is no yes is 200 and deny: EMQX goes on to the next one for every other status', () => {
  for (const answer of refusals) {
    for (const request of [requestOf('/authn', login, json), requestOf('/authz', publish, json)]) {
      assert.equal(answerTo(emqx, request, answer), '200 {"result":"deny"}', JSON.stringify(answer))
      const { headers } = emqx.render(answer, request, undefined)
      assert.equal(headers['content-type'], 'application/json')
    }
  }
})

test('a yes to another question is no yes', () => {
  const accepted = { kind: 'accepted', login: loggedIn() } as const
  assert.equal(answerTo(emqx, requestOf('/authz', publish, json), accepted), '200 {"result":"deny"}')
  const known = { kind: 'known', isKnown: true } as const
  assert.equal(answerTo(emqx, requestOf('/authn', login, json), known), '200 {"result":"deny"}')
  const superuser = { kind: 'superuser', isSuperuser: true } as const
  assert.equal(answerTo(emqx, requestOf('/authz', publish, json), superuser), '200 {"result":"deny"}')
})

test('a login tells when it ends, in whole seconds and never later, and who is a superuser', () => {
  const request = requestOf('/authn', login, json)
  const say = (more: Parameters<typeof loggedIn>[0]) =>
    answerTo(emqx, request, { kind: 'accepted', login: loggedIn(more) })
  assert.equal(say({}), '200 {"result":"allow","is_superuser":false}')
  assert.equal(
    say({ expiresAt: 1_654_254_601_999 }),
    '200 {"result":"allow","is_superuser":false,"expire_at":1654254601}',
  )
  assert.equal(say({ isSuperuser: true }), '200 {"result":"allow","is_superuser":true}')
})

test('what may only go through changed is refused: EMQX cannot be told to change it', () => {
  const request = requestOf('/authz', publish.replace('"false"', '"true"'), json)
  const decision = { decision: 'allow', reason: 'rule', rule: 'r' } as const
  const say = (qos: 0 | 1 | 2, retain: boolean) =>
    answerTo(emqx, request, {
      kind: 'access',
      session: 'found',
      verdicts: [{ allowed: true, decision: { ...decision, qos, retain } }],
    })
  assert.equal(say(1, true), '200 {"result":"allow"}')
  assert.equal(say(0, true), '200 {"result":"deny"}')
  assert.equal(say(1, false), '200 {"result":"deny"}')
})
