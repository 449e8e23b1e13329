import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { sessionId, sessionKey } from '#src/broker-auth/session.ts'
import { acl, documentOf, type Harness, login, ownTopics, PASSWORD, startHooks } from './hook-harness.ts'
import { tokenOf } from './tokens.ts'

const isAllowed = (status: number) => status === 200

test('a session is of one user name and one client id, whatever characters are in them', async (t) => {
  const hooks = await startHooks(t, {
    users: [{ username: 'a' }],
    document: documentOf({ id: 'all', effect: 'allow', actions: ['publish'], topics: ['x'] }),
  })
  const others = [
    ['a-b', 'c'],
    ['a', 'b:c'],
    ['1:a', 'b-c'],
    ['a', 'b-c\u0000'],
    ['a\u0000', 'b-c'],
    ['', 'ab-c'],
    ['ab-c', ''],
    ['A', 'b-c'],
    ['a', 'B-C'],
    ['a ', 'b-c'],
  ] as const
  assert.equal(await hooks.status('/user', login('a', 'b-c')), 200)
  assert.equal(await hooks.status('/acl', acl('a', 'b-c', 'x')), 200)
  for (const [username, clientId] of others) {
    const status = await hooks.status('/acl', acl(username, clientId, 'x'))
    assert.equal(status, 403, JSON.stringify([username, clientId]))
  }
  const pairs = [['a', 'b-c'], ...others] as const
  const place = { hook: 'default', tenantId: 'ten_1' }
  const keyOf = (one: typeof place, name: string, id: string) => sessionKey(one, name, id).toString('hex')
  assert.equal(new Set(pairs.map(([name, id]) => sessionId(name, id))).size, pairs.length)
  assert.equal(new Set(pairs.map(([name, id]) => keyOf(place, name, id))).size, pairs.length)
  const split = { hook: 'defaultten', tenantId: '_1' }
  assert.notEqual(keyOf(place, 'a', 'b'), keyOf(split, 'a', 'b'))
})

test('a session of one hook is none of another, also with the same secret, tenant and providers', async (t) => {
  const hooks = await startHooks(t, { hooks: [{ name: 'other' }] })
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  const at = (name: string) => ({ url: `/mqtt/hooks/${name}/a-secret-of-the-broker/acl` })
  assert.equal(await hooks.status('', acl('alice', 'c1', 'plant/alice/x'), at('default')), 200)
  assert.equal(await hooks.status('', acl('alice', 'c1', 'plant/alice/x'), at('other')), 403)
})

test('only a successful login replaces a session', async (t) => {
  const hooks = await startHooks(t)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  assert.equal(await hooks.status('/user', login('alice', 'c1', 'wrong')), 403)
  assert.equal(await hooks.status('/user', login('nobody', 'c1', 'wrong')), 403)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
})

test('a restart and a second replica know the sessions; a login at one replaces what the other has in memory', async (t) => {
  const hooks = await startHooks(t, {
    providers: { idp: { type: 'jwt', audience: '*', secret: { env: 'TOKEN_SECRET' }, connect_username: 'ignored' } },
    hook: { providers: ['idp', 'devices'] },
    document: documentOf({
      id: 'writers',
      effect: 'allow',
      when: { scopes: { anyOf: ['mqtt.write'] } },
      actions: ['publish'],
      topics: ['x'],
    }),
  })
  const exp = Math.floor(hooks.clock.now() / 1000) + 600
  const writer = await tokenOf({ sub: 'svc', scope: 'mqtt.write', exp })
  const reader = await tokenOf({ sub: 'svc', scope: 'mqtt.read', exp })
  const replica = await hooks.replica()
  assert.equal(await hooks.status('/user', login('svc', 'c1', writer)), 200)
  await rowsWith(hooks, 'mqtt.write')
  assert.equal(await replica.status('/acl', acl('svc', 'c1', 'x')), 200, 'from the table')
  assert.equal(await replica.status('/user', login('svc', 'c1', reader)), 200)
  assert.equal(await replica.status('/acl', acl('svc', 'c1', 'x')), 403)
  await rowsWith(hooks, 'mqtt.read')
  const start = performance.now()
  while (isAllowed(await hooks.status('/acl', acl('svc', 'c1', 'x')))) {
    assert.ok(performance.now() - start < 5_000, 'what is in memory here stays')
    await delay(5)
  }
  assert.ok(!JSON.stringify(await rowsOf(hooks)).includes(writer.slice(0, 40)), 'no token is in the table')
})

