import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { bareSuccess, startSealedStub } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const client = (maxRetries = 0) =>
  new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', clock: impatientClock(), maxRetries })

/** Names in both spellings, all of which belong to the author of the document. */
const document = { schema: 'mqtt-policy/1', 'x-made_by': { line_no: 4 }, rules: [{ id: 'a_b', maxQos: 1 }] }
const wire = { id: 'pol_1', active_revision: 2, latest_revision: 3, version: 4, created_at: 'then' }
const own = { id: 'pol_1', activeRevision: 2, latestRevision: 3, version: 4, createdAt: 'then' }

const calls: {
  name: string
  run: (sdk: Sealwire) => Promise<unknown>
  asks: [method: string, url: string, body?: unknown]
  data: unknown
  gives: unknown
}[] = [
  {
    name: 'create',
    run: (sdk) => sdk.policies.create({ name: 'plant', document }),
    asks: ['POST', '/api/v2/policies', { name: 'plant', document }],
    data: wire,
    gives: own,
  },
  {
    name: 'list',
    run: (sdk) => sdk.policies.list(),
    asks: ['GET', '/api/v2/policies?limit=200'],
    data: [wire],
    gives: [own],
  },
  {
    name: 'get',
    run: (sdk) => sdk.policies.get('../x'),
    asks: ['GET', '/api/v2/policies/..%2Fx'],
    data: { ...wire, document },
    gives: { ...own, document },
  },
  {
    name: 'update to a draft',
    run: (sdk) => sdk.policies.update({ id: 'pol_1', version: 3 }, { document, activate: false }),
    asks: ['PATCH', '/api/v2/policies/pol_1', { document, activate: false }],
    data: wire,
    gives: own,
  },
  {
    name: 'update to an older revision',
    run: (sdk) => sdk.policies.update({ id: 'pol_1', version: 3 }, { name: 'b', activateRevision: 1 }),
    asks: ['PATCH', '/api/v2/policies/pol_1', { name: 'b', activate_revision: 1 }],
    data: wire,
    gives: own,
  },
  {
    name: 'remove',
    run: (sdk) => sdk.policies.remove({ id: 'pol_1', version: 3 }),
    asks: ['DELETE', '/api/v2/policies/pol_1'],
    data: { id: 'pol_1', deleted: true },
    gives: undefined,
  },
  {
    name: 'revisions',
    run: (sdk) => sdk.policies.revisions('pol_1'),
    asks: ['GET', '/api/v2/policies/pol_1/revisions?limit=200'],
    data: [{ revision: 2, created_by: 'key_1' }],
    gives: [{ revision: 2, createdBy: 'key_1' }],
  },
  {
    name: 'revision',
    run: (sdk) => sdk.policies.revision('pol_1', 2),
    asks: ['GET', '/api/v2/policies/pol_1/revisions/2'],
    data: { revision: 2, created_by: 'key_1', document },
    gives: { revision: 2, createdBy: 'key_1', document },
  },
  {
    name: 'validate',
    run: (sdk) => sdk.policies.validate(document),
    asks: ['POST', '/api/v2/policies/validate', { document }],
    data: { valid: true, problems: [], warnings: [], rules: 1, tests: { run: 0, failed: 0 } },
    gives: { valid: true, problems: [], warnings: [], rules: 1, tests: { run: 0, failed: 0 } },
  },
  {
    name: 'simulate a stored policy',
    run: (sdk) =>
      sdk.policies.simulate({
        policyId: 'pol_1',
        revision: 2,
        identity: { clientId: 'd1', claims: { line_no: 4 } },
        requests: [{ action: 'publish', topic: 'a/b', qos: 1 }],
        trace: false,
      }),
    asks: [
      'POST',
      '/api/v2/policies/simulate',
      {
        policy_id: 'pol_1',
        revision: 2,
        identity: { clientId: 'd1', claims: { line_no: 4 } },
        requests: [{ action: 'publish', topic: 'a/b', qos: 1 }],
        trace: false,
      },
    ],
    data: { policy_id: 'pol_1', revision: 2, decisions: [{ decision: 'allow', rule: 'a_b' }] },
    gives: { policyId: 'pol_1', revision: 2, decisions: [{ decision: 'allow', rule: 'a_b' }] },
  },
  {
    name: 'simulate a document',
    run: (sdk) => sdk.policies.simulate({ document, identity: {}, requests: [{ action: 'connect' }] }),
    asks: ['POST', '/api/v2/policies/simulate', { document, identity: {}, requests: [{ action: 'connect' }] }],
    data: { policy_id: null, revision: null, decisions: [] },
    gives: { policyId: null, revision: null, decisions: [] },
  },
  {
    name: 'import',
    run: (sdk) =>
      sdk.policies.import({
        dialect: 'cloudsignal',
        input: { default_action: 'deny' },
        options: { stripLeadingSlash: true },
      }),
    asks: [
      'POST',
      '/api/v2/policies/import',
      { dialect: 'cloudsignal', input: { default_action: 'deny' }, options: { strip_leading_slash: true } },
    ],
    data: { document, notes: [{ path: 'rules[0]', kind: 'stricter', message: 'x' }] },
    gives: { document, notes: [{ path: 'rules[0]', kind: 'stricter', message: 'x' }] },
  },
  {
    name: 'presets',
    run: (sdk) => sdk.policies.presets({ namespace: 'a/b' }),
    asks: ['GET', '/api/v2/policies/presets?namespace=a%2Fb'],
    data: [{ name: 'chat', description: 'rooms', document }],
    gives: [{ name: 'chat', description: 'rooms', document }],
  },
]

