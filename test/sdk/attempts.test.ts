import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { waitBeforeMs } from '#src/sdk/attempts.ts'
import { systemCallClock } from '#src/sdk/call-clock.ts'
import { Sealwire, type SealwireOptions } from '#src/sdk/index.ts'
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
beforeEach(() => stub.reset())

const INPUT = { integrationId: 'int_01kat4hvr07rf9mm9f7nrvz4gg', topic: 'a', message: '1' } as const
const SEALED = { credentialType: 'custom_kv', values: { hostname: 'broker.example', port: 8883 } }

function client(options: Partial<SealwireOptions> = {}): Sealwire {
  const { url, recipient } = stub
  return new Sealwire({ baseUrl: url, apiKey: 'qs_test_key', recipient, clock: impatientClock(), ...options })
}

const acknowledges: Responder = (request) => stub.sealed(request, success({ outcome: 'acknowledged' }))
const refuses =
  (status: number, code: string): Responder =>
  (request) =>
    stub.sealed(request, refusal(code), { status })
const headerOf = (name: string) => stub.seen.map((request) => request.headers[name])

describe('a sealed call is tried again, with one Idempotency-Key and a nonce for each attempt', () => {
  const cases: { after: string; first: Responder }[] = [
    { after: 'a broken connection', first: () => 'break the connection' },
    { after: 'an enveloped 503', first: refuses(503, 'broker.unreachable') },
    { after: 'an enveloped 429', first: refuses(429, 'rate.limited') },
    { after: 'idempotency.running', first: refuses(409, 'idempotency.running') },
    { after: 'a bare 503', first: () => bareRefusal(503, 'signer.busy', { 'Retry-After': '1' }) },
    { after: 'a bare 429', first: () => bareRefusal(429, 'rate.limited') },
  ]
  for (const { after: what, first } of cases) {
    test(`after ${what}`, async () => {
      stub.answerInTurn(first, acknowledges)
      const { result } = await client().proxy.publish(INPUT)
      assert.equal(result.outcome, 'acknowledged')
      assert.equal(stub.seen.length, 2)
      assert.match(String(headerOf('idempotency-key')[0]), /^[A-Za-z0-9_-]{22}$/)
      assert.equal(new Set(headerOf('idempotency-key')).size, 1)
      assert.equal(new Set(headerOf('envelope-nonce')).size, 2)
    })
  }
})

describe('a sealed call is not tried again', () => {
  const cases: { after: string; answer: Responder; code: string }[] = [
    { after: 'a refusal', answer: refuses(403, 'policy.denied'), code: 'policy.denied' },
    { after: 'an unknown outcome', answer: refuses(504, 'outcome.unknown'), code: 'outcome.unknown' },
    { after: 'an internal error', answer: refuses(500, 'internal'), code: 'internal' },
    { after: 'a bare 500', answer: () => bareRefusal(500, 'internal'), code: 'unprotected' },
    { after: 'a bare 409', answer: () => bareRefusal(409, 'idempotency.running'), code: 'unprotected' },
  ]
  for (const { after: what, answer, code } of cases) {
    test(`after ${what}`, async () => {
      stub.answerWith(answer)
      assert.equal((await failureOf(client().proxy.publish(INPUT))).code, code)
      assert.equal(stub.seen.length, 1)
    })
  }
})

test('the idempotency key of the caller is the one that is sent', async () => {
  stub.answerInTurn(() => 'break the connection', acknowledges)
  await client().proxy.publish(INPUT, { idempotencyKey: 'order-4711' })
  assert.deepEqual(headerOf('idempotency-key'), ['order-4711', 'order-4711'])
})

test('once an attempt may have run, a later refusal leaves the outcome unknown; without it, it is rejected', async () => {
  stub.answerInTurn(() => 'break the connection', refuses(403, 'policy.denied'))
  const error = await failureOf(client().proxy.publish(INPUT))
  assert.deepEqual([error.code, error.status, error.outcome], ['policy.denied', 403, 'unknown'])
  stub.answerWith(refuses(403, 'policy.denied'))
  assert.equal((await failureOf(client().proxy.publish(INPUT))).outcome, 'rejected')
})

test('a server that nobody listens at leaves the outcome unavailable, not unknown', async () => {
  const gone = await startSealedStub()
  await gone.close()
  const error = await failureOf(client({ baseUrl: gone.url }).vault.seal(SEALED))
  assert.deepEqual([error.code, error.outcome], ['network', 'unavailable'])
})

