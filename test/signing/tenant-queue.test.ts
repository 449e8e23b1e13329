import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTenantQueue } from '#src/signing/tenant-queue.ts'

/** Work that ends when it is told to. */
function heldWork(log: string[], name: string) {
  const { promise, resolve } = Promise.withResolvers<void>()
  const work = async () => {
    log.push(name)
    await promise
    return name
  }
  return { work, end: resolve }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('one thing is done at a time, and tenants take turns however much one of them asks', async () => {
  const queue = createTenantQueue({ maxPerTenant: 10, maxQueue: 100 })
  const log: string[] = []
  const noting = (name: string) => async () => {
    log.push(name)
    return name
  }
  const first = heldWork(log, 'a1')
  const done = [queue.reserve('a').run(first.work)]
  for (const name of ['a2', 'a3', 'a4', 'b1', 'c1', 'b2']) done.push(queue.reserve(name.charAt(0)).run(noting(name)))
  await turn()
  assert.deepEqual(log, ['a1'])
  first.end()
  assert.deepEqual(await Promise.all(done), ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2'])
  assert.deepEqual(log, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4'])
  assert.equal(queue.pending, 0)
})

test('a tenant that took all its places is told to come back; the others are not', async () => {
  const queue = createTenantQueue({ maxPerTenant: 2, maxQueue: 3 })
  const [one, two] = [queue.reserve('a'), queue.reserve('a')]
  assert.throws(() => queue.reserve('a'), { code: 'signer.busy', retryAfterS: 1 })
  const other = queue.reserve('b')
  assert.throws(() => queue.reserve('c'), { code: 'signer.busy' }, 'all places together are bounded too')
  one.release()
  one.release()
  assert.equal(queue.pending, 2)
  assert.equal(await queue.reserve('c').run(async () => 'c'), 'c')
  two.release()
  other.release()
  assert.equal(queue.pending, 0)
})

test('work that fails frees its place and does not hold up the rest', async () => {
  const queue = createTenantQueue({ maxPerTenant: 1, maxQueue: 1 })
  const failed = queue.reserve('a').run(async () => {
    throw new Error('no')
  })
  await assert.rejects(failed, /no/)
  const thrown = queue.reserve('a').run(() => {
    throw new Error('before it began')
  })
  await assert.rejects(thrown, /before it began/)
  assert.equal(await queue.reserve('a').run(async () => 1), 1)
})

test('a place serves once', async () => {
  const queue = createTenantQueue({ maxPerTenant: 1, maxQueue: 1 })
  const place = queue.reserve('a')
  await place.run(async () => undefined)
  await assert.rejects(
    place.run(async () => undefined),
    /used or released/,
  )
  assert.equal(queue.pending, 0)
})
