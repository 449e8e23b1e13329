import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { type SealedEnvelope, sealEnvelope } from '#src/envelope/seal.ts'
import type { Issuer } from '#src/envelope/sign-leaves.ts'
import { createSigner, type SignedBatch, type SignerOptions } from '#src/signing/signer.ts'
import { open } from '#test/envelope/forge.ts'
import { ANSWER, makeParties, PLAINTEXT, type TestIssuer } from '#test/envelope/parties.ts'
import { refusal } from '#test/envelope/refusal.ts'
import { testClock } from '#test/support/deployment.ts'

const parties = makeParties(provider)
const { issuer, recipient } = parties
const seal =
  (rid = 'req_one') =>
  (issuerKeyId: string): SealedEnvelope =>
    sealEnvelope(provider, recipient.sealing, issuerKeyId, { ...ANSWER, rid }, PLAINTEXT)

/** An issuer whose signatures wait until the test lets them go, in the order in which they were asked for. */
function heldIssuer() {
  const waiting: (() => void)[] = []
  const asked: (() => void)[] = []
  const held: TestIssuer = {
    ...issuer,
    signing: {
      publicKey: issuer.signing.publicKey,
      async sign(message, context) {
        const gone = Promise.withResolvers<void>()
        waiting.push(gone.resolve)
        for (const tell of asked.splice(0)) tell()
        await gone.promise
        return issuer.signing.sign(message, context)
      },
    },
  }
  return { held, waiting, isAsked: () => new Promise<void>((resolve) => asked.push(resolve)) }
}

function signerOf(more: Partial<SignerOptions> = {}) {
  const batches: SignedBatch[] = []
  const observe = (batch: SignedBatch) => batches.push(batch)
  const signer = createSigner({ provider, issuer: () => issuer, maxQueue: 64, clock: systemClock, observe, ...more })
  return { signer, batches }
}

test('a signed envelope opens, and its place is free again', async () => {
  const { signer, batches } = signerOf({ maxQueue: 1 })
  for (let i = 0; i < 3; i++) {
    const reservation = signer.reserve()
    assert.equal(signer.pending, 1)
    assert.deepEqual(open(parties, await reservation.sign(seal())).plaintext, PLAINTEXT)
    assert.equal(signer.pending, 0)
  }
  assert.deepEqual(
    batches.map(({ envelopes }) => envelopes),
    [1, 1, 1],
  )
})

test('a place more than there are is refused as busy, and one that was released is not', () => {
  const { signer } = signerOf({ maxQueue: 2 })
  const first = signer.reserve()
  signer.reserve()
  assert.throws(() => signer.reserve(), { ...refusal('signer.busy'), retryAfterS: 1 })
  first.release()
  first.release()
  assert.equal(signer.pending, 1)
  signer.reserve()
  assert.throws(() => signer.reserve(), refusal('signer.busy'))
})

test('what is sealed while a batch is signed goes with the next one, every envelope opens, none is signed twice', async () => {
  const { held, waiting, isAsked } = heldIssuer()
  const { signer, batches } = signerOf({ issuer: () => held })
  const firstAsked = isAsked()
  const first = signer.reserve().sign(seal('req_first'))
  await firstAsked
  let sealed = 0
  const others = Array.from({ length: 41 }, (_, i) =>
    signer.reserve().sign((issuerKeyId) => {
      sealed++
      return seal(`req_${i}`)(issuerKeyId)
    }),
  )
  while (sealed < others.length) await nextTurn()
  const secondAsked = isAsked()
  waiting.shift()?.()
  assert.equal(open(parties, await first).header.rid, 'req_first')
  await secondAsked
  waiting.shift()?.()
  const envelopes = await Promise.all(others)
  assert.deepEqual(
    envelopes.map((envelope) => open(parties, envelope).header.rid),
    envelopes.map((_, i) => `req_${i}`),
  )
  assert.deepEqual(
    batches.map((batch) => batch.envelopes),
    [1, 41],
  )
  assert.deepEqual(new Set(envelopes.map(({ signature }) => signature.pqc_signature)).size, 1)
  assert.equal(signer.pending, 0)
})

