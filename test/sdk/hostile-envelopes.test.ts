import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { toBase64 } from '#src/core/base64.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const INPUT = { integrationId: 'int_1', topic: 'a', message: '1' } as const
const PLAINTEXT = success({ outcome: 'acknowledged' })
const someRequest = { method: 'POST', url: '/api/v2/proxy/outbound', headers: {}, body: new Uint8Array() }

function client(): Sealwire {
  const { url: baseUrl, recipient } = stub
  return new Sealwire({ baseUrl, apiKey: 'qs_test_key', recipient, clock: impatientClock(), maxRetries: 0 })
}

/** Answers the next calls with their own envelope, written as the test says. */
function answerWritten(write: (envelope: HybridCryptoEnvelope) => string): void {
  stub.answerWith(async (request) => {
    const envelope = await stub.seal(request, PLAINTEXT)
    return { status: 200, body: `{"success":true,"data":${write(envelope)},"error":null,"meta":{}}` }
  })
}

const json = (value: unknown) => JSON.stringify(value)
const without = (value: object, member: string) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => name !== member))
const withSignature = (envelope: HybridCryptoEnvelope, members: object) =>
  json({ ...envelope, signature: { ...envelope.signature, ...members } })

describe('E8: an envelope without both signatures is refused, and no option opens it', () => {
  const cases: { what: string; write: (envelope: HybridCryptoEnvelope) => string }[] = [
    { what: 'no signature', write: (one) => json(without(one, 'signature')) },
    { what: 'signature null', write: (one) => json({ ...one, signature: null }) },
    { what: 'signature {}', write: (one) => json({ ...one, signature: {} }) },
    { what: 'no ML-DSA', write: (one) => json({ ...one, signature: without(one.signature, 'pqc_signature') }) },
    { what: 'no HMAC', write: (one) => json({ ...one, signature: without(one.signature, 'hmac_signature') }) },
    { what: 'no proof', write: (one) => json({ ...one, signature: without(one.signature, 'inclusion_proof') }) },
    { what: 'ML-DSA empty', write: (one) => withSignature(one, { pqc_signature: '' }) },
    { what: 'HMAC empty', write: (one) => withSignature(one, { hmac_signature: '' }) },
    { what: 'ML-DSA zero', write: (one) => withSignature(one, { pqc_signature: toBase64(new Uint8Array(3309)) }) },
    { what: 'HMAC zero', write: (one) => withSignature(one, { hmac_signature: toBase64(new Uint8Array(64)) }) },
    { what: 'algorithm none', write: (one) => withSignature(one, { algorithm: 'none' }) },
    { what: 'algorithm ML-DSA alone', write: (one) => withSignature(one, { algorithm: 'ML-DSA-65' }) },
    { what: 'another version', write: (one) => json({ ...one, version: 1 }) },
    { what: 'the look of version 1', write: (one) => json({ encrypted: one.encrypted, signature: one.signature }) },
  ]
  for (const { what, write } of cases) {
    test(what, async () => {
      answerWritten(write)
      const error = await failureOf(client().proxy.publish(INPUT))
      assert.ok(error.code === 'envelope.rejected' || error.code === 'unprotected', error.code)
      assert.equal(error.outcome, 'unknown')

      const envelope: unknown = JSON.parse(write(await stub.seal(someRequest, PLAINTEXT)))
      const options = { verify: false, verifySignature: false, verify_signature: false, skipVerification: true }
      const decrypted = await failureOf(client().encryption.decrypt(envelope, options as object))
      assert.equal(decrypted.code, 'envelope.rejected')
    })
  }

  test('their twin opens', async () => {
    answerWritten(json)
    assert.equal((await client().proxy.publish(INPUT)).result.outcome, 'acknowledged')
  })
})

describe('E15: base64 has one spelling', () => {
  const lenient: { what: string; spell: (text: string) => string }[] = [
    { what: 'a line end after it', spell: (text) => `${text}\n` },
    { what: 'a space in it', spell: (text) => `${text.slice(0, 8)} ${text.slice(8)}` },
    { what: 'a NUL after it', spell: (text) => `${text}\0` },
    { what: 'text after the padding', spell: (text) => `${text}AAAA` },
    { what: 'no padding', spell: (text) => text.replace(/=+$/, '') },
    { what: 'too much padding', spell: (text) => `${text}=` },
    { what: 'bits after the end', spell: spareBits },
    { what: 'the alphabet of base64url', spell: (text) => text.replaceAll('+', '-').replaceAll('/', '_') },
    { what: 'a character of neither', spell: (text) => `${text.slice(0, -5)}*${text.slice(-4)}` },
  ]
  assert.equal(lenient.length, 9)

  /** Another last character before the padding, with the same bits that count. */
  function spareBits(text: string): string {
    const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
    const end = text.indexOf('=')
    const last = ALPHABET.indexOf(text.charAt(end - 1))
    return `${text.slice(0, end - 1)}${ALPHABET.charAt(last + 1)}${text.slice(end)}`
  }

  /** A tag with padding, and with a character that the two alphabets spell differently. */
  async function envelopeWith(spelling: (tag: string) => boolean): Promise<HybridCryptoEnvelope> {
    for (;;) {
      const envelope = await stub.seal(someRequest, PLAINTEXT)
      if (spelling(envelope.signature.hmac_signature)) return envelope
    }
  }

  for (const { what, spell } of lenient) {
    test(`${what} is refused; as it was, it opens`, async () => {
      const envelope = await envelopeWith((tag) => /[+/]/.test(tag) && tag.endsWith('='))
      const { hmac_signature: tag } = envelope.signature
      assert.notEqual(spell(tag), tag)
      const signature = { ...envelope.signature, hmac_signature: spell(tag) }
      const error = await failureOf(client().encryption.decrypt({ ...envelope, signature }))
      assert.equal(error.code, 'envelope.rejected')
      await client().encryption.decrypt(envelope)
    })
  }
})

