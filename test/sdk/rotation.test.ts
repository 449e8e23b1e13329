import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { fromBase64 } from '#src/core/base64.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { SealingRecipient } from '#src/envelope/seal.ts'
import { findSuite } from '#src/envelope/suites.ts'
import {
  createRecipient,
  ML_KEM_SUITE,
  parseRecipient,
  type Recipient,
  Sealwire,
  type SealwireOptions,
  serialiseRecipient,
  X_WING_SUITE,
} from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import {
  bareRefusal,
  bareSuccess,
  type Responder,
  type SeenRequest,
  startSealedStub,
  success,
} from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())

const KEY_ID = '01kat4hvr07rf9mm9f7nrvz4gg'
const INPUT = { integrationId: 'int_1', topic: 'a', message: '1' } as const
const OLD = stub.recipient

let state: string
let owner: string
let confirms: Responder | undefined
let sealedTo: () => SealingRecipient | undefined
let enrol: Responder
beforeEach(() => {
  stub.reset()
  state = 'active'
  owner = `key_${KEY_ID}`
  confirms = undefined
  sealedTo = () => undefined
  enrol = stub.enrolment()
  stub.answerWith(route)
})

/** The server: knows the old recipient, enrols, and seals to whom the test says. */
function route(request: SeenRequest): ReturnType<Responder> {
  if (request.url.endsWith('/proxy/outbound')) {
    const recipient = sealedTo()
    return stub.sealed(request, success({ outcome: 'sent' }), recipient ? { recipient } : {})
  }
  if (request.method === 'GET') {
    return bareSuccess({ id: OLD.recipientId, api_key_id: owner, name: 'line 4', state })
  }
  if (request.url.endsWith('/confirm')) return (confirms ?? enrol)(request)
  return enrol(request)
}

function client(options: Partial<SealwireOptions> = {}): Sealwire {
  const { url: baseUrl } = stub
  const apiKey = `qs_test_${KEY_ID}_secret`
  return new Sealwire({ baseUrl, apiKey, recipient: OLD, clock: impatientClock(), maxRetries: 0, ...options })
}
const asked = () => stub.seen.map(({ method, url }) => `${method} ${url.replace(/rcp_\w+/, 'rcp_…')}`)
const bodyOf = (index: number) =>
  JSON.parse(Buffer.from(stub.seen[index]?.body ?? []).toString()) as Record<string, string>

describe('createRecipient', () => {
  for (const suite of [ML_KEM_SUITE, X_WING_SUITE] as const) {
    test(`${suite}: a key pair of that suite, which either provider makes alike`, () => {
      const made = createRecipient({ suite })
      const known = findSuite(suite)
      assert.ok(known)
      assert.equal(made.suite, suite)
      assert.equal(made.kemSeed.reveal().length, known.seedBytes)
      assert.deepEqual(known.privateKey(opensslProvider, made.kemSeed.reveal()).publicKey, made.kemPublicKey)
    })
  }
  test('an unknown suite is refused', () =>
    assert.throws(() => createRecipient({ suite: 'X25519' as typeof ML_KEM_SUITE }), { code: 'request.invalid' }))
})

describe('a recipient of X-Wing', () => {
  test('enrols, is kept in a file, and opens what is sealed to it', async () => {
    const made = await client().recipients.enroll({
      name: 'line 4',
      suite: X_WING_SUITE,
      rootFingerprint: stub.deployment.root,
    })
    assert.equal(bodyOf(0)['suite'], X_WING_SUITE)
    assert.equal(fromBase64(bodyOf(0)['kem_public_key'] ?? '')?.length, 1216)
    const recipient = parseRecipient(serialiseRecipient(made))
    assert.deepEqual(recipient, made)
    sealedTo = () => stub.enrolled()
    assert.equal((await client({ recipient }).proxy.publish(INPUT)).result.outcome, 'sent')
  })

  test('with the seed of the other suite the file is refused', () => {
    const file = JSON.parse(serialiseRecipient(OLD)) as Record<string, unknown>
    assert.throws(
      () => parseRecipient(JSON.stringify({ ...file, suite: X_WING_SUITE })),
      /"kem_seed" is not base64url of 32/,
    )
  })
})

