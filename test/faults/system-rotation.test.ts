import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { auditRows, integrate, openIntents, publish, startStack } from './system-parts.ts'

/** The pool's own part, with what is on its way at the moment, is in `test/messaging/drain.test.ts`. */
test('F36: the credential of an integration is rotated three times under 100 publishes a second: none fails, and no old password is used again', async (t) => {
  const broker = await startFakeBroker()
  const stack = await startStack()
  try {
    const { call, sql } = stack
    const values = (password: string) => ({ hostname: '127.0.0.1', port: broker.port, username: 'plant', password })
    const { integrationId, credentialId } = await integrate(call, broker.port, { values: values('first') })
    assert.equal((await publish(call, integrationId)).status, 200)
    const statuses: Promise<number>[] = []
    const clock = setInterval(() => statuses.push(publish(call, integrationId).then(({ status }) => status)), 10)
    const passwords = () => broker.packetsOf('connect').map(({ password }) => String(password))
    for (const password of ['second', 'third', 'fourth']) {
      await delay(400)
      const rotated = await call('POST', `/api/v2/vault/rotate/${credentialId}`, { values: values(password) })
      assert.equal(rotated.status, 200)
      const { endedMs } = await publish(call, integrationId)
      while (passwords().at(-1) !== password) {
        assert.ok(performance.now() - endedMs < patience(5_000), `${password} is not used`)
        await delay(10)
      }
    }
    await delay(400)
    clearInterval(clock)
    const counts = new Map<number, number>()
    for (const status of await Promise.all(statuses)) counts.set(status, (counts.get(status) ?? 0) + 1)
    t.diagnostic(JSON.stringify([...counts]))
    assert.deepEqual([...counts.keys()], [200])
    assert.ok(statuses.length > 80, 'no traffic')

    const used = passwords()
    const order = ['first', 'second', 'third', 'fourth']
    const places = used.map((password) => order.indexOf(password))
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
      `used in this order: ${used.join()}`,
    )
    assert.deepEqual(new Set(used), new Set(order))
    const open = () => broker.connections.filter(({ socket }) => !socket.destroyed)
    for (const sinceMs = performance.now(); open().length > 1; await delay(10))
      assert.ok(performance.now() - sinceMs < patience(30_000), 'old connections are not drained')
    assert.equal(String(open()[0]?.connect?.password), 'fourth')
    for (const { socket } of broker.connections) socket.destroy() // whoever connects now must not know an old one
    assert.equal((await publish(call, integrationId)).status, 200)
    assert.equal(passwords().at(-1), 'fourth')
    assert.deepEqual(openIntents(await auditRows(sql)), [])
  } finally {
    await stack.close()
    await broker.stop()
  }
})
