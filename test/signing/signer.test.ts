import assert from 'node:assert/strict'
import { test } from 'node:test'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { type SealedEnvelope, sealEnvelope } from '#src/envelope/seal.ts'
import { createSigner } from '#src/signing/signer.ts'
import { open } from '#test/envelope/forge.ts'
import { ANSWER, makeParties, PLAINTEXT, type TestIssuer } from '#test/envelope/parties.ts'
import { refusal } from '#test/envelope/refusal.ts'

const parties = makeParties(provider)
const { issuer, recipient } = parties
const seal = (rid = 'req_one', keyId = issuer.keyId): SealedEnvelope =>
  sealEnvelope(provider, recipient.sealing, keyId, { ...ANSWER, rid }, PLAINTEXT)

/** An issuer whose signatures wait until the test lets them go, in the order in which they were asked for. */
function heldIssuer(): { held: TestIssuer; waiting: (() => void)[]; asked: () => Promise<void> } {
  const waiting: (() => void)[] = []
  let onAsked = (): void => {}
  const held: TestIssuer = {
    ...issuer,
    signing: {
      publicKey: issuer.signing.publicKey,
      async sign(message, context) {
        await new Promise<void>((resolve) => {
          waiting.push(resolve)
          onAsked()
        })
        return issuer.signing.sign(message, context)
      },
    },
  }
  const asked = (): Promise<void> => new Promise((resolve) => (onAsked = resolve))
  return { held, waiting, asked }
}

test('a signed envelope opens, and its place is free again', async () => {
  const signer = createSigner({ provider, issuer, maxQueue: 1 })
  assert.equal(signer.issuerKeyId, 'sig_one')
  for (let i = 0; i < 3; i++) {
    const reservation = signer.reserve()
    assert.equal(signer.pending, 1)
    assert.deepEqual(open(parties, await reservation.sign(seal())).plaintext, PLAINTEXT)
    assert.equal(signer.pending, 0)
  }
})

test('a place more than there are is refused as busy, and one that was released is not', () => {
  const signer = createSigner({ provider, issuer, maxQueue: 2 })
  const first = signer.reserve()
  signer.reserve()
  assert.throws(() => signer.reserve(), { ...refusal('signer.busy'), retryAfterS: 1 })
  first.release()
  first.release()
  assert.equal(signer.pending, 1)
  signer.reserve()
  assert.throws(() => signer.reserve(), refusal('signer.busy'))
})

test('at most two signatures are made at a time, first in, first out', async () => {
  const { held, waiting, asked } = heldIssuer()
  const signer = createSigner({ provider, issuer: held, maxQueue: 8 })
  const done: string[] = []
  const jobs = ['req_a', 'req_b', 'req_c', 'req_d'].map(async (rid) => {
    const envelope = await signer.reserve().sign(seal(rid))
    done.push(open(parties, envelope).header.rid)
  })
  assert.equal(waiting.length, 2)
  assert.equal(signer.pending, 4)
  for (let released = 0; released < 4; released++) {
    const next = released < 2 ? asked() : Promise.resolve()
    waiting[released]?.()
    await next
    await Promise.race(jobs.slice(released, released + 1))
    assert.ok(waiting.length <= Math.min(4, released + 3))
  }
  await Promise.all(jobs)
  assert.deepEqual(done, ['req_a', 'req_b', 'req_c', 'req_d'])
  assert.equal(signer.pending, 0)
})

test('an envelope for another issuer key is refused, and its place is free again', async () => {
  const signer = createSigner({ provider, issuer, maxQueue: 1 })
  await assert.rejects(signer.reserve().sign(seal('req_one', 'sig_two')), RangeError)
  assert.equal(signer.pending, 0)
  assert.ok(await signer.reserve().sign(seal()))
})

test('a key that fails rejects its own envelope only', async () => {
  let isBroken = true
  const flaky = {
    ...issuer,
    signing: {
      publicKey: issuer.signing.publicKey,
      sign: async (message: Uint8Array, context: Uint8Array) => {
        if (isBroken) throw new Error('broken')
        return issuer.signing.sign(message, context)
      },
    },
  }
  const signer = createSigner({ provider, issuer: flaky, maxQueue: 1 })
  await assert.rejects(signer.reserve().sign(seal()), /broken/)
  isBroken = false
  assert.deepEqual(open(parties, await signer.reserve().sign(seal())).plaintext, PLAINTEXT)
})

test('a reservation signs once, and not after it was released', async () => {
  const signer = createSigner({ provider, issuer, maxQueue: 2 })
  const [used, released] = [signer.reserve(), signer.reserve()]
  released.release()
  await assert.rejects(released.sign(seal()), /used or released/)
  assert.ok(await used.sign(seal()))
  await assert.rejects(used.sign(seal()), /used or released/)
  used.release()
  assert.equal(signer.pending, 0)
})
