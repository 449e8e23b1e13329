import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { Sealing } from '#src/envelope/seal-batch.ts'
import type { Issuer } from '#src/envelope/sign-leaves.ts'
import { createSigner, type SignedBatch, type SignerOptions } from '#src/signing/signer.ts'
import { open as openEnvelope } from '#test/envelope/forge.ts'
import { ANSWER, makeParties, PLAINTEXT, type TestIssuer } from '#test/envelope/parties.ts'
import { refusal } from '#test/envelope/refusal.ts'
import { testClock } from '#test/support/deployment.ts'
import { sealHere } from './seal-here.ts'

const parties = makeParties(provider)
const { issuer, recipient } = parties
const answer = (rid = 'req_one'): Sealing => ({
  recipient: recipient.sealing,
  claims: { ...ANSWER, rid },
  plaintext: PLAINTEXT,
})
const parse = (text: string) => JSON.parse(text) as HybridCryptoEnvelope
const open = (text: string) => openEnvelope(parties, parse(text))

/** An issuer whose signatures wait until the test lets them go, in the order in which they were asked for. */
function heldIssuer() {
  const waiting: (() => void)[] = []
  const asked: (() => void)[] = []
  const held: TestIssuer = {
    ...issuer,
    signing: {
      ...issuer.signing,
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
  const sealBatch = sealHere(provider)
  const signer = createSigner({ sealBatch, issuer: () => issuer, maxQueue: 64, clock: systemClock, observe, ...more })
  return { signer, batches }
}

test('a signed envelope opens, and its place is free again', async () => {
  const { signer, batches } = signerOf({ maxQueue: 1 })
  for (let i = 0; i < 3; i++) {
    const reservation = signer.reserve()
    assert.equal(signer.pending, 1)
    assert.deepEqual(open(await reservation.seal(answer())).plaintext, PLAINTEXT)
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

test('what comes while a batch is signed goes with the next one, every envelope opens, none is signed twice', async () => {
  const { held, waiting, isAsked } = heldIssuer()
  const { signer, batches } = signerOf({ issuer: () => held })
  const firstAsked = isAsked()
  const first = signer.reserve().seal(answer('req_first'))
  await firstAsked
  const others = Array.from({ length: 41 }, (_, i) => signer.reserve().seal(answer(`req_${i}`)))
  const secondAsked = isAsked()
  waiting.shift()?.()
  assert.equal(open(await first).header.rid, 'req_first')
  await secondAsked
  waiting.shift()?.()
  const envelopes = await Promise.all(others)
  assert.deepEqual(
    envelopes.map((envelope) => open(envelope).header.rid),
    envelopes.map((_, i) => `req_${i}`),
  )
  assert.deepEqual(
    batches.map((batch) => batch.envelopes),
    [1, 41],
  )
  assert.deepEqual(new Set(envelopes.map((envelope) => parse(envelope).signature.pqc_signature)).size, 1)
  assert.equal(signer.pending, 0)
})

test('an answer that is alone waits for nobody whose place is taken; what one turn of the loop brings goes together', async () => {
  const clock = testClock() // it stands: nothing here is waited for by time
  const { signer, batches } = signerOf({ clock })
  const onItsWay = signer.reserve()
  await signer.reserve().seal(answer())
  await Promise.all([signer.reserve().seal(answer()), signer.reserve().seal(answer())])
  assert.deepEqual(
    batches.map((batch) => batch.envelopes),
    [1, 2],
  )
  onItsWay.release()
})

test('a long plaintext keeps nobody else from a batch of its own: together they are 4 MiB at most', async () => {
  const { signer, batches } = signerOf()
  const mib = 1024 * 1024
  const long = [1, 5 * mib, 1, 3 * mib, mib, 2, 16 * mib]
  const sealing = long.map((length, i) => ({ ...answer(`req_${i}`), plaintext: 'x'.repeat(length) }))
  const envelopes = await Promise.all(sealing.map((one) => signer.reserve().seal(one)))
  assert.deepEqual(
    envelopes.map((envelope) => open(envelope).plaintext.length),
    long,
  )
  assert.deepEqual(
    batches.map((batch) => batch.envelopes),
    [1, 1, 2, 2, 1],
  )
})

test('a large batch is handed out in several turns of the event loop, every answer once', async () => {
  const { signer, batches } = signerOf()
  let handedOut = 0
  let inBetween = 0
  await Promise.all(
    Array.from({ length: 64 }, async (_, i) => {
      const envelope = await signer.reserve().seal(answer(`req_${i}`))
      if (handedOut++ === 0) setImmediate(() => (inBetween = handedOut))
      assert.equal(open(envelope).header.rid, `req_${i}`)
    }),
  )
  assert.deepEqual([batches.length, handedOut, signer.pending], [1, 64, 0])
  assert.ok(inBetween >= 16 && inBetween < 64, `${inBetween} of 64 before the event loop came to anything else`)
})

test('a batch is no larger than it may be', async () => {
  const { signer, batches } = signerOf({ maxBatch: 3 })
  const envelopes = await Promise.all(Array.from({ length: 8 }, () => signer.reserve().seal(answer())))
  for (const envelope of envelopes) open(envelope)
  assert.deepEqual(
    batches.map((batch) => batch.envelopes),
    [3, 3, 2],
  )
})

test('after a change of the issuer key the next batch is signed by the new one; what the old one began is finished by it', async () => {
  const next: Issuer = { ...makeParties(provider).issuer, keyId: 'sig_two' }
  const { held, waiting, isAsked } = heldIssuer()
  let now: Issuer = held
  const { signer } = signerOf({ issuer: () => now })
  const firstAsked = isAsked()
  const first = signer.reserve().seal(answer('req_0'))
  await firstAsked
  const second = signer.reserve().seal(answer('req_1'))
  now = next
  waiting.shift()?.()
  const envelopes = await Promise.all([first, second])
  assert.deepEqual(
    envelopes.map((envelope) => parse(envelope).signature.key_id),
    ['sig_one', 'sig_two'],
  )
  open(envelopes[0])
})

test('a batch whose key makes no valid signature fails with it, and the next one is signed', async () => {
  let faults = 2
  const faulty: Issuer = {
    ...issuer,
    verify: { ...issuer.verify, verifyAsync: async (...given) => faults-- <= 0 && issuer.verify.verifyAsync(...given) },
  }
  const { signer } = signerOf({ issuer: () => faulty })
  await assert.rejects(signer.reserve().seal(answer()), refusal('internal'))
  assert.equal(signer.pending, 0)
  open(await signer.reserve().seal(answer()))
})

test('what cannot be sealed fails alone, and gives its place back', async () => {
  const { signer } = signerOf()
  const broken = signer.reserve().seal(answer('not an id'))
  const whole = signer.reserve().seal(answer())
  await assert.rejects(broken, RangeError)
  const { signature } = parse(await whole)
  assert.equal(signature.inclusion_proof.tree_size, 1)
  open(await whole)
  assert.equal(signer.pending, 0)
})

test('without a key that may sign, no place is given, so that nothing is begun; one that was given fails with that', async () => {
  const unavailable = new AppError('kms.unavailable', 'No issuer key may sign.')
  let mayStart = true
  const { signer } = signerOf({
    issuer: () => {
      if (!mayStart) throw unavailable
      return issuer
    },
  })
  const given = signer.reserve()
  mayStart = false
  assert.throws(() => signer.reserve(), unavailable)
  await assert.rejects(given.seal(answer()), unavailable)
  assert.equal(signer.pending, 0)
})

test('a reservation serves once', async () => {
  const { signer } = signerOf()
  const reservation = signer.reserve()
  await reservation.seal(answer())
  await assert.rejects(reservation.seal(answer()), /used or released/)
  const released = signer.reserve()
  released.release()
  await assert.rejects(released.seal(answer()), /used or released/)
})
