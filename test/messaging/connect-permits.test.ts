import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { createConnectPermits } from '#src/messaging/connect-permits.ts'

const soon = () => systemClock.monotonic() + 20
const later = () => systemClock.monotonic() + 10_000

test('a tenant whose connections hang takes four permits and no more; another connects at once', async () => {
  const permits = createConnectPermits(systemClock)
  const held = await Promise.all([1, 2, 3, 4].map(() => permits.acquire('a', later())))
  await assert.rejects(permits.acquire('a', soon()), { code: 'broker.busy' })
  assert.equal(permits.used, 4)
  const other = await permits.acquire('b', soon())
  assert.equal(permits.used, 5)
  held[0]?.()
  const fifth = await permits.acquire('a', soon())
  for (const release of [...held.slice(1), other, fifth]) release()
  assert.equal(permits.used, 0)
})

test('a hundred waiting connections of one tenant leave room for those of twelve others', async () => {
  const permits = createConnectPermits(systemClock)
  const hanging = Array.from({ length: 100 }, () => permits.acquire('a', later()))
  const others = await Promise.all(Array.from({ length: 12 }, (_, i) => permits.acquire(`b${i}`, soon())))
  assert.equal(permits.used, 16)
  await assert.rejects(permits.acquire('c', soon()), { code: 'broker.busy' })
  for (const release of others) release()
  for (const one of hanging) (await one)()
  assert.equal(permits.used, 0)
})

test('what one tenant lets wait is bounded', async () => {
  const permits = createConnectPermits(systemClock)
  const asked = Array.from({ length: 4 + 128 }, () => permits.acquire('a', later()))
  await assert.rejects(permits.acquire('a', later()), { code: 'broker.busy' })
  for (const one of asked) (await one)()
})
