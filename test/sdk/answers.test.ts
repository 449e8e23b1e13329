import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { bareRefusal, bareSuccess, type FullAnswer, startSealedStub } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const client = () => new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', clock: impatientClock(), maxRetries: 0 })
const ID = '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e10'

/** Every call that needs no envelope: what it asks for, and what it makes of the answer. */
const calls: {
  name: string
  run: (sdk: Sealwire) => Promise<unknown>
  asks: [method: string, url: string, body?: unknown]
  data: unknown
  gives: unknown
}[] = [
  {
    name: 'vault.seal',
    run: (sdk) => sdk.vault.seal({ credentialType: 'custom_kv', values: { ca_cert: 'x' }, ttlDays: 90 }),
    asks: ['POST', '/api/v2/vault/seal', { credential_type: 'custom_kv', values: { ca_cert: 'x' }, ttl_days: 90 }],
    data: { id: ID, credential_id: ID, metadata: { line_no: 4 } },
    gives: { id: ID, credentialId: ID, metadata: { line_no: 4 } },
  },
  {
    name: 'vault.unseal',
    run: (sdk) => sdk.vault.unseal(ID),
    asks: ['POST', `/api/v2/vault/unseal/${ID}`, {}],
    data: { id: ID, credential_type: 'custom_kv', values: { client_cert: 'x' } },
    gives: { id: ID, credentialType: 'custom_kv', values: { client_cert: 'x' } },
  },
  {
    name: 'vault.list',
    run: (sdk) => sdk.vault.list(),
    asks: ['GET', '/api/v2/vault/entries?limit=200'],
    data: [],
    gives: [],
  },
  {
    name: 'vault.get',
    run: (sdk) => sdk.vault.get('../x?y'),
    asks: ['GET', '/api/v2/vault/entries/..%2Fx%3Fy'],
    data: { id: ID },
    gives: { id: ID },
  },
  {
    name: 'vault.versions',
    run: (sdk) => sdk.vault.versions(ID),
    asks: ['GET', `/api/v2/vault/entries/${ID}/versions`],
    data: [{ version: 1, is_current: true }],
    gives: [{ version: 1, isCurrent: true }],
  },
  {
    name: 'vault.rotate',
    run: (sdk) => sdk.vault.rotate(ID, { password: 'new' }),
    asks: ['POST', `/api/v2/vault/rotate/${ID}`, { values: { password: 'new' } }],
    data: { id: ID, version: 2 },
    gives: { id: ID, version: 2 },
  },
  {
    name: 'vault.remove',
    run: (sdk) => sdk.vault.remove(ID),
    asks: ['DELETE', `/api/v2/vault/entries/${ID}`],
    data: { id: ID, deleted: true },
    gives: undefined,
  },
  {
    name: 'integrations.create',
    run: (sdk) =>
      sdk.integrations.create({
        name: 'line 4',
        systemType: 'mqtt',
        credentialId: ID,
        allowedOperations: ['publish'],
        config: { topics: ['a/#'], protocolVersion: 5, limits: { maxTopicBytes: 64 } },
      }),
    asks: [
      'POST',
      '/api/v2/integrations',
      {
        name: 'line 4',
        system_type: 'mqtt',
        credential_id: ID,
        allowed_operations: ['publish'],
        config: { topics: ['a/#'], protocol_version: 5, limits: { max_topic_bytes: 64 } },
      },
    ],
    data: { id: 'int_1', posture: { tls_version: null } },
    gives: { id: 'int_1', posture: { tlsVersion: null } },
  },
  {
    name: 'integrations.list',
    run: async (sdk) => [...(await sdk.integrations.list())],
    asks: ['GET', '/api/v2/integrations?limit=200'],
    data: [],
    gives: [],
  },
  {
    name: 'integrations.get',
    run: (sdk) => sdk.integrations.get('int_1'),
    asks: ['GET', '/api/v2/integrations/int_1'],
    data: { id: 'int_1' },
    gives: { id: 'int_1' },
  },
  {
    name: 'integrations.update',
    run: (sdk) => sdk.integrations.update({ id: 'int_1', revision: 3 }, { allowedOperations: [] }),
    asks: ['PATCH', '/api/v2/integrations/int_1', { allowed_operations: [] }],
    data: { revision: 4 },
    gives: { revision: 4 },
  },
  {
    name: 'integrations.remove',
    run: (sdk) => sdk.integrations.remove({ id: 'int_1', revision: 3 }),
    asks: ['DELETE', '/api/v2/integrations/int_1'],
    data: { deleted: true },
    gives: undefined,
  },
  {
    name: 'integrations.test',
    run: (sdk) => sdk.integrations.test('int_1'),
    asks: ['POST', '/api/v2/integrations/int_1/test', {}],
    data: { connected: true, latency_ms: 3 },
    gives: { connected: true, latencyMs: 3 },
  },
  {
    name: 'recipients.list',
    run: (sdk) => sdk.recipients.list(),
    asks: ['GET', '/api/v2/recipients?limit=200'],
    data: [{ api_key_id: 'key_1' }],
    gives: [{ apiKeyId: 'key_1' }],
  },
  {
    name: 'recipients.revoke',
    run: (sdk) => sdk.recipients.revoke('rcp_1'),
    asks: ['DELETE', '/api/v2/recipients/rcp_1'],
    data: { state: 'revoked' },
    gives: { state: 'revoked' },
  },
  {
    name: 'apiKeys.create',
    run: (sdk) => sdk.apiKeys.create({ name: 'line 4', role: 'editor', allowedAddresses: ['10.0.0.0/8'] }),
    asks: ['POST', '/api/v2/security/api-keys', { name: 'line 4', role: 'editor', allowed_addresses: ['10.0.0.0/8'] }],
    data: { key: { key_prefix: 'qs_live_01' }, secret: 'qs_live_01…' },
    gives: { key: { keyPrefix: 'qs_live_01' }, secret: 'qs_live_01…' },
  },
  {
    name: 'apiKeys.list',
    run: (sdk) => sdk.apiKeys.list(),
    asks: ['GET', '/api/v2/security/api-keys?limit=200'],
    data: [],
    gives: [],
  },
  {
    name: 'apiKeys.revoke',
    run: (sdk) => sdk.apiKeys.revoke('key_1'),
    asks: ['DELETE', '/api/v2/security/api-keys/key_1'],
    data: { id: 'key_1' },
    gives: undefined,
  },
]

