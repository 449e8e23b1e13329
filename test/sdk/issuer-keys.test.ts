import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { toBase64Url } from '#src/core/base64.ts'
import type { KeyDocument, PublishedKey } from '#src/envelope/key-document.ts'
import { Sealwire, type SealwireOptions } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { type Responder, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => {
  stub.reset()
  stub.answerWith(acknowledges)
})

const INPUT = { integrationId: 'int_1', topic: 'a', message: '1' } as const
const acknowledges: Responder = (request) => stub.sealed(request, success({ outcome: 'acknowledged' }))
const nowS = () => Math.floor(Date.now() / 1000)

function client(options: Partial<SealwireOptions> = {}): Sealwire {
  const { url: baseUrl, recipient } = stub
  return new Sealwire({ baseUrl, apiKey: 'qs_test_key', recipient, clock: impatientClock(), maxRetries: 0, ...options })
}

describe('a signer that the document does not vouch for', () => {
  const cases: { what: string; code: string; publish: () => readonly PublishedKey[] }[] = [
    {
      what: 'revoked, whatever the time of the answer',
      code: 'envelope.rejected',
      publish: () => [{ ...stub.publishedKey(), state: 'revoked' }],
    },
    {
      what: 'of another use',
      code: 'envelope.rejected',
      publish: () => [{ ...stub.publishedKey(), use: 'audit' }],
    },
    {
      what: 'published only after the answer was made',
      code: 'envelope.rejected',
      publish: () => [{ ...stub.publishedKey(), nbf: nowS() + 50 }],
    },
    {
      what: 'out of use when the answer was made',
      code: 'envelope.rejected',
      publish: () => [{ ...stub.publishedKey(), state: 'retired', naf: nowS() - 50 }],
    },
    {
      what: 'not there',
      code: 'envelope.issuer_unknown',
      publish: () => [stub.publishedKey(stub.deployment.makeKey())],
    },
  ]
  for (const { what, code, publish } of cases) {
    test(`${what}: refused, outcome unknown; active, it opens`, async () => {
      stub.publishKeys(publish())
      const error = await failureOf(client().proxy.publish(INPUT))
      assert.deepEqual([error.code, error.outcome], [code, 'unknown'])
      stub.publishKeys([stub.publishedKey()])
      assert.equal((await client().proxy.publish(INPUT)).result.outcome, 'acknowledged')
    })
  }

  test('in `keys` but not in `signed` is as good as not there', async () => {
    const other = stub.deployment.makeKey()
    stub.answerWith((request) => stub.sealed(request, success({}), { issuer: other }))
    stub.answerKeysWith(async () => {
      const answer = await stub.documentOf([stub.publishedKey()])
      const body = answer.body as KeyDocument
      const planted = { kty: 'AKP', alg: 'ML-DSA-65', kid: other.keyId, pub: toBase64Url(other.signing.publicKey) }
      return { ...answer, body: { ...body, keys: [...body.keys, planted] } }
    })
    assert.equal((await failureOf(client().proxy.publish(INPUT))).code, 'envelope.issuer_unknown')
    stub.publishKeys([stub.publishedKey(), stub.publishedKey(other)])
    stub.answerKeysWith(() => stub.documentOf([stub.publishedKey(), stub.publishedKey(other)]))
    await client().proxy.publish(INPUT)
  })

  test('the root key itself, signing a perfect envelope, is not there', async () => {
    stub.answerWith((request) => stub.sealed(request, success({}), { issuer: stub.deployment.rootKey }))
    assert.equal((await failureOf(client().proxy.publish(INPUT))).code, 'envelope.issuer_unknown')
  })
})

