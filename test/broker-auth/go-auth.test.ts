import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answer, Question } from '#src/broker-auth/dialect.ts'
import { createGoAuth } from '#src/broker-auth/dialects/go-auth.ts'
import { answerTo, loggedIn, refusals, requestOf, settings, told } from './dialects/asking.ts'

const dialect = createGoAuth(settings)
const JSON_TYPE = { 'content-type': 'application/json' }
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' }

const parse = (path: string, body: string, headers: Record<string, string> = JSON_TYPE) =>
  told(dialect.parse(requestOf(path, body, { headers })))

const wants = (...actions: string[]) => actions.map((action) => ({ action, topic: 'celine/ok/a' }))
const access = (actions: string[], subject: object = { username: 'alice', clientId: 'a1' }) => ({
  kind: 'access',
  subject,
  wants: wants(...actions),
  mode: 'all',
})

test('recorded requests of mosquitto 2.0.11 with go-auth’s shapes are read as they were meant', () => {
  assert.deepEqual(parse('/user', '{"clientid":"a1","password":"good","username":"alice"}'), {
    kind: 'login',
    credentials: { clientId: 'a1', username: 'alice', password: 'good' },
  })
  assert.deepEqual(
    parse('/acl', '{"acc":2,"clientid":"a1","topic":"celine/ok/a","username":"alice"}'),
    access(['publish']),
  )
  assert.deepEqual(parse('/acl', 'acc=2&clientid=cl+1&topic=celine%2Fok%2F%C3%BC&username=al+ice', FORM_TYPE), {
    kind: 'access',
    subject: { username: 'al ice', clientId: 'cl 1' },
    wants: [{ action: 'publish', topic: 'celine/ok/ü' }],
    mode: 'all',
  })
  assert.deepEqual(parse('/superuser', '{"username":"alice"}'), {
    kind: 'superuser',
    subject: { username: 'alice', clientId: '' },
  })
  for (const [body, headers] of [
    ['null', JSON_TYPE],
    ['', JSON_TYPE],
    ['', FORM_TYPE],
    ['', {}],
  ] as const) {
    assert.deepEqual(parse('/user', body, headers), { kind: 'login', credentials: { clientId: '' } })
    assert.deepEqual(parse('/superuser', body, headers), { kind: 'superuser', subject: { username: '', clientId: '' } })
  }
})

test('what Go escapes in JSON and leaves out of forms arrives as it was', () => {
  assert.deepEqual(parse('/user', '{"clientid":"a","password":"\\u003c\\u0026\\u003e","username":"ü\\u2028"}'), {
    kind: 'login',
    credentials: { clientId: 'a', username: 'ü\u2028', password: '<&>' },
  })
  const question = dialect.parse(requestOf('/user', 'clientid=a&password=%FF%00%26&username=b', { headers: FORM_TYPE }))
  assert.equal(question.kind, 'login')
  const bytes = (question as Question & { kind: 'login' }).credentials.password?.reveal()
  assert.deepEqual([...(bytes ?? [])], [0xff, 0, 0x26], 'a password is bytes')
})

const acc = (value: unknown) =>
  parse('/acl', JSON.stringify({ acc: value, clientid: 'a1', topic: 'celine/ok/a', username: 'alice' }))

test('H4: acc is a mask; its bits are judged in the order subscribe, publish, read', () => {
  const table = [
    [1, ['receive']],
    [2, ['publish']],
    [3, ['publish', 'receive']],
    [4, ['subscribe']],
    [5, ['subscribe', 'receive']],
    [6, ['subscribe', 'publish']],
    [7, ['subscribe', 'publish', 'receive']],
  ] as const
  for (const [mask, actions] of table) {
    assert.deepEqual(acc(mask), access([...actions]))
    assert.deepEqual(acc(String(mask)), access([...actions]), 'H8: the same as text')
  }
})

test('a mask without a bit, or with one that nobody knows, is refused and not cut down', () => {
  for (const mask of [0, 8, 9, 17, 0x11, -1, 255, '0', '8', 1e9]) {
    const question = acc(mask) as Question & { kind: 'reply' }
    assert.equal(question.kind, 'reply', String(mask))
    assert.equal(question.answer.status, 403)
    assert.equal(question.answer.body, '{"ok":false,"error":"invalid acc mask","reason":"invalid acc mask"}')
  }
  for (const none of [[2], { a: 2 }, true, null, 2.5, '2.0', ' 2', '0x2', '', 'two', undefined]) {
    assert.equal((acc(none) as { kind: string }).kind, 'malformed', JSON.stringify(none))
  }
})

test('H10: a body that is none, or without topic or acc, is malformed, and answered 4xx', () => {
  const bodies = [
    '{',
    '[]',
    '"x"',
    '1',
    'acc=2',
    '{"acc":2}',
    '{"topic":"a"}',
    '{"acc":2,"topic":5}',
    '{"acc":2,"topic":null}',
    '{"acc":2,"topic":"a","topic":"b"}',
    '{"acc":2,"topic":"a","username":["x"]}',
    '{"acc":2,"topic":"a","clientid":7}',
    '{"acc":2,"topic":"\\ud800"}',
    `{"acc":2,"topic":"a","x":${'['.repeat(20)}${']'.repeat(20)}}`,
  ]
  for (const body of bodies) {
    assert.equal((parse('/acl', body) as { kind: string }).kind, 'malformed', body)
    assert.match(
      answerTo(dialect, requestOf('/acl', body, { headers: JSON_TYPE }), { kind: 'malformed', what: 'x' }),
      /^400 /,
    )
  }
  for (const body of ['acc=2&acc=4&topic=a', 'topic=%zz&acc=2', 'topic=%', 'acc=2&topic=%FF']) {
    assert.equal((parse('/acl', body, FORM_TYPE) as { kind: string }).kind, 'malformed', body)
  }
  const bytes = new Uint8Array([0x7b, 0xff, 0x7d])
  assert.equal(dialect.parse({ ...requestOf('/acl', ''), body: bytes }).kind, 'malformed')
})

