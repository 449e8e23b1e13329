import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { systemClock } from '#src/core/clock.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import type { SigningJob } from '#src/signing/sign-worker.ts'
import { createSignWorkers } from '#src/signing/sign-workers.ts'
import { createSigner } from '#src/signing/signer.ts'
import { open } from '#test/envelope/forge.ts'
import { ANSWER, makeParties, PLAINTEXT } from '#test/envelope/parties.ts'

const seed = new Uint8Array(32).fill(7)
const message = new Uint8Array([1, 2, 3])
const context = new TextEncoder().encode('sealwire/test')

/** Threads that the test can end. */
function endable() {
  const threads: Worker[] = []
  const start = () => {
    const thread = new Worker(new URL('../../src/signing/sign-worker.ts', import.meta.url), { env: {} })
    threads.push(thread)
    return thread
  }
  return { threads, start }
}

test('a thread signs what OpenSSL verifies, with the context and no other, and does not repeat a signature', async () => {
  const workers = createSignWorkers(nobleProvider, { count: 1 })
  const key = workers.provider.signingKey(seed)
  const [one, two] = await Promise.all([key.sign(message, context), key.sign(message, context)])
  const verify = opensslProvider.verifyKey(key.publicKey)
  assert.ok(verify?.verify(message, context, one) && verify.verify(message, context, two))
  assert.notDeepEqual(one, two)
  const own = workers.provider.verifyKey(key.publicKey)
  assert.equal(await own?.verifyAsync(message, context, one), true)
  assert.equal(await own?.verifyAsync(message, new Uint8Array(), one), false)
  assert.equal(await own?.verifyAsync(message, context, one.slice(1)), false)
  assert.deepEqual(seed, new Uint8Array(32).fill(7)) // the caller's seed is its own to wipe
  await workers.close()
})

test('a thread that ends in the middle of a batch is replaced, and the batch is signed again', async () => {
  const { threads, start } = endable()
  const workers = createSignWorkers(nobleProvider, { count: 1, start })
  const parties = makeParties(workers.provider)
  const signer = createSigner({
    provider: workers.provider,
    issuer: () => parties.issuer,
    maxQueue: 8,
    clock: systemClock,
  })
  const seal = (keyId: string) => sealEnvelope(nobleProvider, parties.recipient.sealing, keyId, ANSWER, PLAINTEXT)
  const signed = [signer.reserve().sign(seal), signer.reserve().sign(seal)]
  while (threads.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await threads[0]?.terminate()
  for (const envelope of await Promise.all(signed)) assert.deepEqual(open(parties, envelope).plaintext, PLAINTEXT)
  assert.equal(threads.length, 2)
  await workers.close()
})

test('a job that ends two threads is given up, and the next one is done', async () => {
  const { threads, start } = endable()
  const workers = createSignWorkers(nobleProvider, { count: 1, start })
  const key = workers.provider.signingKey(seed)
  const unclonable = { message: new Uint8Array(8), context: new Uint8Array(300) } // no context is longer than 255 bytes
  await assert.rejects(key.sign(unclonable.message, unclonable.context))
  assert.equal(threads.length, 2)
  assert.equal((await key.sign(message, context)).length, 3309)
  await workers.close()
})

test('a thread holds a bounded number of keys: the one not used for longest is forgotten, and is sent again when it is needed', async (t) => {
  const posted: { key: number; brings: boolean; forget: number | undefined }[] = []
  const start = () => {
    const thread = endable().start()
    const post = thread.postMessage.bind(thread)
    t.mock.method(thread, 'postMessage', (job: SigningJob) => {
      const [key, half] = 'sign' in job ? [job.sign, job.seed] : [job.verify, job.publicKey]
      posted.push({ key, brings: half !== undefined, forget: job.forget })
      post(job)
    })
    return thread
  }
  const workers = createSignWorkers(nobleProvider, { count: 1, start, keysMax: 2 })
  const [one, two, three] = [1, 2, 3].map((fill) => workers.provider.signingKey(new Uint8Array(32).fill(fill)))
  assert.ok(one && two && three)
  for (const key of [one, two, one, three, one, two]) {
    const signature = await key.sign(message, context)
    assert.ok(opensslProvider.verifyKey(key.publicKey)?.verify(message, context, signature))
  }
  assert.deepEqual(posted, [
    { key: 1, brings: true, forget: undefined },
    { key: 2, brings: true, forget: undefined },
    { key: 1, brings: false, forget: undefined },
    { key: 3, brings: true, forget: 2 },
    { key: 1, brings: false, forget: undefined },
    { key: 2, brings: true, forget: 3 },
  ])
  await workers.close()
})

test('a thread that hangs is replaced, and its job is done by another', async () => {
  let threads = 0
  const start = () =>
    threads++ === 0
      ? new Worker('require("node:worker_threads").parentPort.on("message", () => {})', { eval: true })
      : new Worker(new URL('../../src/signing/sign-worker.ts', import.meta.url), { env: {} })
  const workers = createSignWorkers(nobleProvider, { count: 1, start, jobMs: 2_000 })
  assert.equal((await workers.provider.signingKey(seed).sign(message, context)).length, 3309)
  assert.equal(threads, 2)
  await workers.close()
})

test('closing fails what waits, and what comes', async () => {
  const workers = createSignWorkers(nobleProvider, { count: 1 })
  const key = workers.provider.signingKey(seed)
  const waiting = [key.sign(message, context), key.sign(message, context)].map((job) => assert.rejects(job, /closed/))
  await workers.close()
  await Promise.all(waiting)
  await assert.rejects(key.sign(message, context), /closed/)
})
