import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTbmq } from '#src/broker-auth/dialects/tbmq.ts'
import { answerTo, loggedIn, refusals, requestOf, told } from './asking.ts'

const tbmq = createTbmq()
const path = '/authenticate'
/** Its template with what a client sent put in, as TBMQ does it: as it stands. */
const template = (clientId: string, username: string, password: string) =>
  `{"clientId":"${clientId}","username":"${username}","password":"${password}"}`
const good = template('dev-1', 'alice', 'good')

test('the template is a login; what a client did not send is empty there', () => {
  assert.deepEqual(told(tbmq.parse(requestOf(path, good))), {
    kind: 'login',
    credentials: { clientId: 'dev-1', username: 'alice', password: 'good' },
  })
  assert.deepEqual(told(tbmq.parse(requestOf(path, template('dev-1', '', '')))), {
    kind: 'login',
    credentials: { clientId: 'dev-1' },
  })
})

const injections: readonly { why: string; body: string }[] = [
  { why: 'a name that brings a name', body: template('dev-1', 'x","username":"admin', 'p') },
  { why: 'an id that brings an id', body: template('x","clientId":"dev-2', 'alice', 'p') },
  { why: 'a member that nobody asked for', body: template('dev-1', 'x","role":"admin', 'p') },
  { why: 'escaped: the same name', body: template('dev-1', 'x","user\\u006eame":"admin', 'p') },
  {
    why: 'members swallowed by an object',
    body: template('dev-2","username":"bob","password":"p","z":{"q":"', 'x', 'y"},"w":"'),
  },
  { why: 'a backslash at the end', body: template('dev-1', 'alice\\', ',"password":"p') },
  { why: 'an object for a name', body: '{"clientId":{"a":"b"},"username":"alice","password":"p"}' },
  { why: 'an end before the end', body: template('dev-1', 'alice"} {"x":"', 'p') },
  { why: 'a line break, which JSON has no room for', body: template('dev-1', 'alice\n', 'p') },
  { why: 'no password member', body: '{"clientId":"dev-1","username":"alice"}' },
  { why: 'the common name, which nobody here can verify', body: good.replace('}', ',"commonName":"x"}') },
  { why: 'nothing', body: '' },
  { why: 'a list', body: '[]' },
]
for (const { why, body } of injections) {
  test(`refused, not skipped: ${why}`, () => {
    const question = tbmq.parse(requestOf(path, body))
    assert.equal(question.kind, 'malformed')
    assert.ok(question.kind === 'malformed' && !/admin|dev-2/.test(question.what))
    assert.equal(answerTo(tbmq, requestOf(path, body), { ...question }), '200 {"result":"failure"}')
  })
}

test('what quotes a name rightly is that name', () => {
  assert.deepEqual(told(tbmq.parse(requestOf(path, template('dev-1', 'x\\",\\"username\\":\\"admin', 'p')))), {
    kind: 'login',
    credentials: { clientId: 'dev-1', username: 'x","username":"admin', password: 'p' },
  })
})

test('the test of the connection is answered; other ways to ask are not taken', () => {
  const head = tbmq.parse(requestOf(path, '', { method: 'HEAD' }))
  assert.deepEqual(head, { kind: 'reply', answer: { status: 200, headers: {}, body: '' } })
  for (const method of ['GET', 'PUT', 'PATCH']) {
    const question = tbmq.parse(requestOf(path, good, { method }))
    assert.ok(question.kind === 'malformed' && question.route === 'method', method)
  }
  assert.equal(tbmq.parse(requestOf('/auth', good)).kind, 'malformed')
})

test('whatever is no yes is failure: for anything else TBMQ asks its next provider', () => {
  for (const answer of refusals) {
    assert.equal(answerTo(tbmq, requestOf(path, good), answer), '200 {"result":"failure"}', JSON.stringify(answer))
  }
  const known = { kind: 'known', isKnown: true } as const
  assert.equal(answerTo(tbmq, requestOf(path, good), known), '200 {"result":"failure"}')
})

const rules = [
  { id: 'up', effect: 'allow', actions: ['publish'], topics: ['up/${clientId}'] },
  { id: 'down', effect: 'allow', actions: ['subscribe'], topics: ['down/${clientId}'] },
]

function say(more: Parameters<typeof loggedIn>[0], theirs: readonly object[] = rules) {
  return tbmq.render({ kind: 'accepted', login: loggedIn(more, theirs) }, requestOf(path, good), {
    kind: 'login',
    credentials: { clientId: 'c' },
  })
}

test('a yes brings both lists, always: a list that is missing would allow everything', () => {
  assert.equal(
    say({}).body,
    '{"result":"success","clientType":"DEVICE","authRules":{"pubAuthRulePatterns":["up/c"],"subAuthRulePatterns":["down/c"]}}',
  )
  const none = '"authRules":{"pubAuthRulePatterns":[],"subAuthRulePatterns":[]}}'
  assert.equal(say({}, []).body, `{"result":"success","clientType":"DEVICE",${none}`)
  assert.equal(
    say({ identity: { clientId: 'c', type: 'application' }, mayTry: () => false }).body,
    `{"result":"success","clientType":"APPLICATION",${none}`,
  )
  const { body } = say({ mayTry: (action) => action === 'subscribe' })
  assert.match(body, /"pubAuthRulePatterns":\[\],"subAuthRulePatterns":\["down\/c"\]/)
})

test('a superuser may do everything', () => {
  assert.match(
    say({ isSuperuser: true, mayTry: () => false }).body,
    /"pubAuthRulePatterns":\["\[\\\\s\\\\S\]\*"\],"subAuthRulePatterns":\["\[\\\\s\\\\S\]\*"\]/,
  )
})

test('what cannot be said in regular expressions is named in a header that TBMQ does not read', () => {
  const { headers, body } = say({}, [
    ...rules,
    { id: 'low, ü', effect: 'allow', actions: ['publish'], topics: ['x'], qos: [0] },
  ])
  assert.equal(headers['x-sealwire-left-out'], 'low%2C%20%C3%BC (qos)')
  assert.equal(body, say({}).body)
  const many = Array.from({ length: 90 }, (_, i) => ({
    id: `rule-number-${i}`,
    effect: 'allow',
    actions: ['publish'],
    topics: ['x'],
    qos: [0],
  }))
  const long = say({}, many).headers['x-sealwire-left-out'] ?? ''
  assert.equal(long.length, 1_000)
  assert.ok(long.endsWith('...'))
})