/** Waits until a row of the table holds a text: a login waits for its row no longer than 100 ms. */
async function rowsWith(hooks: Harness, text: string): Promise<void> {
  const start = performance.now()
  while (!JSON.stringify(await rowsOf(hooks)).includes(text)) {
    assert.ok(performance.now() - start < 10_000, `no row with ${text}`)
    await delay(5)
  }
}

async function rowsOf(hooks: Harness) {
  const { rows } = await hooks.db.query("select *, encode(key, 'hex') as hex from broker_sessions")
  return rows
}

test('a token that is the user name is in no row of the table', async (t) => {
  const hooks = await startHooks(t, {
    providers: { idp: { type: 'jwt', audience: '*', secret: { env: 'TOKEN_SECRET' } } },
    hook: { providers: ['idp'] },
    document: documentOf({ id: 'x', effect: 'allow', actions: ['publish'], topics: ['x'] }),
  })
  const token = await tokenOf({ sub: 'svc', exp: Math.floor(hooks.clock.now() / 1000) + 600 })
  assert.equal(await hooks.status('/user', login(token, 'c1', 'x')), 200)
  await rowsWith(hooks, 'svc')
  const rows = await rowsOf(hooks)
  assert.equal(rows.length, 1)
  assert.ok(!JSON.stringify(rows).includes(token.slice(-30)))
  assert.equal(await hooks.status('/acl', acl(token, 'c1', 'x')), 200)
})

test('a token that ends while the client is connected ends what it may do', async (t) => {
  const hooks = await startHooks(t, {
    providers: { idp: { type: 'jwt', audience: '*', secret: { env: 'TOKEN_SECRET' }, clock_skew_s: 0 } },
    hook: { providers: ['idp'] },
    document: documentOf({ id: 'x', effect: 'allow', actions: ['publish'], topics: ['x'] }),
  })
  const token = await tokenOf({ sub: 'svc', exp: Math.floor(hooks.clock.now() / 1000) + 10 })
  assert.equal(await hooks.status('/user', login('svc', 'c1', token)), 200)
  assert.equal(await hooks.status('/acl', acl('svc', 'c1', 'x')), 200)
  hooks.clock.advance(9_000)
  assert.equal(await hooks.status('/acl', acl('svc', 'c1', 'x')), 200)
  hooks.clock.advance(1_500)
  assert.equal(await hooks.status('/acl', acl('svc', 'c1', 'x')), 403)
  const inHeader = { headers: { authorization: `Bearer ${token}` } }
  assert.equal(await hooks.status('/acl', { topic: 'x', acc: 2, clientid: 'c9' }, inHeader), 403)
})

