import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { newId } from '#src/core/ids.ts'
import { type Reply, succeed } from '#test/support/api-server.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
let closed: { id: string }
let unreachable: { id: string }
let narrow: string

before(async () => {
  plant = await startPlant()
  closed = await plant.integrate({ allowed_operations: ['subscribe'] })
  unreachable = await plant.integrate({ credential_id: await plant.sealCredential({ port: 1 + 65_534 }) })
  const body = { name: 'narrow', role: 'editor', scopes: ['proxy:subscribe'] }
  narrow = (await succeed(plant.api.call('POST', '/api/v2/security/api-keys', { body }), 201)).secret
  await publish({ integration_id: plant.integrationId, payload: { message: 'first' } }, { 'idempotency-key': 'taken' })
})
after(() => plant.close())

function publish(body: object, headers: Record<string, string> = {}, key?: string) {
  return plant.api.call('POST', '/api/v2/proxy/outbound', {
    body: { operation: 'publish', ...body },
    headers,
    ...(key === undefined ? {} : { key }),
  })
}

interface Step {
  rule: string
  send: () => Promise<Reply>
  code: string
  /** Where several rules share a code. */
  says?: RegExp
}

/** Each request breaks the rule that it is named after and every later one; the earliest must answer. */
const steps: readonly Step[] = [
  { rule: 'size', send: () => publish({ padding: 'x'.repeat(1024 * 1024) }, {}, 'nobody'), code: 'request.too_large' },
  {
    rule: 'media type',
    send: () => publish({}, { 'content-encoding': 'gzip' }, 'nobody'),
    code: 'request.unsupported_media',
  },
  { rule: 'API key', send: () => publish({ unknown: 1 }, {}, 'nobody'), code: 'auth.unauthenticated' },
  {
    rule: 'envelope nonce',
    send: () => publish({ unknown: 1 }, { 'envelope-nonce': 'short' }),
    code: 'request.invalid',
    says: /^Envelope-Nonce:/,
  },
  {
    rule: 'body',
    send: () => publish({ unknown: 1 }, { 'idempotency-key': 'taken' }),
    code: 'request.invalid',
    says: /^body\b/,
  },
  {
    rule: 'idempotency',
    send: () => publish({ integration_id: newId('int'), payload: { message: '2' } }, { 'idempotency-key': 'taken' }),
    code: 'idempotency.mismatch',
  },
  {
    rule: 'scope of the operation',
    send: () => publish({ integration_id: newId('int'), payload: { message: '1' } }, {}, narrow),
    code: 'auth.forbidden',
  },
  {
    rule: 'integration',
    send: () => publish({ integration_id: newId('int'), payload: { topic: '#', message: '1' } }),
    code: 'object.not_found',
  },
  {
    rule: 'allowed_operations',
    send: () => publish({ integration_id: closed.id, payload: { topic: '#', message: '1' } }),
    code: 'operation.not_allowed',
  },
  {
    rule: 'topic',
    send: () => publish({ integration_id: unreachable.id, payload: { topic: '#', message: '1' } }),
    code: 'request.invalid',
    says: /^payload\.topic:/,
  },
  {
    rule: 'policy',
    send: () => publish({ integration_id: unreachable.id, payload: { topic: 'elsewhere', message: '1' } }),
    code: 'policy.denied',
  },
  // Here a place at the signer is taken: "a full signer sends nothing and records no intent" in test/messaging/publish-order.test.ts.
  {
    rule: 'broker',
    send: () => publish({ integration_id: unreachable.id, payload: { message: '1' } }),
    code: 'broker.unreachable',
  },
]

for (const [index, { rule, send, code, says = /./ }] of steps.entries()) {
  test(`check ${index + 1} of a publish is ${rule}: it answers before every later one`, async () => {
    const reply = await send()
    assert.equal(reply.json.error.code, code, reply.text.slice(0, 300))
    assert.match(reply.json.error.message, says)
  })
}

test('a request that breaks none of them is published', async () => {
  await succeed(publish({ integration_id: plant.integrationId, payload: { message: '1' } }))
})

/** How often each code is on the audit log as a refusal. */
async function countRefusals(): Promise<Record<string, number>> {
  const sql = new pg.Client({ connectionString: plant.api.databaseUrl })
  await sql.connect()
  const { rows } = await sql.query<{ code: string; count: number }>(
    `select convert_from(row_bytes, 'UTF8')::json -> 'detail' ->> 'code' as code, count(*)::int as count
     from audit_rows where action = 'request.refused' group by code`,
  )
  await sql.end()
  return Object.fromEntries(rows.map(({ code, count }) => [code, count]))
}

test('every refusal behind the key is on the audit log, once, and none before it', async () => {
  const before = await countRefusals()
  const wanted = { ...before }
  for (const [index, { send, code }] of steps.entries()) {
    const { status } = await send()
    if (index >= 3 && status < 500) wanted[code] = (wanted[code] ?? 0) + 1
  }
  assert.notDeepEqual(wanted, before)
  assert.deepEqual(await countRefusals(), wanted)
})
