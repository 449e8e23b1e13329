import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { copyBytes, utf8 } from '#src/core/bytes.ts'
import { systemClock } from '#src/core/clock.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { Sealing } from '#src/envelope/seal-batch.ts'
import { X_WING_SUITE } from '#src/envelope/suites.ts'
import type { CryptoJob } from '#src/signing/crypto-job.ts'
import { type CryptoThreadsOptions, createCryptoThreads } from '#src/signing/crypto-threads.ts'
import { createSigner } from '#src/signing/signer.ts'
import { open } from '#test/envelope/forge.ts'
import { ANSWER, makeIssuer, makeParties, makeRecipient, type Parties, PLAINTEXT } from '#test/envelope/parties.ts'
import { refusal } from '#test/envelope/refusal.ts'
import { patience } from '#test/support/patience.ts'

const seed = new Uint8Array(32).fill(7)
const message = new Uint8Array([1, 2, 3])
const context = new TextEncoder().encode('sealwire/test')
const providers = [opensslProvider, nobleProvider]

const THREAD = new URL('../../src/crypto-thread.ts', import.meta.url)
const startThread = (provider = nobleProvider) => new Worker(THREAD, { env: {}, workerData: provider.name })

/** Threads that are ended with the test, with what was posted to them. */
function threadsOf(t: TestContext, provider = nobleProvider, more: CryptoThreadsOptions = {}) {
  const started: Worker[] = []
  const posted: CryptoJob[] = []
  const start = () => {
    const thread = (more.start ?? (() => startThread(provider)))()
    const post = thread.postMessage.bind(thread)
    t.mock.method(thread, 'postMessage', (job: CryptoJob) => {
      posted.push(job)
      post(job)
    })
    started.push(thread)
    return thread
  }
  const threads = createCryptoThreads(provider, { count: 1, ...more, start })
  t.after(() => threads.close())
  return { threads, started, posted }
}

/** Waits, and fails by name when it waits for what does not come. */
async function until(
  what: string,
  isSo: () => boolean,
  meanwhile: () => Promise<unknown> = () => delay(20),
): Promise<void> {
  const endMs = performance.now() + patience(20_000)
  while (!isSo()) {
    assert.ok(performance.now() < endMs, `not in time: ${what}`)
    await meanwhile()
  }
}

const answerTo = (parties: Parties, more: Partial<Sealing> = {}): Sealing => ({
  recipient: parties.recipient.sealing,
  claims: ANSWER,
  plaintext: PLAINTEXT,
  ...more,
})
const read = (parties: Parties, sealed: string | Error | undefined) =>
  open(parties, typeof sealed === 'string' ? (JSON.parse(sealed) as HybridCryptoEnvelope) : assert.fail(sealed))

for (const provider of providers) {
  test(`${provider.name}: a thread seals for every suite, text and bytes, and another implementation opens what it sealed`, async (t) => {
    const { threads } = threadsOf(t, provider)
    const other = provider === opensslProvider ? nobleProvider : opensslProvider
    const issuer = makeIssuer(threads.provider, 'one')
    const parties = makeParties(threads.provider)
    const wing = { ...parties, recipient: makeRecipient(threads.provider, 'wing', {}, X_WING_SUITE) }
    const text = '{"naïve":"\u{1f510} \\u0000 \ud800"}' // a lone half of a pair becomes U+FFFD
    const sealed = await threads.sealBatch(issuer, [
      answerTo(parties),
      answerTo(wing, { plaintext: text }),
      answerTo(parties, { plaintext: new Uint8Array() }),
    ])
    const reader = { ...makeParties(other), issuer }
    const wingReader = { ...reader, recipient: makeRecipient(other, 'wing', {}, X_WING_SUITE) }
    assert.deepEqual(read(reader, sealed[0]).plaintext, PLAINTEXT)
    assert.deepEqual(read(wingReader, sealed[1]).plaintext, utf8(text))
    assert.deepEqual(read(reader, sealed[2]).plaintext, new Uint8Array())
  })

  test(`${provider.name}: what cannot be sealed is said of it alone`, async (t) => {
    const { threads } = threadsOf(t, provider)
    const parties = makeParties(threads.provider)
    const bad = answerTo(parties, { claims: { ...ANSWER, rid: 'not an id' } })
    const sealed = await threads.sealBatch(parties.issuer, [bad, answerTo(parties), bad])
    assert.ok(sealed[0] instanceof RangeError && sealed[2] instanceof RangeError)
    assert.deepEqual(read(parties, sealed[1]).plaintext, PLAINTEXT)
    assert.ok((await threads.sealBatch(parties.issuer, [bad]))[0] instanceof RangeError)
    assert.deepEqual(await threads.sealBatch(parties.issuer, []), [])
  })

  test(`${provider.name}: a thread that ends in the middle of a batch is replaced, and the batch is sealed again`, async (t) => {
    const { threads, started } = threadsOf(t, provider)
    const parties = makeParties(threads.provider)
    const signer = createSigner({
      sealBatch: threads.sealBatch,
      issuer: () => parties.issuer,
      maxQueue: 8,
      clock: systemClock,
    })
    const sealed = [signer.reserve().seal(answerTo(parties)), signer.reserve().seal(answerTo(parties))]
    await until(
      'a thread is started',
      () => started.length > 0,
      () => new Promise((resolve) => setImmediate(resolve)),
    )
    await started[0]?.terminate()
    for (const one of await Promise.all(sealed)) assert.deepEqual(read(parties, one).plaintext, PLAINTEXT)
    assert.equal(started.length, 2)
    assert.equal(signer.pending, 0)
  })

  test(`${provider.name}: a thread is given each key once, and one that is replaced is given it again`, async (t) => {
    const { threads, started, posted } = threadsOf(t, provider)
    const parties = makeParties(threads.provider)
    const two = { ...parties, recipient: makeRecipient(threads.provider, 'two') }
    const given = () => posted.map(({ keep }) => keep.map(([number]) => number))
    await threads.sealBatch(parties.issuer, [answerTo(parties), answerTo(parties)])
    await threads.sealBatch(parties.issuer, [answerTo(two), answerTo(parties)])
    await threads.sealBatch(parties.issuer, [answerTo(two)])
    assert.deepEqual(given(), [[1, 2], [3], []])
    await started[0]?.terminate()
    const [sealed] = await threads.sealBatch(parties.issuer, [answerTo(two)])
    assert.deepEqual(read(two, sealed).plaintext, PLAINTEXT)
    assert.deepEqual(given().at(-1), [1, 3])
  })
}