test('a user who is disabled in the file, or blocked, loses what a connected client had', async (t) => {
  const hooks = await startHooks(t)
  const replica = await hooks.replica()
  for (const one of [hooks, replica]) assert.equal(await one.status('/user', login('alice', 'c1')), 200)
  hooks.blocked.add('c1')
  for (const one of [hooks, replica]) assert.equal(await one.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 403)
  hooks.blocked.clear()
  for (const one of [hooks, replica]) assert.equal(await one.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
  await hooks.writeUsers({ username: 'alice', enabled: false })
  for (const one of [hooks, replica]) {
    const start = performance.now()
    while (isAllowed(await one.status('/acl', acl('alice', 'c1', 'plant/alice/x')))) {
      assert.ok(performance.now() - start < 10_000, 'still allowed')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
})

test('the sessions of one user are bounded, in memory and in the table, and take none of another', async (t) => {
  const hooks = await startHooks(t, { hook: { max_sessions_per_user: 3, max_sessions: 100 } })
  assert.equal(await hooks.status('/user', login('bob', 'b')), 200)
  for (let i = 0; i < 8; i++) assert.equal(await hooks.status('/user', login('alice', `c${i}`)), 200)
  const may = async (clientId: string) => isAllowed(await hooks.status('/acl', acl('alice', clientId, 'plant/alice/x')))
  assert.deepEqual(await Promise.all(['c0', 'c4', 'c5', 'c7'].map(may)), [false, false, true, true])
  assert.equal(await hooks.status('/acl', acl('bob', 'b', 'plant/bob/x')), 200)
  const replica = await hooks.replica()
  for (let i = 0; i < 3; i++) assert.equal(await replica.status('/user', login('alice', `d${i}`)), 200)
  hooks.clock.advance(1)
  await replica.auth.close() // what it has not written is written
  await replica.auth.sweep()
  assert.equal((await rowsOf(hooks)).length, 4, 'three of one, one of the other')
  assert.equal(await hooks.status('/acl', acl('bob', 'b', 'plant/bob/x')), 200)
})

test('sessions that are unused, over, or too many for the hook are swept from the table', async (t) => {
  const hooks = await startHooks(t, {
    users: Array.from({ length: 103 }, (_, i) => ({ username: `u${i}` })),
    hook: { max_sessions: 100, session_idle_s: 60 },
  })
  const names = Array.from({ length: 103 }, (_, i) => `u${i}`)
  for (const name of names) {
    hooks.clock.advance(1)
    assert.equal(await hooks.status('/user', login(name, 'c')), 200)
  }
  await hooks.auth.close() // what it has not written is written
  await hooks.auth.sweep()
  assert.equal((await rowsOf(hooks)).length, 100)
  assert.equal(await (await hooks.replica()).status('/acl', acl('u0', 'c', 'plant/u0/x')), 403, 'the oldest went')
  hooks.clock.advance(61_000)
  await hooks.auth.sweep()
  assert.equal((await rowsOf(hooks)).length, 0)
})

test('while the database is away, sessions and the policy serve for the stated time, then nobody is let in', async (t) => {
  const hooks = await startHooks(t, { hook: { stale_s: 30 } })
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
  hooks.database.isDown = true
  for (const topic of ['policy', 'broker_session']) hooks.feed.send(topic, undefined)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/bob/x')), 403, 'the policy still refuses')
  assert.equal(await hooks.status('/acl', acl('bob', 'c9', 'plant/bob/x')), 503, 'nobody knows')
  assert.equal(await hooks.status('/user', login('bob', 'c2')), 200, 'the users file is here')
  assert.equal(await hooks.status('/acl', acl('bob', 'c2', 'plant/bob/x')), 200)
  hooks.clock.advance(29_000)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
  hooks.clock.advance(1_500)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 503)
  hooks.database.isDown = false
  for (const topic of ['policy', 'broker_session']) hooks.feed.send(topic, undefined)
  hooks.clock.advance(300)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
})

test('with stale_s 0 nothing is answered from memory once the database is away', async (t) => {
  const hooks = await startHooks(t, { hook: { stale_s: 0 } })
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  hooks.database.isDown = true
  for (const topic of ['policy', 'broker_session']) hooks.feed.send(topic, undefined)
  hooks.clock.advance(1)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 503)
})

test('a database that takes 250 ms for a statement keeps nobody from logging in, or waiting', async (t) => {
  const hooks = await startHooks(t, { hook: { deadline_ms: 250 } })
  hooks.database.delayMs = 250
  // The policy has not been read yet: the first question is late, and refused, and the next one is answered.
  await hooks.status('/user', login('alice', 'c0'))
  const start = performance.now()
  while ((await hooks.status('/user', login('alice', 'c1'))) !== 200) assert.ok(performance.now() - start < 5_000)
  const asked = performance.now()
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
  assert.ok(performance.now() - asked < 200, 'from memory')
  const before = hooks.database.statements
  hooks.activate(ownTopics)
  for (let i = 0; i < 20; i++) {
    const began = performance.now()
    assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
    assert.ok(performance.now() - began < 2_000)
  }
  assert.equal(hooks.database.statements, before, 'a decision costs no statement')
})

test('a database that is slower than a hook waits keeps nobody from logging in, however short its deadline', async (t) => {
  const hooks = await startHooks(t, { hook: { deadline_ms: 100 } })
  const start = performance.now()
  const logsIn = async () => {
    while ((await hooks.status('/user', login('alice', 'c1'))) !== 200)
      assert.ok(performance.now() - start < 10_000, 'every login is late')
  }
  await logsIn() // the policy is known
  hooks.database.delayMs = 500
  await logsIn()
})

test('a login that is answered too late leaves no session: the broker has been told no', async (t) => {
  const hooks = await startHooks(t, { hook: { deadline_ms: 100 } })
  hooks.database.delayMs = 300 // the policy has to be read first
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 503)
  hooks.database.delayMs = 0
  await delay(600)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 403)
  assert.deepEqual(await rowsOf(hooks), [])
})