describe('each call sends the wire names and returns camelCase', () => {
  for (const { name, run, asks, data, gives } of calls) {
    test(name, async () => {
      stub.answerWith(() => bareSuccess(data))
      assert.deepEqual(await run(client()), gives)
      const [request] = stub.seen
      const body = request?.body.length ? (JSON.parse(Buffer.from(request.body).toString()) as unknown) : undefined
      assert.deepEqual([request?.method, request?.url, ...(body === undefined ? [] : [body])], asks)
      assert.equal(request?.headers['x-api-key'], 'qs_test_key')
      assert.equal(request?.headers['if-match'], /update|integrations\.remove/.test(name) ? '"3"' : undefined)
    })
  }
})

test('a member named __proto__ in an answer stays a member', async () => {
  stub.answerWith(() => ({
    status: 200,
    body: '{"success":true,"data":{"__proto__":{"isAdmin":true},"id":"x"},"error":null}',
  }))
  const entry = await client().vault.get('x')
  assert.equal((entry as unknown as { isAdmin?: boolean }).isAdmin, undefined)
  assert.equal(Object.getPrototypeOf(entry), Object.prototype)
})

describe('a failed call says what is known', () => {
  const deep = `${'['.repeat(40)}${']'.repeat(40)}`
  const cases: { what: string; answer: FullAnswer; code: string; outcome: string }[] = [
    { what: 'a refusal', answer: bareRefusal(404, 'object.not_found'), code: 'object.not_found', outcome: 'rejected' },
    {
      what: 'a database that is down',
      answer: bareRefusal(503, 'database.unavailable'),
      code: 'database.unavailable',
      outcome: 'unavailable',
    },
    { what: 'an internal error', answer: bareRefusal(500, 'internal'), code: 'internal', outcome: 'unknown' },
    {
      what: 'a refusal under status 200',
      answer: bareRefusal(200, 'object.not_found'),
      code: 'answer.invalid',
      outcome: 'unknown',
    },
    { what: 'a page of a proxy', answer: { status: 502, body: '<html>' }, code: 'answer.invalid', outcome: 'unknown' },
    {
      what: 'a duplicate member',
      answer: { status: 200, body: '{"success":true,"data":1,"data":2}' },
      code: 'answer.invalid',
      outcome: 'unknown',
    },
    {
      what: 'an answer nested too deep',
      answer: { status: 200, body: `{"success":true,"data":${deep}}` },
      code: 'answer.invalid',
      outcome: 'unknown',
    },
  ]
  for (const { what, answer, code, outcome } of cases) {
    test(what, async () => {
      stub.answerWith(() => answer)
      const error = await failureOf(client().vault.list())
      assert.deepEqual([error.code, error.outcome], [code, outcome])
    })
  }
})