test('attempts end with maxRetries', async () => {
  stub.answerWith(refuses(503, 'broker.busy'))
  const error = await failureOf(client({ maxRetries: 3 }).proxy.publish(INPUT))
  assert.deepEqual([error.code, error.outcome, stub.seen.length], ['broker.busy', 'unavailable', 4])
})

test('waits as Retry-After says, and gives up at once when that is longer than the call may take', async () => {
  const waitsMs: number[] = []
  const busy =
    (seconds: string): Responder =>
    async (request) => {
      const answer = await stub.sealed(request, refusal('broker.busy'), { status: 503 })
      return { ...answer, headers: { 'Retry-After': seconds } }
    }
  stub.answerInTurn(busy('7'), acknowledges)
  await client({ clock: impatientClock(waitsMs) }).proxy.publish(INPUT)
  assert.equal(waitsMs.length, 1)
  assert.ok((waitsMs[0] ?? 0) >= 7000 && (waitsMs[0] ?? 0) < 7250, String(waitsMs))
  stub.answerWith(busy('60'))
  const error = await failureOf(client().proxy.publish(INPUT, { timeoutMs: 20_000 }))
  assert.deepEqual([error.code, error.retryAfterS], ['broker.busy', 60])
})

describe('waitBeforeMs: full jitter under a bound that doubles', () => {
  const cases = [
    { attempt: 0, retryAfterS: undefined, random: 0, ms: 0 },
    { attempt: 0, retryAfterS: undefined, random: 1, ms: 250 },
    { attempt: 2, retryAfterS: undefined, random: 0.5, ms: 500 },
    { attempt: 20, retryAfterS: undefined, random: 1, ms: 8000 },
    { attempt: 0, retryAfterS: 3, random: 1, ms: 3250 },
  ]
  for (const { attempt, retryAfterS, random, ms } of cases) {
    test(`attempt ${attempt}, Retry-After ${retryAfterS}, random ${random} → ${ms} ms`, () =>
      assert.equal(waitBeforeMs(attempt, retryAfterS, random), ms))
  }
})

describe('calls without an envelope', () => {
  test('creating is tried again under one idempotency key', async () => {
    stub.answerInTurn(
      () => 'break the connection',
      () => bareSuccess({ id: 'x', credential_id: 'x' }, 201),
    )
    assert.equal((await client().vault.seal(SEALED)).credentialId, 'x')
    assert.equal(stub.seen.length, 2)
    assert.equal(new Set(headerOf('idempotency-key')).size, 1)
  })

  test('an operation that takes no idempotency key is not tried again when it may have run; reading is', async () => {
    stub.answerInTurn(
      () => 'break the connection',
      () => bareSuccess([]),
    )
    const error = await failureOf(client().apiKeys.create({ name: 'line 4' }))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['network', 'unknown', 1])
    assert.equal(headerOf('idempotency-key')[0], undefined)

    stub.answerInTurn(
      () => 'break the connection',
      () => bareSuccess([]),
    )
    assert.deepEqual(await client().apiKeys.list(), [])
    assert.equal(stub.seen.length, 3)
  })
})

describe('time and abort', () => {
  test('a call that takes longer than timeoutMs fails with timeout, outcome unknown', async () => {
    stub.answerWith(() => 'stay silent')
    const error = await failureOf(client().proxy.publish(INPUT, { timeoutMs: 100 }))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['timeout', 'unknown', 1])
  })

  test('the signal of the caller ends a call that is under way: aborted, outcome unknown', async () => {
    const controller = new AbortController()
    stub.answerWith(() => {
      controller.abort(new Error('changed my mind'))
      return 'stay silent'
    })
    const error = await failureOf(client().proxy.publish(INPUT, { signal: controller.signal }))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['aborted', 'unknown', 1])
  })

  test('a signal that was aborted before sends nothing: outcome rejected', async () => {
    const error = await failureOf(client().proxy.publish(INPUT, { signal: AbortSignal.abort() }))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['aborted', 'rejected', 0])
  })

  test('the signal ends the waiting between attempts', async () => {
    const controller = new AbortController()
    const wait = (ms: number, signal: AbortSignal) => {
      queueMicrotask(() => controller.abort())
      return systemCallClock.wait(ms + 10_000, signal)
    }
    stub.answerWith(refuses(503, 'broker.busy'))
    const sdk = client({ clock: { ...systemCallClock, wait } })
    const error = await failureOf(sdk.proxy.publish(INPUT, { signal: controller.signal }))
    assert.deepEqual([error.code, error.outcome, stub.seen.length], ['aborted', 'rejected', 1])
  })
})