test('by a name alone, whoever is blocked is no superuser', async (t) => {
  const hooks = await startHooks(t, {
    hook: { superuser: { groups: ['admins'] } },
    users: [{ username: 'root', groups: ['admins'] }],
  })
  assert.equal(await hooks.status('/user', login('root', 'c1')), 200)
  assert.equal(await hooks.status('/superuser', { username: 'root' }), 200)
  hooks.blocked.add('root')
  assert.equal(await hooks.status('/superuser', { username: 'root' }), 403)
})

test('by a name alone, a session that another replica has replaced counts as it is there', async (t) => {
  const hooks = await startHooks(t, {
    hook: { superuser: { groups: ['admins'] } },
    users: [{ username: 'root', groups: ['admins'] }],
  })
  assert.equal(await hooks.status('/user', login('root', 'c1')), 200)
  await rowsWith(hooks, 'admins')
  assert.equal(await hooks.status('/superuser', { username: 'root' }), 200)
  await hooks.db.query(`update broker_sessions set session = replace(session, '"admins"', '"viewers"')`) // not yet told
  assert.equal(await hooks.status('/superuser', { username: 'root' }), 403)
})

test('a hanging database makes a question of an unknown session late, and late is a refusal', async (t) => {
  const hooks = await startHooks(t, { hook: { deadline_ms: 100 } })
  assert.equal(await hooks.status('/user', login('alice', 'c1', PASSWORD)), 200)
  hooks.database.delayMs = 1_000
  const start = performance.now()
  const { status, body } = await hooks.ask('/acl', acl('alice', 'c2', 'plant/alice/x'))
  assert.equal(`${status} ${body}`, '503 {"ok":false,"error":"not known in time","reason":"not known in time"}')
  assert.ok(performance.now() - start < 900, 'before the database answered')
})

test('a changed policy decides at once where the change was announced', async (t) => {
  const hooks = await startHooks(t)
  const replica = await hooks.replica()
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  for (const one of [hooks, replica]) assert.equal(await one.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
  hooks.activate(documentOf())
  for (const one of [hooks, replica]) assert.equal(await one.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 403)
  hooks.activate(undefined)
  for (const one of [hooks, replica]) assert.equal(await one.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 403)
  hooks.activate(ownTopics)
  for (const one of [hooks, replica]) assert.equal(await one.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
})