describe('a key document', () => {
  const refused: { what: string; document: Responder }[] = [
    { what: 'that expired', document: () => stub.documentOf([stub.publishedKey()], undefined, nowS() - 2 * 86_400) },
    { what: 'from the future', document: () => stub.documentOf([stub.publishedKey()], undefined, nowS() + 120) },
    {
      what: 'with one character of its content changed',
      document: async () => {
        const answer = await stub.documentOf([stub.publishedKey()])
        const body = answer.body as KeyDocument
        return { ...answer, body: { ...body, signed: `${body.signed.slice(0, -2)}AA` } }
      },
    },
    {
      what: 'with the right root beside the signature of another',
      document: async () => {
        const other = stub.deployment.makeKey()
        const answer = await stub.documentOf([stub.publishedKey()], other)
        const right = (await stub.documentOf([stub.publishedKey()])).body as KeyDocument
        return { ...answer, body: { ...(answer.body as KeyDocument), root_pub: right.root_pub } }
      },
    },
  ]
  for (const { what, document } of refused) {
    test(`${what} is not believed, and nothing is sent; its twin is`, async () => {
      stub.answerKeysWith(document)
      const error = await failureOf(client().proxy.publish(INPUT))
      assert.deepEqual([error.code, error.outcome, stub.seen.length], ['envelope.issuer_unknown', 'rejected', 0])
      stub.answerKeysWith(() => stub.documentOf([stub.publishedKey()]))
      await client().proxy.publish(INPUT)
    })
  }

  test('that redirects, is no JSON, or is an error page: nothing is sent, and the outcome is unavailable', async () => {
    const pages: Responder[] = [
      () => ({ status: 302, headers: { Location: `${stub.url}/elsewhere` }, body: '' }),
      () => ({ status: 200, body: '<html>' }),
      () => ({ status: 502, body: {} }),
      () => 'break the connection',
    ]
    for (const page of pages) {
      stub.answerKeysWith(page)
      const error = await failureOf(client().proxy.publish(INPUT))
      assert.ok(error.code === 'answer.invalid' || error.code === 'network', error.code)
      assert.deepEqual([error.outcome, stub.seen.length], ['unavailable', 0])
    }
    assert.ok(pages.length > 0)
  })

  test('that expires while it still counts as fresh is renewed before it is used again', async () => {
    let nowMs = Date.now()
    let elapsedMs = 0
    const clock = { ...impatientClock(), now: () => nowMs, monotonic: () => elapsedMs }
    const sdk = client({ clock })
    const endsSoon = nowS() - 86_400 + 30
    stub.answerKeysWith(() => stub.documentOf([stub.publishedKey()], undefined, endsSoon))
    await sdk.proxy.publish(INPUT)
    stub.answerKeysWith(() => stub.documentOf([stub.publishedKey()]))
    nowMs += 92_000
    elapsedMs += 92_000
    await sdk.proxy.publish(INPUT)
    assert.equal(stub.keyRequests.length, 2)
  })
})

describe('an unknown signer among many calls', () => {
  test('is looked up once for all of them, and every one opens', async () => {
    let elapsedMs = 0
    const sdk = client({ clock: { ...impatientClock(), monotonic: () => elapsedMs } })
    await sdk.proxy.publish(INPUT)
    const next = stub.deployment.makeKey()
    stub.answerWith((request) => stub.sealed(request, success({ outcome: 'acknowledged' }), { issuer: next }))
    const asked = Promise.withResolvers<void>()
    stub.answerKeysWith(async () => {
      await asked.promise
      return stub.documentOf([stub.publishedKey(), stub.publishedKey(next)])
    })
    elapsedMs = 61_000
    const calls = Promise.allSettled(Array.from({ length: 8 }, () => sdk.proxy.publish(INPUT)))
    while (stub.seen.length < 9 || stub.keyRequests.length < 2) await new Promise(setImmediate)
    asked.resolve()
    const opened = (await calls).map((call) => (call.status === 'fulfilled' ? call.value.result.outcome : call.reason))
    assert.deepEqual(
      opened,
      Array.from({ length: 8 }, () => 'acknowledged'),
    )
    assert.equal(stub.keyRequests.length, 2)
  })

  test('opens with keys that another call brought meanwhile, without asking again', async () => {
    let elapsedMs = 0
    const sdk = client({ clock: { ...impatientClock(), monotonic: () => elapsedMs } })
    await sdk.proxy.publish(INPUT)
    const next = stub.deployment.makeKey()
    const held = Promise.withResolvers<void>()
    const answers: Responder = (request) => stub.sealed(request, success({ outcome: 'acknowledged' }), { issuer: next })
    stub.answerInTurn(async (request) => {
      await held.promise
      return answers(request)
    }, answers)
    stub.publishKeys([stub.publishedKey(), stub.publishedKey(next)])
    elapsedMs = 61_000
    const slow = Promise.allSettled([sdk.proxy.publish(INPUT)])
    while (stub.seen.length < 2) await new Promise(setImmediate)
    await sdk.proxy.publish(INPUT)
    held.resolve()
    assert.deepEqual((await slow)[0].status, 'fulfilled')
    assert.equal(stub.keyRequests.length, 2)
  })
})
