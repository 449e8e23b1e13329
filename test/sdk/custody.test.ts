import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { bareRefusal, bareSuccess, startSealedStub } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const KEY = Buffer.alloc(32, 7).toString('base64url')
const client = () => new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', clock: impatientClock() })

const calls: {
  name: string
  run: (sdk: Sealwire) => Promise<unknown>
  asks: { url: string; body: unknown; key?: string; enable?: string }
  data: unknown
  gives: unknown
}[] = [
  {
    name: 'seal asks with a header, and gives the key',
    run: (sdk) => sdk.vault.seal({ credentialType: 'custom_kv', values: { a: 1 }, splitCustody: true }),
    asks: { url: '/api/v2/vault/seal', body: { credential_type: 'custom_kv', values: { a: 1 } }, enable: 'true' },
    data: { id: 'v', split_custody: true, custody_key: KEY },
    gives: { id: 'v', splitCustody: true, custodyKey: KEY },
  },
  {
    name: 'seal without it sends no header',
    run: (sdk) => sdk.vault.seal({ credentialType: 'custom_kv', values: { a: 1 }, splitCustody: false }),
    asks: { url: '/api/v2/vault/seal', body: { credential_type: 'custom_kv', values: { a: 1 } } },
    data: { id: 'v', split_custody: false, custody_key: null },
    gives: { id: 'v', splitCustody: false, custodyKey: null },
  },
  {
    name: 'unseal brings the key in a header',
    run: (sdk) => sdk.vault.unseal('v', { custodyKey: KEY }),
    asks: { url: '/api/v2/vault/unseal/v', body: {}, key: KEY },
    data: { id: 'v', values: { a_b: 1 } },
    gives: { id: 'v', values: { a_b: 1 } },
  },
  {
    name: 'rotate brings the key and asks for a new one',
    run: (sdk) => sdk.vault.rotate('v', { a: 2 }, { custodyKey: KEY, splitCustody: true }),
    asks: { url: '/api/v2/vault/rotate/v', body: { values: { a: 2 } }, key: KEY, enable: 'true' },
    data: { id: 'v', version: 2, custody_key: KEY },
    gives: { id: 'v', version: 2, custodyKey: KEY },
  },
  {
    name: 'test brings the key in a header',
    run: (sdk) => sdk.integrations.test('int_1', { custodyKey: KEY }),
    asks: { url: '/api/v2/integrations/int_1/test', body: {}, key: KEY },
    data: { connected: true },
    gives: { connected: true },
  },
  {
    name: 'unlock sends the key in its body',
    run: (sdk) => sdk.integrations.unlock('int_1', { custodyKey: KEY, ttlS: 60 }),
    asks: { url: '/api/v2/integrations/int_1/unlock', body: { custody_key: KEY, ttl_s: 60 } },
    data: { id: 'int_1', locked: false, unlocked_until: 't', held_by: 'this_process', process_id: 'p' },
    gives: { id: 'int_1', locked: false, unlockedUntil: 't', heldBy: 'this_process', processId: 'p' },
  },
  {
    name: 'lock sends nothing',
    run: (sdk) => sdk.integrations.lock('int_1'),
    asks: { url: '/api/v2/integrations/int_1/lock', body: {} },
    data: { id: 'int_1', locked: true },
    gives: undefined,
  },
]

describe('split custody on the wire', () => {
  for (const { name, run, asks, data, gives } of calls) {
    test(name, async () => {
      stub.answerWith(() => bareSuccess(data))
      assert.deepEqual(await run(client()), gives)
      const [request] = stub.seen
      assert.deepEqual(
        {
          url: request?.url,
          body: JSON.parse(Buffer.from(request?.body ?? []).toString()) as unknown,
          key: request?.headers['x-vault-custody-key'],
          enable: request?.headers['x-vault-enable-mpc'],
        },
        { key: undefined, enable: undefined, ...asks },
      )
    })
  }
})

const malformed = ['', 'x', KEY.slice(1), `${KEY}A`, `${KEY}=`, '00'.repeat(32), `${KEY}\r\nX-API-Key: y`]
for (const custodyKey of malformed) {
  test(`a custody key that is none (${custodyKey.length} characters) is not sent, nor repeated in the error`, async () => {
    const attempts = [
      (sdk: Sealwire) => sdk.vault.unseal('v', { custodyKey }),
      (sdk: Sealwire) => sdk.vault.rotate('v', undefined, { custodyKey }),
      (sdk: Sealwire) => sdk.integrations.test('int_1', { custodyKey }),
      (sdk: Sealwire) => sdk.integrations.unlock('int_1', { custodyKey }),
    ]
    for (const attempt of attempts) {
      const error = await failureOf(attempt(client()))
      assert.equal(error.code, 'request.invalid')
      if (custodyKey.length > 1) assert.ok(!error.message.includes(custodyKey))
    }
    assert.equal(stub.seen.length, 0)
  })
}

test('a wrong custody key is sent once', async () => {
  stub.answerWith(() => bareRefusal(403, 'custody.rejected'))
  const attempts = [
    (sdk: Sealwire) => sdk.vault.unseal('v', { custodyKey: KEY }),
    (sdk: Sealwire) => sdk.vault.rotate('v', undefined, { custodyKey: KEY }),
    (sdk: Sealwire) => sdk.integrations.test('int_1', { custodyKey: KEY }),
    (sdk: Sealwire) => sdk.integrations.unlock('int_1', { custodyKey: KEY }),
  ]
  for (const [i, attempt] of attempts.entries()) {
    assert.equal((await failureOf(attempt(client()))).code, 'custody.rejected')
    assert.equal(stub.seen.length, i + 1)
  }
})