test('a signing key of OpenSSL is posted as a handle; one of noble as bytes, which stay as they are here', async (t) => {
  const [openssl, noble] = providers.map((provider) => ({ ...threadsOf(t, provider), parties: makeParties(provider) }))
  assert.ok(openssl && noble)
  for (const { threads, parties } of [openssl, noble]) {
    for (const _again of [1, 2]) {
      const issuer = { ...parties.issuer } // another object: its keys are posted again
      const [sealed] = await threads.sealBatch(issuer, [answerTo(parties)])
      assert.deepEqual(read(parties, sealed).plaintext, PLAINTEXT)
    }
  }
  const hasBytes = (job: CryptoJob) =>
    job.keep.some(([, what]) => 'issuer' in what && what.issuer.signing instanceof Uint8Array)
  assert.equal(openssl.posted.some(hasBytes), false)
  assert.equal(noble.posted.some(hasBytes), true)
})

test('a job that cannot be posted fails, and the next one is done', async (t) => {
  const { threads } = threadsOf(t, opensslProvider)
  const parties = makeParties(opensslProvider)
  const unclonable = { ...ANSWER, sub: (() => 'int_one') as unknown as string }
  const posting = threads.sealBatch(parties.issuer, [answerTo(parties, { claims: unclonable })])
  await assert.rejects(posting, { name: 'DataCloneError' })
  const [sealed] = await threads.sealBatch(parties.issuer, [answerTo(parties)])
  assert.deepEqual(read(parties, sealed).plaintext, PLAINTEXT)
})

test('a key whose signatures do not verify fails its batch, in the thread as well', async (t) => {
  const { threads } = threadsOf(t, opensslProvider)
  const parties = makeParties(opensslProvider)
  const torn = { ...parties.issuer, verify: makeIssuer(opensslProvider, 'another').verify }
  await assert.rejects(threads.sealBatch(torn, [answerTo(parties)]), refusal('internal'))
  const [sealed] = await threads.sealBatch(parties.issuer, [answerTo(parties)])
  assert.deepEqual(read(parties, sealed).plaintext, PLAINTEXT)
})

test('a thread signs what OpenSSL verifies, with the context and no other, and does not repeat a signature', async (t) => {
  const { provider } = threadsOf(t).threads
  const key = provider.signingKey(seed)
  const [one, two] = await Promise.all([key.sign(message, context), key.sign(message, context)])
  const verify = opensslProvider.verifyKey(key.publicKey)
  assert.ok(verify?.verify(message, context, one) && verify.verify(message, context, two))
  assert.notDeepEqual(one, two)
  const own = provider.verifyKey(key.publicKey)
  assert.equal(await own?.verifyAsync(message, context, one), true)
  assert.equal(await own?.verifyAsync(message, new Uint8Array(), one), false)
  assert.equal(await own?.verifyAsync(message, context, copyBytes(one).slice(1)), false)
  assert.deepEqual(seed, new Uint8Array(32).fill(7)) // the caller's seed is its own to wipe
})

