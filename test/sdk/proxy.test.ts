import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { Sealwire, type SealwireOptions, UnprotectedError } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import {
  bareRefusal,
  bareSuccess,
  type Responder,
  refusal,
  startSealedStub,
  success,
} from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())

const PUBLISHED = {
  outcome: 'acknowledged',
  message_id: 'msg_01kat4hvr07rf9mm9f7nrvz4gg',
  integration_id: 'int_01kat4hvr07rf9mm9f7nrvz4gg',
  topic: 'sensors/temperature',
  qos: 1,
  retain: false,
  reason_code: 0,
  sent_at: '2026-11-21T09:00:00.000Z',
  acknowledged_at: '2026-11-21T09:00:00.004Z',
}
const INPUT = { integrationId: PUBLISHED.integration_id, topic: PUBLISHED.topic, message: '22.5', qos: 1 } as const

function client(options: Partial<SealwireOptions> = {}): Sealwire {
  return new Sealwire({
    baseUrl: stub.url,
    apiKey: 'qs_test_key',
    recipient: stub.recipient,
    clock: impatientClock(),
    ...options,
  })
}

const acknowledges: Responder = (request) => stub.sealed(request, success(PUBLISHED))

beforeEach(() => {
  stub.reset()
  stub.answerWith(acknowledges)
})

test('publish returns the opened answer in camelCase, and the envelope it came in', async () => {
  const { result, envelope } = await client().proxy.publish(INPUT)
  assert.equal(result.outcome, 'acknowledged')
  assert.equal(result.messageId, PUBLISHED.message_id)
  assert.equal(result.acknowledgedAt, PUBLISHED.acknowledged_at)
  assert.equal(envelope.version, 2)
  const [request] = stub.seen
  assert.deepEqual(JSON.parse(Buffer.from(request?.body ?? []).toString()), {
    integration_id: INPUT.integrationId,
    operation: 'publish',
    payload: { topic: INPUT.topic, message: '22.5', qos: 1, encoding: 'utf8' },
  })
  assert.equal(request?.headers['x-api-key'], 'qs_test_key')
})

test('the same answer opens with OpenSSL in place of noble', async () => {
  const { result } = await client({ provider: opensslProvider }).proxy.publish(INPUT)
  assert.equal(result.messageId, PUBLISHED.message_id)
})

test('bytes are published as base64, other values as JSON with their own member names', async () => {
  await client().proxy.publish({ ...INPUT, message: new Uint8Array([0, 255]) })
  await client().proxy.publish({ ...INPUT, message: { roomTemperature: { inCelsius: 22.5 } } })
  const payloads = stub.seen.map((request) => JSON.parse(Buffer.from(request.body).toString()).payload)
  assert.deepEqual(
    payloads.map(({ message, encoding }) => ({ message, encoding })),
    [
      { message: 'AP8=', encoding: 'base64' },
      { message: { roomTemperature: { inCelsius: 22.5 } }, encoding: 'json' },
    ],
  )
})

test('subscribe returns the messages it collected', async () => {
  const message = {
    topic: 'a',
    message: 'on',
    encoding: 'utf8',
    qos: 1,
    retain: false,
    properties: {},
    received_at: 'now',
  }
  stub.answerWith((request) => stub.sealed(request, success({ granted_qos: 1, messages: [message], truncated: false })))
  const { result } = await client().proxy.subscribe({ integrationId: INPUT.integrationId, topic: 'a', maxMessages: 1 })
  assert.deepEqual([result.grantedQos, result.messages[0]?.message, result.messages[0]?.receivedAt], [1, 'on', 'now'])
})

test('a server below a path prefix is reached, and its answers are bound to the request without the prefix', async () => {
  const { result } = await client({ baseUrl: `${stub.url}/tenant-a/` }).proxy.publish(INPUT)
  assert.equal(result.messageId, PUBLISHED.message_id)
  assert.equal(stub.seen[0]?.url, '/tenant-a/api/v2/proxy/outbound')
})