test('an answer that is alone does not wait; one with others on their way does, for 4 ms after the last batch began at most', async () => {
  const clock = testClock()
  const { signer, batches } = signerOf({ clock })
  await signer.reserve().sign(seal())
  await signer.reserve().sign(seal()) // the clock stands: the last batch began just now
  assert.equal(batches.length, 2)
  const onItsWay = signer.reserve()
  const waits = signer.reserve().sign(seal())
  for (let turns = 0; turns < 5; turns++) await nextTurn()
  assert.equal(batches.length, 2)
  onItsWay.release() // nothing more is on its way
  await waits
  const another = signer.reserve()
  clock.advance(4)
  await signer.reserve().sign(seal())
  another.release()
  assert.equal(batches.length, 4)
})

test('a batch is no larger than it may be', async () => {
  const { signer, batches } = signerOf({ maxBatch: 3 })
  const envelopes = await Promise.all(Array.from({ length: 8 }, () => signer.reserve().sign(seal())))
  for (const envelope of envelopes) open(parties, envelope)
  assert.ok(batches.every((batch) => batch.envelopes <= 3))
  assert.equal(
    batches.reduce((sum, batch) => sum + batch.envelopes, 0),
    8,
  )
})

test('a change of the issuer key ends a batch, and each envelope is signed by the key that it names', async () => {
  const next: Issuer = { ...makeParties(provider).issuer, keyId: 'sig_two' }
  const { held, waiting, isAsked } = heldIssuer()
  let now: Issuer = held
  const { signer, batches } = signerOf({ issuer: () => now })
  const firstAsked = isAsked()
  const first = signer.reserve().sign(seal('req_0'))
  await firstAsked
  const second = signer.reserve().sign(seal('req_1'))
  await nextTurn()
  await nextTurn()
  now = next
  const third = signer.reserve().sign(seal('req_2'))
  await nextTurn()
  await nextTurn()
  const secondAsked = isAsked()
  waiting.shift()?.()
  await secondAsked
  waiting.shift()?.()
  const envelopes = await Promise.all([first, second, third])
  assert.deepEqual(
    envelopes.map(({ signature }) => signature.key_id),
    ['sig_one', 'sig_one', 'sig_two'],
  )
  open(parties, envelopes[1])
  assert.deepEqual(
    batches.map((batch) => batch.envelopes),
    [1, 1, 1],
  )
})

test('a batch whose key makes no valid signature fails with it, and the next one is signed', async () => {
  let faults = 2
  const faulty: Issuer = {
    ...issuer,
    verify: { ...issuer.verify, verifyAsync: async (...given) => faults-- <= 0 && issuer.verify.verifyAsync(...given) },
  }
  const { signer } = signerOf({ issuer: () => faulty })
  await assert.rejects(signer.reserve().sign(seal()), refusal('internal'))
  assert.equal(signer.pending, 0)
  open(parties, await signer.reserve().sign(seal()))
})

test('what cannot be sealed fails alone, and gives its place back', async () => {
  const { signer } = signerOf()
  const broken = signer.reserve().sign(() => {
    throw new RangeError('Not a valid envelope header')
  })
  const whole = signer.reserve().sign(seal())
  await assert.rejects(broken, RangeError)
  open(parties, await whole)
  assert.equal(signer.pending, 0)
})

test('without a key that may sign, no place is given, so that nothing is begun', () => {
  const unavailable = new AppError('kms.unavailable', 'No issuer key may sign.')
  const { signer } = signerOf({
    issuer: () => {
      throw unavailable
    },
  })
  assert.throws(() => signer.reserve(), unavailable)
  assert.equal(signer.pending, 0)
})

test('a reservation serves once', async () => {
  const { signer } = signerOf()
  const reservation = signer.reserve()
  await reservation.sign(seal())
  await assert.rejects(reservation.sign(seal()), /used or released/)
  const released = signer.reserve()
  released.release()
  await assert.rejects(released.sign(seal()), /used or released/)
})