describe('recipients.rotate', () => {
  test('keeps first, then switches, and returns the new one under the same root; its suite and name stay', async () => {
    const steps: string[] = []
    const next = await client().recipients.rotate({
      keep: (one) => {
        steps.push(`keep ${one.recipientId}`, ...asked())
      },
    })
    assert.deepEqual(steps, [`keep ${next.recipientId}`, 'GET /api/v2/recipients/rcp_…', 'POST /api/v2/recipients'])
    assert.deepEqual(asked().slice(2), ['POST /api/v2/recipients/rcp_…/confirm'])
    assert.deepEqual([bodyOf(1)['name'], bodyOf(1)['suite']], ['line 4', OLD.suite])
    assert.deepEqual([next.root, next.baseUrl, next.suite], [OLD.root, OLD.baseUrl, OLD.suite])
    assert.notEqual(next.recipientId, OLD.recipientId)
  })

  test('when it cannot be kept, the server does not switch, and the old one goes on', async () => {
    const sdk = client()
    const full = new Error('no space left')
    const keep = () => Promise.reject(full)
    await assert.rejects(sdk.recipients.rotate({ keep }), full)
    assert.ok(!asked().some((one) => one.endsWith('/confirm')))
    await sdk.proxy.publish(INPUT)
  })

  test('answers to the old and to the new open around the switch, whenever they arrive', async () => {
    const sdk = client()
    const held = Promise.withResolvers<void>()
    stub.answerWith(async (request) => {
      if (request.url.endsWith('/proxy/outbound') && stub.seen.length === 1) await held.promise
      return route(request)
    })
    const inFlight = Promise.allSettled([sdk.proxy.publish(INPUT)])
    while (stub.seen.length === 0) await new Promise(setImmediate)
    let early: Promise<{ result: { outcome: string } }> | undefined
    confirms = async (request) => {
      sealedTo = () => stub.enrolled() // the server has switched, its answer is still on the way
      early = sdk.proxy.publish(INPUT)
      await early
      return enrol(request)
    }
    await sdk.recipients.rotate({ suite: X_WING_SUITE })
    assert.equal((await early)?.result.outcome, 'sent')
    assert.equal((await sdk.proxy.publish(INPUT)).result.outcome, 'sent')
    sealedTo = () => undefined // sealed to the old one before the switch
    held.resolve()
    assert.equal((await inFlight)[0].status, 'fulfilled')
  })

  test('the old one opens as long as an answer to it can arrive, and no longer', async () => {
    let elapsedMs = 0
    const sdk = client({ clock: { ...impatientClock(), monotonic: () => elapsedMs } })
    await sdk.recipients.rotate()
    elapsedMs = 419_000
    await sdk.proxy.publish(INPUT)
    elapsedMs = 420_000
    assert.equal((await failureOf(sdk.proxy.publish(INPUT))).code, 'envelope.rejected')
    sealedTo = () => stub.enrolled()
    await sdk.proxy.publish(INPUT)
  })

  test('with a lost last answer both open, and confirm settles it', async () => {
    const sdk = client()
    const kept: Recipient[] = []
    confirms = () => 'break the connection'
    const error = await failureOf(sdk.recipients.rotate({ keep: (one) => void kept.push(one) }))
    assert.deepEqual([error.code, error.outcome], ['network', 'unknown'])
    await sdk.proxy.publish(INPUT)
    sealedTo = () => stub.enrolled()
    await sdk.proxy.publish(INPUT)
    confirms = undefined
    const [pending] = kept
    assert.ok(pending)
    await sdk.recipients.confirm(pending)
  })

  test('refused by the server, nothing has changed, and the new one opens nothing', async () => {
    const sdk = client()
    confirms = () => bareRefusal(404, 'object.not_found')
    const error = await failureOf(sdk.recipients.rotate())
    assert.deepEqual([error.code, error.outcome], ['object.not_found', 'rejected'])
    await sdk.proxy.publish(INPUT)
    sealedTo = () => stub.enrolled()
    assert.equal((await failureOf(sdk.proxy.publish(INPUT))).code, 'envelope.rejected')
  })

  const refused: { what: string; set: () => void; code: string }[] = [
    { what: 'of another API key', set: () => (owner = 'key_01kat4hvr07rf9mm9f7nrvz4gh'), code: 'request.invalid' },
    { what: 'that was revoked', set: () => (state = 'revoked'), code: 'recipient.required' },
    { what: 'that was replaced elsewhere', set: () => (state = 'retired'), code: 'recipient.required' },
  ]
  for (const { what, set, code } of refused) {
    test(`a recipient ${what} is not rotated: nothing is enrolled`, async () => {
      set()
      const error = await failureOf(client().recipients.rotate())
      assert.deepEqual([error.code, error.outcome, asked().length], [code, 'rejected', 1])
    })
  }

  test('without a recipient there is nothing to rotate', async () => {
    const sdk = new Sealwire({ baseUrl: stub.url, apiKey: `qs_test_${KEY_ID}_secret` })
    const error = await failureOf(sdk.recipients.rotate())
    assert.deepEqual([error.code, stub.seen.length], ['recipient.required', 0])
  })
})

describe('an answer that is for somebody else', () => {
  const other = { tenantId: 'ten_01kat4hvr07rf9mm9f7nrvz4gg', recipientId: 'rcp_01kat4hvr07rf9mm9f7nrvz4gg' }
  const cases = [
    { what: 'of another tenant', ids: other, hint: /of another tenant/ },
    { what: 'of another API key', ids: { recipientId: other.recipientId }, hint: /the API key is another one/ },
  ]
  for (const { what, ids, hint } of cases) {
    test(`${what}: the one error, with a hint beside it`, async () => {
      await client().recipients.enroll({ name: 'x', rootFingerprint: stub.deployment.root })
      sealedTo = () => ({ ...stub.enrolled(), ...ids })
      const error = await failureOf(client().proxy.publish(INPUT))
      const broken = await stub.seal(
        { method: 'POST', url: '/api/v2/x', headers: {}, body: new Uint8Array() },
        success({}),
      )
      const hmac = `${'A'.repeat(86)}==`
      const forged = { ...broken, signature: { ...broken.signature, hmac_signature: hmac } }
      const plain = await failureOf(client().encryption.decrypt(forged))
      assert.deepEqual([error.code, error.message], [plain.code, plain.message])
      assert.match(error.hint ?? '', hint)
      assert.equal(plain.hint, undefined)
    })
  }
})
