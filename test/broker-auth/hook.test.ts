import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideUnsaid, looksAt } from '#src/broker-auth/decide-unsaid.ts'
import { createFailedLogins } from '#src/broker-auth/failed-logins.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { acl, documentOf, HOOK_SECRET, login, PASSWORD, startHooks } from './hook-harness.ts'

test('who guesses passwords of a name is stopped, and a client that has a session is not kept out by it', async (t) => {
  const hooks = await startHooks(t)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  for (let i = 0; i < 100; i++) assert.equal(await hooks.status('/user', login('alice', `g${i}`, `guess ${i}`)), 403)
  assert.equal(hooks.refusals.at(-1)?.reason, 'wrong-password')
  assert.equal(await hooks.status('/user', login('alice', 'g100')), 403, 'also with the right one')
  assert.equal(hooks.refusals.at(-1)?.reason, 'too-many-failures')
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  assert.equal(await hooks.status('/user', login('bob', 'g1')), 200)
  hooks.clock.advance(60_001)
  assert.equal(await hooks.status('/user', login('alice', 'g100')), 200)
})

test('a name that nobody has is stopped after as many guesses as one that somebody has', () => {
  const failures = createFailedLogins(100, () => 0)
  for (const [name, reason] of [
    ['a', 'wrong-password'],
    ['b', 'unknown-user'],
    ['c', 'disabled'],
  ] as const) {
    let tries = 0
    while (failures.mayTry(name, `${tries}`, false)) failures.refused(name, `${tries++}`, false, reason)
    assert.equal(tries, 100, name)
  }
  for (let i = 0; i < 1_000; i++) failures.refused('d', 'c', false, 'token-expired')
  assert.ok(failures.mayTry('d', 'c', false))
  for (let i = 0; i < 20; i++) failures.refused('e', 'c', true, 'wrong-password')
  assert.ok(!failures.mayTry('e', 'c', true))
  assert.ok(failures.mayTry('e', 'other', false))
})

test('a CONNECT that the policy denies is no login, and operators see why', async (t) => {
  const hooks = await startHooks(t, {
    document: documentOf({ id: 'out', effect: 'deny', when: { username: 'bob' }, actions: ['connect'] }),
  })
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  assert.equal(await hooks.status('/user', login('bob', 'c2')), 403)
  assert.deepEqual(
    hooks.refusals.map(({ reason, clientId, username }) => ({ reason, clientId, username })),
    [{ reason: 'policy-denied', clientId: 'c2', username: 'bob' }],
  )
  assert.equal(await hooks.status('/acl', acl('bob', 'c2', 'x')), 403)
})

/** Decides for a broker that says nothing but the topic. */
function unsaid(rule: object, action: 'publish' | 'subscribe' | 'receive', more: object = {}) {
  const { policy, problems } = parsePolicy(
    documentOf({ id: 'r', effect: 'allow', actions: [action], topics: ['a'], ...rule }),
  )
  assert.ok(policy, JSON.stringify(problems))
  const compiled = compilePolicy(policy)
  const session = createSession(compiled, {})
  return decideUnsaid((request) => session.decide(request), { action, topic: 'a', ...more }, looksAt(compiled))
}

test('what a broker does not say is taken for the worst that it can be', () => {
  const table = [
    ['no condition', {}, 'publish', {}, 'allow', 'rule'],
    ['a QoS that it may have', { qos: [0, 1] }, 'publish', {}, 'deny', 'default'],
    ['a QoS that it has', { qos: [0, 1] }, 'publish', { qos: 1 }, 'allow', 'rule'],
    ['a limit that refuses', { maxQos: 1 }, 'publish', {}, 'deny', 'qos-exceeds'],
    ['a limit that lowers', { maxQos: 1, qosMode: 'cap' }, 'publish', {}, 'deny', 'qos-exceeds'],
    ['a limit on what is granted', { maxQos: 1 }, 'subscribe', {}, 'deny', 'qos-exceeds'],
    ['every QoS', { qos: [0, 1, 2] }, 'publish', {}, 'allow', 'rule'],
    ['no retained message', { retain: 'forbid' }, 'publish', {}, 'deny', 'default'],
    ['a flag that is taken off', { retain: 'strip' }, 'publish', {}, 'deny', 'rule'],
    ['no flag, and it says so', { retain: 'forbid' }, 'publish', { retain: false }, 'allow', 'rule'],
    ['no Will', { will: false }, 'publish', {}, 'deny', 'default'],
    ['a delivery has no such thing', { maxQos: 0 }, 'receive', {}, 'allow', 'rule'],
  ] as const
  for (const [what, rule, action, more, decision, reason] of table) {
    const actual = unsaid(rule, action, more)
    assert.deepEqual([actual.decision, actual.reason], [decision, reason], what)
  }
})