describe('a refusal in an envelope is believed, whatever the HTTP status line says', () => {
  const cases = [
    { st: 403, code: 'policy.denied', outcome: 'rejected' },
    { st: 502, code: 'broker.rejected', outcome: 'rejected' },
    { st: 503, code: 'broker.unreachable', outcome: 'unavailable' },
    { st: 504, code: 'outcome.unknown', outcome: 'unknown' },
    { st: 500, code: 'internal', outcome: 'unknown' },
    { st: 409, code: 'idempotency.running', outcome: 'unknown' },
  ]
  for (const { st, code, outcome } of cases) {
    test(`${code} → ${outcome}`, async () => {
      stub.answerWith(async (request) => {
        const answer = await stub.sealed(request, refusal(code, { reason_code: 135 }), { status: st })
        return { ...answer, status: 200 }
      })
      const error = await failureOf(client({ maxRetries: 0 }).proxy.publish(INPUT))
      assert.deepEqual(
        { code: error.code, status: error.status, outcome: error.outcome, details: error.details },
        { code, status: st, outcome, details: { reason_code: 135 } },
      )
      assert.match(error.requestId ?? '', /^req_/)
    })
  }
})

describe('an answer without an envelope proves nothing', () => {
  const cases: { what: string; answer: ReturnType<Responder>; claim: string | undefined }[] = [
    { what: '200 with the very result', answer: bareSuccess(PUBLISHED), claim: undefined },
    { what: '400', answer: bareRefusal(400, 'request.invalid'), claim: 'request.invalid' },
    { what: '401', answer: bareRefusal(401, 'auth.unauthenticated'), claim: 'auth.unauthenticated' },
    { what: '403', answer: bareRefusal(403, 'policy.denied'), claim: 'policy.denied' },
    { what: '503', answer: bareRefusal(503, 'broker.unreachable'), claim: 'broker.unreachable' },
    { what: 'a page of a proxy', answer: { status: 502, body: '<html>Bad gateway</html>' }, claim: undefined },
    {
      what: 'a redirect',
      answer: { status: 307, headers: { Location: `${stub.url}/api/v2/x` }, body: '' },
      claim: undefined,
    },
    { what: 'an empty 204', answer: { status: 204, body: '' }, claim: undefined },
  ]
  for (const { what, answer, claim } of cases) {
    test(what, async () => {
      stub.answerWith(() => answer)
      const error = await failureOf(client({ maxRetries: 0 }).proxy.publish(INPUT))
      assert.ok(error instanceof UnprotectedError)
      assert.deepEqual([error.code, error.outcome, error.status], ['unprotected', 'unknown', undefined])
      assert.equal(error.claim.code, claim)
      assert.equal(stub.seen.length, 1)
    })
  }
})

describe('an envelope is refused', () => {
  const other = stub.deployment.makeKey()
  const cases: { what: string; code: string; answer: Responder }[] = [
    {
      what: 'that answers the same request with another nonce',
      code: 'envelope.mismatch',
      answer: (request) => {
        const headers = { ...request.headers, 'envelope-nonce': 'A'.repeat(43) }
        return stub.sealed({ ...request, headers }, success(PUBLISHED))
      },
    },
    {
      what: 'that was made for a request without a nonce',
      code: 'envelope.mismatch',
      answer: (request) => stub.sealed(request, success(PUBLISHED), { claims: { rqh: null } }),
    },
    {
      what: 'that answers another operation',
      code: 'envelope.mismatch',
      answer: (request) => stub.sealed(request, success(PUBLISHED), { claims: { op: 'vault.unseal' } }),
    },
    {
      what: 'that is too old',
      code: 'envelope.stale',
      answer: (request) =>
        stub.sealed(request, success(PUBLISHED), { claims: { iat: Math.floor(Date.now() / 1000) - 400 } }),
    },
    {
      what: 'of a signer that the root does not know',
      code: 'envelope.issuer_unknown',
      answer: (request) => stub.sealed(request, success(PUBLISHED), { issuer: other }),
    },
    {
      what: 'of which one character differs',
      code: 'envelope.rejected',
      answer: async (request) => {
        const envelope = await stub.seal(request, success(PUBLISHED))
        const data = envelope.encrypted.ciphertext_data
        const first = data.startsWith('A') ? 'B' : 'A'
        return bareSuccess({
          ...envelope,
          encrypted: { ...envelope.encrypted, ciphertext_data: first + data.slice(1) },
        })
      },
    },
  ]
  for (const { what, code, answer } of cases) {
    test(`${what}; its twin opens`, async () => {
      stub.answerInTurn(answer, acknowledges)
      const sdk = client()
      const error = await failureOf(sdk.proxy.publish(INPUT))
      assert.deepEqual([error.code, error.outcome], [code, 'unknown'])
      assert.equal(stub.seen.length, 1, 'is not tried again')
      assert.equal((await sdk.proxy.publish(INPUT)).result.outcome, 'acknowledged')
    })
  }

  test('that answered an earlier call of this client', async () => {
    const sdk = client()
    const { envelope } = await sdk.proxy.publish(INPUT)
    stub.answerWith(() => bareSuccess(envelope))
    assert.equal((await failureOf(sdk.proxy.publish(INPUT))).code, 'envelope.mismatch')
  })

  test('that answered an earlier attempt of this call', async () => {
    let first: unknown
    stub.answerInTurn(
      async (request) => {
        first = await stub.seal(request, success(PUBLISHED))
        return 'break the connection' as const
      },
      () => bareSuccess(first),
    )
    const error = await failureOf(client().proxy.publish(INPUT))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['envelope.mismatch', 'unknown', 2])
  })
})

