import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { createConnectPermits } from '#src/messaging/connect-permits.ts'
import type { Release } from '#src/messaging/semaphore.ts'
import { patience } from '#test/support/patience.ts'

const soon = () => systemClock.monotonic() + 20
const later = () => systemClock.monotonic() + 10_000

test('a tenant whose connections hang takes sixteen permits and no more; another enters at once', async () => {
  const permits = createConnectPermits(systemClock)
  const held = await Promise.all(Array.from({ length: 16 }, () => permits.enter('a', later(), false)))
  await assert.rejects(permits.enter('a', soon(), false), { code: 'broker.busy' })
  const other = await permits.enter('b', soon(), false)
  held[0]?.()
  const next = await permits.enter('a', soon(), false)
  for (const release of [...held.slice(1), other, next]) release()
})

test('a tenant tries its lost brokers with ten of its permits, and others of its brokers need not wait for them', async () => {
  const permits = createConnectPermits(systemClock)
  const retries = await Promise.all(Array.from({ length: 10 }, () => permits.enter('a', later(), true)))
  await assert.rejects(permits.enter('a', soon(), true), { code: 'broker.busy' })
  const others = await Promise.all(Array.from({ length: 6 }, () => permits.enter('a', soon(), false)))
  await assert.rejects(permits.enter('a', soon(), false), { code: 'broker.busy' })
  retries[0]?.()
  others[0]?.()
  const [again, other] = [await permits.enter('a', soon(), true), await permits.enter('a', soon(), false)]
  for (const release of [...retries.slice(1), ...others.slice(1), again, other]) release()
  for (const release of await Promise.all(Array.from({ length: 16 }, () => permits.enter('a', soon(), false))))
    release()
})

test('what one tenant lets wait is bounded', async () => {
  const permits = createConnectPermits(systemClock)
  const asked = Array.from({ length: 16 + 256 }, () => permits.enter('a', later(), false))
  await assert.rejects(permits.enter('a', later(), false), { code: 'broker.busy' })
  for (const one of asked) (await one)()
})

test('128 connections are made at once; the next waits until one is made, or its time is over', async () => {
  const permits = createConnectPermits(systemClock)
  const making: Release[] = []
  for (let i = 0; i < 128; i++) making.push(await permits.begin(`tenant-${i}`, `host-${i}:1883`, later()))
  assert.equal(permits.used, 128)
  await assert.rejects(permits.begin('b', 'one-more:1883', soon()), { code: 'broker.busy' })
  const waiting = permits.begin('b', 'one-more:1883', later())
  making[0]?.()
  const next = await waiting
  for (const release of [...making.slice(1), next]) release()
  assert.equal(permits.used, 0)
})

test('eight tenants whose connections all hang leave room: another connects as if they were not there', async () => {
  const permits = createConnectPermits(systemClock)
  const asked: Promise<Release>[] = []
  for (let t = 0; t < 8; t++)
    for (let i = 0; i < 16; i++) asked.push(permits.begin(`hanging-${t}`, `host-${t}-${i}:1883`, later()))
  const held: Release[] = []
  for (const one of asked) one.then((release) => held.push(release)).catch(() => {}) // those that get none are not waited for
  const started = performance.now()
  const release = await permits.begin('lone', 'healthy:1883', later())
  const waitedMs = performance.now() - started
  assert.ok(held.length >= 5 && held.length < 32, `${held.length} had their turn before it`)
  assert.ok(waitedMs < patience(1_500), `${waitedMs} ms, where each of the others takes one turn of 27 ms`)
  release()
})