describe('each call sends the wire names, returns camelCase, and leaves documents and identities as they are', () => {
  for (const { name, run, asks, data, gives } of calls) {
    test(name, async () => {
      stub.answerWith(() => bareSuccess(data))
      assert.deepEqual(await run(client()), gives)
      const [request] = stub.seen
      const body = request?.body.length ? (JSON.parse(Buffer.from(request.body).toString()) as unknown) : undefined
      assert.deepEqual([request?.method, request?.url, ...(body === undefined ? [] : [body])], asks)
      assert.equal(request?.headers['if-match'], /update|remove/.test(name) ? '"3"' : undefined)
      assert.equal(request?.headers['idempotency-key'] !== undefined, /create|update/.test(name))
    })
  }
})

test('what only reads is repeated when the connection breaks; a deletion, which may have been made, is not', async () => {
  stub.answerWith(() => 'break the connection')
  await failureOf(client(1).policies.validate(document))
  assert.equal(stub.seen.length, 2)
  await failureOf(client(1).policies.remove({ id: 'pol_1', version: 1 }))
  assert.equal(stub.seen.length, 3)
})

test('a refused document throws with every problem in its details', async () => {
  const problems = [{ path: 'rules[0].effect', message: 'required' }]
  stub.answerWith(() => ({
    status: 422,
    body: JSON.stringify({
      success: false,
      data: null,
      error: { code: 'policy.invalid', message: 'no', details: { problems }, type: '', title: '', status: 422 },
      meta: { request_id: 'req_1' },
    }),
  }))
  const error = await failureOf(client().policies.create({ document }))
  assert.deepEqual([error.code, error.outcome, error.details], ['policy.invalid', 'rejected', { problems }])
})

test("an integration takes a policy and guards, whose names are its author's, and gives them up with null", async () => {
  const guards = { 'rate-limit': { enabled: true, 'key-by': 'client_id' } }
  stub.answerWith(() => bareSuccess({ id: 'int_1', policy_id: 'pol_1', guards, revision: 2 }))
  const changed = await client().integrations.update({ id: 'int_1', revision: 1 }, { policyId: 'pol_1', guards })
  assert.deepEqual([changed.policyId, changed.guards], ['pol_1', guards])
  await client().integrations.update({ id: 'int_1', revision: 2 }, { policyId: null, guards: null })
  const bodies = stub.seen.map(({ body }) => JSON.parse(Buffer.from(body).toString()) as unknown)
  assert.deepEqual(bodies, [
    { policy_id: 'pol_1', guards },
    { policy_id: null, guards: null },
  ])
})