test('a job that ends two threads is given up, and the next one is done', async (t) => {
  const { threads, started } = threadsOf(t)
  const key = threads.provider.signingKey(seed)
  await assert.rejects(key.sign(message, new Uint8Array(300))) // no context is longer than 255 bytes
  assert.equal(started.length, 2)
  assert.equal((await key.sign(message, context)).length, 3309)
})

test('a thread holds a bounded number of keys: the one not used for longest is forgotten, and is sent again when it is needed', async (t) => {
  const { threads, posted } = threadsOf(t, nobleProvider, { keysMax: 2 })
  const [one, two, three] = [1, 2, 3].map((fill) => threads.provider.signingKey(new Uint8Array(32).fill(fill)))
  assert.ok(one && two && three)
  for (const key of [one, two, one, three, one, two]) {
    const signature = await key.sign(message, context)
    assert.ok(opensslProvider.verifyKey(key.publicKey)?.verify(message, context, signature))
  }
  const jobs = posted.map((job) => ({
    key: 'sign' in job ? job.sign : 0,
    brings: job.keep.map(([number]) => number),
    forget: job.forget,
  }))
  assert.deepEqual(jobs, [
    { key: 1, brings: [1], forget: [] },
    { key: 2, brings: [2], forget: [] },
    { key: 1, brings: [], forget: [] },
    { key: 3, brings: [3], forget: [2] },
    { key: 1, brings: [], forget: [] },
    { key: 2, brings: [2], forget: [3] },
  ])
})

test('a key that was not needed for long is forgotten, by a thread at work and by one that has nothing to do', async (t) => {
  const { threads, posted } = threadsOf(t, nobleProvider, { idleMs: 800 })
  const [one, two] = [1, 2].map((fill) => threads.provider.signingKey(new Uint8Array(32).fill(fill)))
  assert.ok(one && two)
  await one.sign(message, context)
  const forgotten = () => posted.flatMap(({ forget }) => forget)
  await until(
    'the first key is forgotten',
    () => forgotten().length > 0,
    () => two.sign(message, context),
  )
  assert.deepEqual(forgotten(), [1])
  await until('the second one, too', () => forgotten().length > 1)
  assert.deepEqual(forgotten(), [1, 2])
  assert.ok(posted.some((job) => 'nothing' in job))
  assert.ok(opensslProvider.verifyKey(two.publicKey)?.verify(message, context, await two.sign(message, context)))
  await until('it is forgotten once more', () => posted.filter((job) => 'nothing' in job).length > 1)
  await delay(1_700)
  assert.equal(posted.filter((job) => 'nothing' in job).length, 2, 'one that holds nothing is left alone')
})

test('a thread that hangs is replaced, and its job is done by another', async (t) => {
  let threads = 0
  const start = () =>
    threads++ === 0
      ? new Worker('require("node:worker_threads").parentPort.on("message", () => {})', { eval: true })
      : startThread()
  const { provider } = threadsOf(t, nobleProvider, { start, jobMs: 2_000 }).threads
  assert.equal((await provider.signingKey(seed).sign(message, context)).length, 3309)
  assert.equal(threads, 2)
})

test('a thread that cannot be started fails its job, also in place of one that ended, and the next job is done', async (t) => {
  let canStart = true
  const start = () => {
    if (!canStart) throw new Error('EAGAIN') // no more threads for this process
    return startThread()
  }
  const { threads, started } = threadsOf(t, nobleProvider, { start })
  const key = threads.provider.signingKey(seed)
  await key.sign(message, context)
  canStart = false
  const jobs = [key.sign(message, context), key.sign(message, context)]
  const failed = jobs.map((job) => assert.rejects(job, /EAGAIN/))
  await started[0]?.terminate()
  await Promise.all(failed)
  await assert.rejects(key.sign(message, context), /EAGAIN/)
  canStart = true
  assert.equal((await key.sign(message, context)).length, 3309)
})

test('a failure ends its thread at once, also where Node is told only to warn of rejections', async (t) => {
  const execArgv = ['--unhandled-rejections=warn']
  const start = () => new Worker(THREAD, { env: {}, workerData: 'noble', execArgv })
  const { provider } = threadsOf(t, nobleProvider, { start, jobMs: 5_000 }).threads
  await assert.rejects(provider.signingKey(seed).sign(message, new Uint8Array(300)), { name: 'RangeError' })
})

test('closing fails what waits, and what comes', async (t) => {
  const { threads } = threadsOf(t)
  const key = threads.provider.signingKey(seed)
  const waiting = [key.sign(message, context), key.sign(message, context)].map((job) => assert.rejects(job, /closed/))
  await threads.close()
  await Promise.all(waiting)
  await assert.rejects(key.sign(message, context), /closed/)
  await assert.rejects(threads.sealBatch(makeIssuer(nobleProvider, 'one'), []), /closed/)
})