test('H12: POST, PUT and GET with a body are the same; other methods and paths are none', () => {
  const body = '{"acc":2,"clientid":"a1","topic":"celine/ok/a","username":"alice"}'
  for (const method of ['POST', 'PUT', 'GET'])
    assert.deepEqual(dialect.parse(requestOf('/acl', body, { method, headers: JSON_TYPE })), access(['publish']))
  for (const method of ['DELETE', 'HEAD', 'PATCH', 'OPTIONS']) {
    const question = dialect.parse(requestOf('/acl', body, { method, headers: JSON_TYPE }))
    assert.deepEqual(question, { kind: 'malformed', what: 'takes POST, PUT and GET', route: 'method' })
  }
  for (const path of ['/', '/users', '/ACL', '/acl/', '/%61cl'])
    assert.deepEqual(dialect.parse(requestOf(path, body)), { kind: 'malformed', what: 'no such path', route: 'path' })
})

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl'

test('a token stands where the hook says: header, then user name; elsewhere it is none', () => {
  const body = '{"acc":2,"clientid":"a1","topic":"celine/ok/a","username":"alice"}'
  const headers = { ...JSON_TYPE, authorization: `Bearer ${JWT}` }
  const subjectOf = (question: unknown) =>
    (question as { subject: { proof?: { bearer?: { reveal(): string } } } }).subject
  assert.equal(subjectOf(dialect.parse(requestOf('/acl', body, { headers }))).proof?.bearer?.reveal(), JWT)
  const withoutHeader = createGoAuth({ ...settings, tokenFrom: [] })
  assert.equal(subjectOf(withoutHeader.parse(requestOf('/acl', body, { headers }))).proof, undefined)
  const named = JSON.stringify({ acc: 2, clientid: 'a1', topic: 'celine/ok/a', username: JWT })
  assert.deepEqual(subjectOf(dialect.parse(requestOf('/acl', named, { headers: JSON_TYPE }))).proof, {
    clientId: 'a1',
    username: JWT,
  })
  assert.equal(subjectOf(withoutHeader.parse(requestOf('/acl', named, { headers: JSON_TYPE }))).proof, undefined)
  for (const none of [JWT, `Basic ${JWT}`, 'Bearer', `Bearer ${JWT} ${JWT}`, `bearer\t${JWT}`]) {
    const asked = dialect.parse(requestOf('/acl', body, { headers: { ...JSON_TYPE, authorization: none } }))
    assert.equal(subjectOf(asked).proof, undefined, none)
  }
  for (const one of [`Bearer ${JWT}`, `bearer ${JWT}`, `BEARER  ${JWT}  `]) {
    const asked = dialect.parse(requestOf('/acl', body, { headers: { ...JSON_TYPE, authorization: one } }))
    assert.equal(subjectOf(asked).proof?.bearer?.reveal(), JWT, one)
  }
})

const yes: readonly Answer[] = [
  { kind: 'accepted', login: loggedIn() },
  { kind: 'access', verdicts: [{ allowed: true }, { allowed: true }], session: 'found' },
  { kind: 'superuser', isSuperuser: true },
]

test('every answer that is no yes is a 4xx or 5xx; only what nobody could tell is 5xx', () => {
  for (const answer of refusals) {
    for (const answers of ['status', 'json', 'text'] as const) {
      const { status, body } = createGoAuth({ ...settings, answers }).render(answer, requestOf('/acl', ''), undefined)
      const isUnknown =
        answer.kind === 'unavailable' ||
        answer.kind === 'late' ||
        ('reason' in answer && answer.reason === 'unavailable')
      assert.ok(isUnknown ? status === 503 : status >= 400 && status < 500, `${status} for ${JSON.stringify(answer)}`)
      assert.notEqual(body, 'ok')
      assert.ok(!/"ok":true/.test(body))
    }
  }
  assert.ok(refusals.length > 10)
})

test('a yes is 200, as JSON that both modes take, or the two letters that text mode wants', () => {
  for (const answer of yes) {
    const { status, body, headers } = dialect.render(answer, requestOf('/acl', ''), undefined)
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(JSON.parse(body)), ['ok', 'error', 'reason'])
    assert.equal((JSON.parse(body) as { ok: boolean }).ok, true)
    assert.equal(headers['content-type'], 'application/json')
    const text = createGoAuth({ ...settings, answers: 'text' }).render(answer, requestOf('/acl', ''), undefined)
    assert.equal(`${text.status} ${text.body}`, '200 ok')
  }
})

test('H8: nobody can tell an unknown user from a wrong password or a disabled one', () => {
  const bodies = (['unknown-user', 'wrong-password', 'disabled', 'blocked', 'token-expired'] as const).map((reason) =>
    JSON.stringify(dialect.render({ kind: 'refused', reason }, requestOf('/user', ''), undefined)),
  )
  assert.equal(new Set(bodies).size, 1)
})