describe('E16: what is signed are the bytes, not how the answer around them is written', () => {
  const opens: { what: string; write: (envelope: HybridCryptoEnvelope) => string }[] = [
    { what: 'white space', write: (one) => JSON.stringify(one, null, 4) },
    { what: 'members in another order', write: (one) => json(Object.fromEntries(Object.entries(one).reverse())) },
    {
      what: 'escapes in outer members',
      write: (one) => json(one).replace('"protected":"e', '"protected":"\\u0065'),
    },
  ]
  for (const { what, write } of opens) {
    test(`${what}: opens`, async () => {
      answerWritten(write)
      assert.equal((await client().proxy.publish(INPUT)).result.outcome, 'acknowledged')
    })
  }

  const refused: { what: string; write: (envelope: HybridCryptoEnvelope) => string }[] = [
    { what: 'a member twice', write: (one) => json(one).replace('{', '{"version":2,') },
    {
      what: 'a member of the signature twice',
      write: (one) => json(one).replace('"pqc_signature"', '"hmac_signature":"","pqc_signature"'),
    },
    { what: 'one more member', write: (one) => json({ ...one, alg: 'none' }) },
    { what: 'a member __proto__', write: (one) => json(one).replace('{', '{"__proto__":{"version":2},') },
  ]
  for (const { what, write } of refused) {
    test(`${what}: refused`, async () => {
      answerWritten(write)
      const error = await failureOf(client().proxy.publish(INPUT))
      assert.ok(error.code === 'envelope.rejected' || error.code === 'unprotected', error.code)
      assert.equal(error.outcome, 'unknown')
    })
  }
})

describe('E13: an answer of another moment', () => {
  const nowS = () => Math.floor(Date.now() / 1000)
  const cases = [
    { what: '61 s early', iat: 62, code: 'envelope.stale' },
    { what: '61 s late', iat: -300 - 62, code: 'envelope.stale' },
    { what: '59 s early', iat: 58, code: undefined },
    { what: '59 s late', iat: -300 - 58, code: undefined },
  ]
  for (const { what, iat, code } of cases) {
    test(`${what}: ${code ?? 'opens'}`, async () => {
      stub.answerWith((request) => stub.sealed(request, PLAINTEXT, { claims: { iat: nowS() + iat } }))
      const work = client().proxy.publish(INPUT)
      if (code === undefined) assert.equal((await work).result.outcome, 'acknowledged')
      else assert.equal((await failureOf(work)).code, code)
    })
  }

  test('a clock that went back an hour does not make a seen answer new', async () => {
    let nowMs = Date.now()
    const { url: baseUrl, recipient } = stub
    const sdk = new Sealwire({ baseUrl, recipient, clock: { ...impatientClock(), now: () => nowMs } })
    const envelope = await stub.seal(someRequest, PLAINTEXT)
    await sdk.encryption.decrypt(envelope)
    assert.equal((await failureOf(sdk.encryption.decrypt(envelope))).code, 'envelope.replay')
    nowMs -= 3_600_000
    assert.equal((await failureOf(sdk.encryption.decrypt(envelope))).code, 'envelope.stale')
    nowMs += 3_600_000
    assert.equal((await failureOf(sdk.encryption.decrypt(envelope))).code, 'envelope.replay')
  })

  test('the nonce of each call is another one, and 32 bytes', async () => {
    stub.answerWith((request) => stub.sealed(request, PLAINTEXT))
    const sdk = client()
    for (let i = 0; i < 5; i++) await sdk.proxy.publish(INPUT)
    const nonces = stub.seen.map((request) => String(request.headers['envelope-nonce']))
    assert.equal(new Set(nonces).size, 5)
    for (const nonce of nonces) assert.match(nonce, /^[A-Za-z0-9_-]{43}$/)
  })
})
