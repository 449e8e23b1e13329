import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccessVerdict, HookRequest } from '#src/broker-auth/dialect.ts'
import { createVernemq } from '#src/broker-auth/dialects/vernemq.ts'
import type { Decision } from '#src/policy/access.ts'
import { answerTo, loggedIn, refusals, requestOf, settings, told } from './asking.ts'

const vernemq = createVernemq(settings)
const hook = (name: string, body: unknown): HookRequest =>
  requestOf(`/${name}`, JSON.stringify(body), { headers: { 'content-type': 'application/json', 'vernemq-hook': name } })

const register = {
  peer_addr: '127.0.0.1',
  peer_port: 8888,
  username: 'username',
  password: 'password',
  mountpoint: '',
  client_id: 'clientid',
}
const publish = {
  username: 'username',
  client_id: 'clientid',
  mountpoint: '',
  qos: 1,
  topic: 'a/b',
  payload: 'aGVsbG8=',
  retain: false,
}
const subscribe = {
  client_id: 'clientid',
  mountpoint: '',
  username: 'username',
  topics: [
    { topic: 'a/b', qos: 1 },
    { topic: 'c/d', qos: 2 },
  ],
}
const options = { no_local: true, rap: true, retain_handling: 'dont_send' }
const subscribe5 = { ...subscribe, topics: subscribe.topics.map((one) => ({ ...one, ...options })), properties: {} }
const subject = { username: 'username', clientId: 'clientid' }

test('auth_on_register is a login; the protocol is known where it is 5', () => {
  const credentials = { clientId: 'clientid', username: 'username', password: 'password', ip: '127.0.0.1' }
  assert.deepEqual(told(vernemq.parse(hook('auth_on_register', { ...register, clean_session: false }))), {
    kind: 'login',
    credentials,
  })
  assert.deepEqual(
    told(vernemq.parse(hook('auth_on_register_m5', { ...register, clean_start: true, properties: {} }))),
    { kind: 'login', credentials: { ...credentials, protocol: 5 } },
  )
  assert.deepEqual(told(vernemq.parse(hook('auth_on_register', { ...register, username: null, password: null }))), {
    kind: 'login',
    credentials: { clientId: 'clientid', ip: '127.0.0.1' },
  })
})

test('a certificate that the broker passes on is a credential', () => {
  const question = vernemq.parse(hook('auth_on_register', { ...register, client_cert: 'MAMCAQE=' }))
  assert.ok(question.kind === 'login')
  assert.deepEqual(question.credentials.certificates, [new Uint8Array([0x30, 3, 2, 1, 1])])
})

test('auth_on_publish and auth_on_subscribe ask what they name', () => {
  assert.deepEqual(vernemq.parse(hook('auth_on_publish', publish)), {
    kind: 'access',
    subject,
    wants: [{ action: 'publish', topic: 'a/b', qos: 1, retain: false }],
    mode: 'all',
  })
  const wants = [
    { action: 'subscribe', topic: 'a/b', qos: 1 },
    { action: 'subscribe', topic: 'c/d', qos: 2 },
  ]
  const expected = { kind: 'access', subject, wants, mode: 'each' }
  assert.deepEqual(vernemq.parse(hook('auth_on_subscribe', subscribe)), expected)
  assert.deepEqual(vernemq.parse(hook('auth_on_subscribe_m5', subscribe5)), expected)
})

test('clients of another mountpoint are none of this hook: their sessions and topics are others', () => {
  const other = createVernemq({ ...settings, mountpoint: 'plant-b' })
  const hooks = { auth_on_register: register, auth_on_publish: publish, auth_on_subscribe: subscribe }
  for (const [name, body] of Object.entries(hooks)) {
    for (const suffix of ['', '_m5']) {
      const here = hook(name + suffix, body)
      const elsewhere = hook(name + suffix, { ...body, mountpoint: 'plant-b' })
      const missing = hook(name + suffix, { ...body, mountpoint: undefined })
      for (const [dialect, request] of [
        [vernemq, elsewhere],
        [other, here],
        [vernemq, missing],
      ] as const) {
        const question = dialect.parse(request)
        assert.ok(question.kind === 'malformed' && /mountpoint/.test(question.what), JSON.stringify(question))
        assert.equal(answerTo(dialect, request, question), '200 {"result":{"error":"not_allowed"}}')
      }
      assert.deepEqual(told(other.parse(elsewhere)), told(vernemq.parse(here)))
    }
  }
})

test('a SUBSCRIBE of 200 filters with all their options is a question', () => {
  const topics = Array.from({ length: 200 }, () => ({ topic: 'a', qos: 0, ...options }))
  const properties = { p_user_property: Array.from({ length: 50 }, () => ({ key: 'a', val: 'b' })) }
  const question = vernemq.parse(hook('auth_on_subscribe_m5', { ...subscribe, topics, properties }))
  assert.ok(question.kind === 'access', JSON.stringify(question))
  assert.equal(question.wants.length, 200)
})