test('a redirect is not followed, so the API key goes nowhere else', async (t) => {
  const elsewhere = await startSealedStub()
  t.after(() => elsewhere.close())
  stub.answerWith(() => ({ status: 307, headers: { Location: `${elsewhere.url}/api/v2/vault/entries` }, body: '' }))
  const error = await failureOf(client().vault.list())
  assert.equal(error.code, 'answer.invalid')
  assert.match(error.message, /redirect/)
  assert.equal(elsewhere.seen.length, 0)
})

test('an answer over 16 MiB is refused; one below is read', async () => {
  const ofBytes = (length: number) => ({
    status: 200,
    body: JSON.stringify({ success: true, data: 'x'.repeat(length), error: null }),
  })
  stub.answerWith(() => ofBytes(16 * 1024 * 1024))
  assert.equal((await failureOf(client().vault.get(ID))).code, 'answer.too_large')
  stub.answerWith(() => ofBytes(15 * 1024 * 1024))
  const read: unknown = await client().vault.get(ID)
  assert.equal((read as string).length, 15 * 1024 * 1024)
})

describe('base URL', () => {
  const cases = [
    { baseUrl: 'sealwire.example', ok: false },
    { baseUrl: 'ftp://sealwire.example', ok: false },
    { baseUrl: 'https://user:pw@sealwire.example', ok: false },
    { baseUrl: 'https://sealwire.example/?a', ok: false },
    { baseUrl: 'https://sealwire.example/api/v2', ok: false },
    { baseUrl: 'https://sealwire.example/', ok: true },
    { baseUrl: 'https://sealwire.example/prefix/', ok: true },
  ]
  for (const { baseUrl, ok } of cases) {
    test(`${baseUrl} is ${ok ? 'taken' : 'refused'}`, () => {
      const make = () => new Sealwire({ baseUrl })
      if (ok) assert.doesNotThrow(make)
      else assert.throws(make, { code: 'request.invalid' })
    })
  }
})

test('without an API key a call is refused here; without a recipient a proxy call says how to enrol', async () => {
  const sdk = new Sealwire({ baseUrl: stub.url })
  assert.equal((await failureOf(sdk.vault.list())).code, 'auth.unauthenticated')
  const error = await failureOf(client().proxy.publish({ integrationId: 'int_1', message: 'x' }))
  assert.deepEqual([error.code, error.outcome, stub.seen.length], ['recipient.required', 'rejected', 0])
  assert.match(error.message, /sealwire recipients enroll/)
})

test('an API key or an idempotency key that cannot stand in a header is refused here, and not shown', async () => {
  const isRefused = (err: Error & { code?: string }) => err.code === 'request.invalid' && !err.message.includes('qs_')
  assert.throws(() => new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test\nkey' }), isRefused)
  const { url, recipient } = stub
  const sdk = new Sealwire({ baseUrl: url, apiKey: 'qs_test_key', recipient })
  const input = { integrationId: 'int_1', message: 'x' }
  assert.equal((await failureOf(sdk.proxy.publish(input, { idempotencyKey: 'a b' }))).code, 'request.invalid')
  assert.equal(stub.seen.length, 0)
})
