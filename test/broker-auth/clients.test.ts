import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { UnauthorisedClient } from '#src/sdk/index.ts'
import { type HookedServer, startHookedServer } from '#test/support/hooked-server.ts'
import { HASH, PASSWORD } from './hook-harness.ts'

const document = {
  schema: 'mqtt-policy/1',
  id: 'line',
  rules: [{ id: 'all', effect: 'allow', actions: ['publish'], topics: ['plant/#'] }],
} as const

describe('blocked and unauthorised clients of a hook', () => {
  let server: HookedServer
  before(async () => {
    server = await startHookedServer({ document, users: [{ username: 'press', password_hash: HASH, enabled: true }] })
  })
  after(() => server.close())

  const login = (clientid: string, password = PASSWORD) => server.ask('user', { username: 'press', password, clientid })
  const publish = (clientid: string) => server.ask('acl', { username: 'press', clientid, topic: 'plant/a', acc: 2 })

  async function within(ms: number, holds: () => Promise<boolean>): Promise<void> {
    const startedMs = performance.now()
    while (!(await holds())) {
      assert.ok(performance.now() - startedMs < ms, `not within ${ms} ms`)
      await delay(50)
    }
  }

  test('a block ends a session within five seconds, and unblocking lets the client in again', async () => {
    assert.deepEqual([await login('c1'), await publish('c1')], [200, 200])
    const { id } = await server.owner.blockedClients.create({ type: 'client_id', value: 'c1' })
    await within(5_000, async () => (await publish('c1')) === 403)
    assert.equal(await login('c1'), 403)
    assert.deepEqual([await login('c2'), await publish('c2')], [200, 200])
    await server.owner.blockedClients.remove(id)
    await within(5_000, async () => (await login('c1')) === 200)
    assert.equal(await publish('c1'), 200)
  })

  test('blocking the username ends the sessions of all its clients', async () => {
    assert.deepEqual([await login('c3'), await login('c4')], [200, 200])
    const { id } = await server.owner.blockedClients.create({ type: 'username_regex', value: 'pre.*' })
    await within(5_000, async () => (await publish('c3')) === 403 && (await publish('c4')) === 403)
    await server.owner.blockedClients.remove(id)
    await within(5_000, async () => (await login('c3')) === 200)
  })

  test('who is not let in is in the list with the reason, without the password', async () => {
    const secret = 'not-the-password-of-press'
    for (let i = 0; i < 3; i++) assert.equal(await login('c5', secret), 403)
    const token = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"x"}').toString('base64url')}.`
    assert.equal(await server.ask('user', { username: token, password: '', clientid: 'c6' }), 403)
    const entry = await server.owner.blockedClients.create({ type: 'client_id', value: 'c7' })
    await within(5_000, async () => (await login('c7')) === 403)
    let rows: UnauthorisedClient[] = []
    await within(5_000, async () => {
      rows = await server.owner.unauthorisedClients.list()
      return ['c5', 'c6', 'c7'].every((clientId) => rows.some((row) => row.clientId === clientId))
    })
    const of = (clientId: string) => rows.find((row) => row.clientId === clientId)
    assert.deepEqual(
      [of('c5')?.count, of('c5')?.reason, of('c5')?.provider, of('c5')?.username],
      [3, 'wrong-password', 'devices', 'press'],
    )
    assert.equal(of('c6')?.username, '[token]')
    assert.deepEqual([of('c7')?.reason, of('c7')?.blockedClientId], ['blocked', entry.id])
    const told = JSON.stringify(rows)
    assert.ok(!told.includes(secret) && !told.includes(token))
    assert.equal((await server.owner.unauthorisedClients.list({ reason: 'blocked', clientId: 'c7' })).length, 1)
  })

  test('who got in after that is still in the list, and marked', async () => {
    assert.equal(await login('c8', 'wrong'), 403)
    assert.equal(await login('c8'), 200)
    await within(5_000, async () => {
      const [row] = await server.owner.unauthorisedClients.list({ clientId: 'c8' })
      return row !== undefined && row.letInAt !== null && row.letInAt >= row.lastAt
    })
    assert.deepEqual(await server.owner.unauthorisedClients.list({ clientId: 'c8', letIn: false }), [])
  })
})