const malformed: readonly { request: HookRequest; what: RegExp }[] = [
  { request: hook('on_deliver', publish), what: /no such path/ },
  { request: hook('auth_on_register_m6', register), what: /no such path/ },
  { request: { ...hook('auth_on_register', register), method: 'GET' }, what: /takes POST/ },
  { request: { ...hook('auth_on_publish', publish), headers: { 'vernemq-hook': 'on_publish' } }, what: /vernemq-hook/ },
  { request: { ...hook('auth_on_publish', publish), headers: {} }, what: /vernemq-hook/ },
  { request: hook('auth_on_register', { ...register, client_id: undefined }), what: /client_id is missing/ },
  { request: hook('auth_on_register', { ...register, client_cert: 'not base64' }), what: /client_cert/ },
  { request: hook('auth_on_publish', { ...publish, qos: '1' }), what: /qos must be/ },
  { request: hook('auth_on_publish', { ...publish, retain: 0 }), what: /retain must be/ },
  { request: hook('auth_on_publish', { ...publish, topic: null }), what: /topic is missing/ },
  { request: hook('auth_on_subscribe', { ...subscribe, topics: [] }), what: /topics must be/ },
  { request: hook('auth_on_subscribe', { ...subscribe, topics: ['a'] }), what: /each of topics/ },
  { request: hook('auth_on_subscribe', { ...subscribe, topics: [{ topic: 7, qos: 0 }] }), what: /topic must be text/ },
  {
    request: hook('auth_on_subscribe', {
      ...subscribe,
      topics: Array.from({ length: 400 }, () => ({ topic: 'a', qos: 3 })),
    }),
    what: /qos must be/,
  },
  {
    request: hook('auth_on_subscribe', {
      ...subscribe,
      topics: Array.from({ length: 1_001 }, () => ({ topic: 'a', qos: 0 })),
    }),
    what: /more than 2000 members/,
  },
]
for (const { request, what } of malformed) {
  test(`refused as malformed: ${request.method} ${request.path} ${what.source}`, () => {
    const question = vernemq.parse(request)
    assert.ok(question.kind === 'malformed', JSON.stringify(question))
    assert.match(question.what, what)
    assert.equal(answerTo(vernemq, request, question), '200 {"result":{"error":"not_allowed"}}')
  })
}

test('whatever is no yes is not_allowed, never next, and never remembered', () => {
  const requests = [
    hook('auth_on_register', register),
    hook('auth_on_publish', publish),
    hook('auth_on_subscribe', subscribe),
    hook('auth_on_subscribe_m5', subscribe5),
  ]
  for (const answer of refusals) {
    for (const request of requests) {
      assert.equal(answerTo(vernemq, request, answer), '200 {"result":{"error":"not_allowed"}}', JSON.stringify(answer))
      assert.equal(vernemq.render(answer, request, undefined).headers['cache-control'], 'no-store')
    }
  }
})

test('a login is ok, and is not remembered by the broker either', () => {
  const request = hook('auth_on_register', register)
  const accepted = { kind: 'accepted', login: loggedIn() } as const
  assert.equal(answerTo(vernemq, request, accepted), '200 {"result":"ok"}')
  const { headers } = vernemq.render(accepted, request, { kind: 'login', credentials: { clientId: 'c' } })
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(answerTo(vernemq, hook('auth_on_publish', publish), accepted), '200 {"result":{"error":"not_allowed"}}')
})

const yes = (more: Partial<Decision> = {}): AccessVerdict => ({
  allowed: true,
  decision: { decision: 'allow', reason: 'rule', rule: 'r', qos: null, retain: null, ...more },
})
const no: AccessVerdict = { allowed: false }
const access = (...verdicts: AccessVerdict[]) => ({ kind: 'access', verdicts, session: 'found' }) as const

const answers: readonly { why: string; request: HookRequest; verdicts: AccessVerdict[]; body: string }[] = [
  {
    why: 'a publish as it is',
    request: hook('auth_on_publish', publish),
    verdicts: [yes({ qos: 1, retain: false })],
    body: '{"result":"ok"}',
  },
  {
    why: 'a publish at a lower QoS, without its flag',
    request: hook('auth_on_publish', { ...publish, retain: true }),
    verdicts: [yes({ qos: 0, retain: false })],
    body: '{"result":"ok","modifiers":{"qos":0,"retain":false}}',
  },
  {
    why: 'all filters as they are',
    request: hook('auth_on_subscribe', subscribe),
    verdicts: [yes({ qos: 1 }), yes({ qos: 2 })],
    body: '{"result":"ok"}',
  },
  {
    why: 'MQTT 3: one filter refused',
    request: hook('auth_on_subscribe', subscribe),
    verdicts: [yes({ qos: 1 }), no],
    body: '{"result":"ok","topics":[{"topic":"a/b","qos":1},{"topic":"c/d","qos":128}]}',
  },
  {
    why: 'MQTT 3: a lower QoS granted',
    request: hook('auth_on_subscribe', subscribe),
    verdicts: [yes({ qos: 1 }), yes({ qos: 0 })],
    body: '{"result":"ok","topics":[{"topic":"a/b","qos":1},{"topic":"c/d","qos":0}]}',
  },
  {
    why: 'MQTT 5: one filter refused, the options of the other kept',
    request: hook('auth_on_subscribe_m5', subscribe5),
    verdicts: [no, yes({ qos: 2 })],
    body: '{"result":"ok","modifiers":{"topics":[{"topic":"a/b","qos":135},{"topic":"c/d","qos":2,"no_local":true,"rap":true,"retain_handling":"dont_send"}]}}',
  },
  {
    why: 'all filters refused',
    request: hook('auth_on_subscribe_m5', subscribe5),
    verdicts: [no, no],
    body: '{"result":{"error":"not_allowed"}}',
  },
  {
    why: 'fewer verdicts than filters',
    request: hook('auth_on_subscribe', subscribe),
    verdicts: [yes({ qos: 1 })],
    body: '{"result":{"error":"not_allowed"}}',
  },
  {
    why: 'a superuser',
    request: hook('auth_on_publish', publish),
    verdicts: [{ allowed: true }],
    body: '{"result":"ok"}',
  },
]
for (const { why, request, verdicts, body } of answers) {
  test(`answered: ${why}`, () => assert.equal(answerTo(vernemq, request, access(...verdicts)), `200 ${body}`))
}