test('the audit log has one row for a hook, an outcome and a minute, and the first refused wants by themselves', async (t) => {
  const hooks = await startHooks(t)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  for (let i = 0; i < 30; i++) assert.equal(await hooks.status('/acl', acl('alice', 'c1', `plant/bob/${i}`)), 403)
  for (let i = 0; i < 5; i++) assert.equal(await hooks.status('/acl', acl('alice', 'c1', `plant/alice/${i}`)), 200)
  await hooks.status('/acl', acl('nobody', 'c9', 'x'))
  await hooks.status('/user', login('alice', 'c1', 'wrong'))
  await hooks.ask('', '', { url: '/mqtt/wrong-wrong-wrong-wrong/user' })
  hooks.clock.advance(60_000)
  await hooks.auth.notes.flush()
  const rows = hooks.audit.events.filter(({ action }) => action === 'broker_auth.summary')
  const told = rows.map(
    ({ outcome, detail }) =>
      `${outcome} ${detail?.['hook']} ${detail?.['question']} ${detail?.['answer']} ${detail?.['count']}`,
  )
  assert.deepEqual(told.sort(), [
    'denied default access denied 30',
    'denied default access no-session 1',
    'denied default login refused:wrong-password 1',
    'denied default none stranger 1',
    'success default login accepted 1',
  ])
  const samples = hooks.audit.events.filter(({ action }) => action === 'policy.decision')
  assert.equal(samples.length, 20)
  assert.deepEqual(
    [samples[0]?.detail?.['topic'], samples[0]?.detail?.['username'], samples[0]?.detail?.['reason']],
    ['plant/bob/0', 'alice', 'default'],
  )
  const all = JSON.stringify(hooks.audit.events)
  assert.ok(!all.includes('correct horse') && !all.includes('a-secret-of-the-broker'))
  const allowed = hooks.auth.notes.counts().find(({ outcome }) => outcome === 'allowed')
  assert.equal(allowed?.count, 5)
})

test('an audit log that is away delays rows and loses no count', async (t) => {
  const hooks = await startHooks(t)
  await hooks.status('/user', login('alice', 'c1', 'wrong'))
  hooks.clock.advance(60_000)
  hooks.audit.failing = true
  await assert.rejects(hooks.auth.notes.flush(), { code: 'audit.unavailable' })
  hooks.audit.failing = false
  await hooks.auth.notes.flush()
  assert.equal(hooks.audit.events.length, 1)
})

test('a question about more topics than are decided at once is refused', async (t) => {
  const hooks = await startHooks(t, { hook: { dialect: 'vernemq' } })
  const headers = { 'content-type': 'application/json', 'vernemq-hook': 'auth_on_subscribe' }
  const register = {
    peer_addr: '10.0.0.1',
    peer_port: 1,
    username: 'alice',
    password: 'correct horse',
    mountpoint: '',
    client_id: 'c1',
    clean_session: true,
  }
  await hooks.ask('/auth_on_register', register, { headers: { ...headers, 'vernemq-hook': 'auth_on_register' } })
  const ask = async (count: number) => {
    const topics = Array.from({ length: count }, (_, i) => ({ topic: `plant/alice/${i}`, qos: 0 }))
    const body = { client_id: 'c1', mountpoint: '', username: 'alice', topics }
    return (await hooks.ask('/auth_on_subscribe', body, { headers })).body
  }
  assert.match(await ask(200), /^\{"result":"ok"/)
  assert.equal(await ask(201), '{"result":{"error":"not_allowed"}}')
})

test('a broker that does not ask before deliveries grants no subscription to somebody who may not read', async (t) => {
  const permissions = { groups: { askers: ['subscribe'], readers: ['subscribe', 'read'] } }
  const document = documentOf({ id: 'all', effect: 'allow', actions: ['subscribe', 'receive'], topics: ['a'] })
  const dialects = ['go-auth', 'emqx', 'tbmq'].map((dialect) => ({ name: dialect, dialect, permissions }))
  const h = await startHooks(t, {
    document,
    users: [
      { username: 'asker', groups: ['askers'] },
      { username: 'reader', groups: ['readers'] },
    ],
    hooks: dialects,
  })
  const ask = async (hook: string, path: string, body: object) =>
    (await h.ask('', body, { url: `/mqtt/hooks/${hook}/${HOOK_SECRET}${path}` })).body
  for (const username of ['asker', 'reader']) {
    const mayRead = username === 'reader'
    const client = { username, password: PASSWORD, clientid: 'c1' }
    assert.match(await ask('go-auth', '/user', client), /"ok":true/)
    assert.match(await ask('go-auth', '/acl', acl(username, 'c1', 'a', 4)), /"ok":true/, 'deliveries are asked about')
    assert.match(await ask('go-auth', '/acl', acl(username, 'c1', 'a', 1)), new RegExp(`"ok":${mayRead}`))
    assert.match(await ask('emqx', '/authn', client), /"allow"/)
    const subscribe = { username, clientid: 'c1', topic: 'a', action: 'subscribe', qos: 0 }
    assert.equal(await ask('emqx', '/authz', subscribe), `{"result":"${mayRead ? 'allow' : 'deny'}"}`)
    const told = JSON.parse(await ask('tbmq', '/authenticate', { clientId: 'c1', username, password: PASSWORD }))
    assert.equal(told.result, 'success')
    assert.equal(told.authRules.subAuthRulePatterns.length, mayRead ? 1 : 0)
  }
})