describe('the pinned root', () => {
  test('a document under another root is not believed, and nothing is sent; under ours it is', async () => {
    stub.publishKeys([stub.publishedKey()], stub.deployment.makeKey())
    const sdk = client()
    const error = await failureOf(sdk.proxy.publish(INPUT))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['envelope.issuer_unknown', 'rejected', 0])
    stub.publishKeys([stub.publishedKey()])
    assert.equal((await sdk.proxy.publish(INPUT)).result.outcome, 'acknowledged')
  })

  test('an unknown signer is looked up once, and not again within a minute', async () => {
    let elapsedMs = 0
    const sdk = client({ clock: { ...impatientClock(), monotonic: () => elapsedMs } })
    await sdk.proxy.publish(INPUT)
    const next = stub.deployment.makeKey()
    stub.answerWith((request) => stub.sealed(request, success(PUBLISHED), { issuer: next }))

    elapsedMs = 30_000
    await failureOf(sdk.proxy.publish(INPUT))
    assert.equal(stub.keyRequests.length, 1, 'the document is too fresh to ask again')
    elapsedMs = 61_000
    await failureOf(sdk.proxy.publish(INPUT))
    await failureOf(sdk.proxy.publish(INPUT))
    assert.equal(stub.keyRequests.length, 2)
    stub.publishKeys([stub.publishedKey(), stub.publishedKey(next)])
    elapsedMs = 122_000
    assert.equal((await sdk.proxy.publish(INPUT)).result.outcome, 'acknowledged')
    assert.equal(stub.keyRequests.length, 3)
  })

  test('a document that goes back in time does not bring a revoked key back', async () => {
    let elapsedMs = 0
    const revoked = { ...stub.publishedKey(), state: 'revoked' as const }
    const sdk = client({ clock: { ...impatientClock(), monotonic: () => elapsedMs } })
    const nowS = Math.floor(Date.now() / 1000)
    stub.answerKeysWith(() => stub.documentOf([revoked], undefined, nowS - 10))
    assert.equal((await failureOf(sdk.proxy.publish(INPUT))).code, 'envelope.rejected')
    elapsedMs = 301_000
    stub.answerKeysWith(() => stub.documentOf([stub.publishedKey()], undefined, nowS - 20))
    assert.equal((await failureOf(sdk.proxy.publish(INPUT))).code, 'envelope.rejected')
    elapsedMs = 602_000
    stub.answerKeysWith(() => stub.documentOf([stub.publishedKey()], undefined, nowS - 5))
    assert.equal((await sdk.proxy.publish(INPUT)).result.outcome, 'acknowledged')
  })

  test('a document that cannot be renewed serves until its own end, and then nothing is sent', async () => {
    let nowMs = Date.now()
    let elapsedMs = 0
    const clock = { ...impatientClock(), monotonic: () => elapsedMs, now: () => nowMs }
    const sdk = client({ clock, maxRetries: 0 })
    await sdk.proxy.publish(INPUT)
    stub.answerKeysWith(() => 'break the connection')

    elapsedMs = 301_000
    assert.equal((await sdk.proxy.publish(INPUT)).result.outcome, 'acknowledged')
    elapsedMs = 602_000
    nowMs += 2 * 86_400_000
    const error = await failureOf(sdk.proxy.publish(INPUT))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['envelope.issuer_unknown', 'rejected', 2])
  })
})
