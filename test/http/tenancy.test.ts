import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { createTenant } from '#src/app.ts'
import { newId, newUuid } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { operations } from '#src/http/operations.ts'
import { type Reply, succeed } from '#test/support/api-server.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
let stranger: string
let theirs: Record<string, string>

before(async () => {
  plant = await startPlant()
  const { ownerKey } = await createTenant(plant.api.config, { name: 'stranger', sandbox: false }, { log: silentLog })
  stranger = ownerKey.reveal()
  const { api } = plant
  const { key } = await succeed(api.call('POST', '/api/v2/security/api-keys', { body: { name: 'k' } }), 201)
  await succeed(
    api.call('POST', '/api/v2/proxy/outbound', {
      body: { integration_id: plant.integrationId, operation: 'publish', payload: { message: '1' } },
    }),
  )
  const document = { schema: 'mqtt-policy/1', id: 'theirs', rules: [] }
  const policy = await succeed(api.call('POST', '/api/v2/policies', { body: { document } }), 201)
  const recipients = await succeed(api.call('GET', '/api/v2/recipients'))
  const rows = await succeed(api.call('GET', '/api/v2/audit/logs'))
  const body = { type: 'client_id', value: 'c1' }
  const blocked = await succeed(api.call('POST', '/api/v2/clients/blocked', { body }), 201)
  theirs = {
    blocked: blocked.id,
    unauthorised: await addUnauthorised(),
    vault: plant.credentialId,
    integrations: plant.integrationId,
    policies: policy.id,
    'api-keys': key.id,
    recipients: recipients[0].id,
    audit: rows[0].id,
    messages: rows.find((row: { message_id: string | null }) => row.message_id !== null).message_id,
  }
})
after(() => plant.close())

/** Only a broker's question makes one. */
async function addUnauthorised(): Promise<string> {
  const sql = new pg.Client({ connectionString: plant.api.databaseUrl })
  await sql.connect()
  const id = newId('una')
  await sql.query(
    `insert into unauthorised_clients (tenant_id, hook, client_id, id, password_provided, reason, count, first_at, last_at)
     select tenant_id, 'default', 'c1', $1, true, 'unknown-user', 1, now(), now() from vault_entries limit 1`,
    [id],
  )
  await sql.end()
  return id
}

const random: Record<string, () => string> = {
  blocked: () => newId('blk'),
  unauthorised: () => newId('una'),
  vault: () => newUuid(),
  integrations: () => newId('int'),
  policies: () => newId('pol'),
  'api-keys': () => newId('key'),
  recipients: () => newId('rcp'),
  audit: () => newId('aud'),
  messages: () => newId('msg'),
}

/** Bodies that would succeed for an object of one's own. */
const bodies: Record<string, unknown> = {
  'vault.rotate': { values: { hostname: 'h', port: 1883 } },
  'integrations.update': { name: 'taken' },
  'policies.update': { name: 'taken' },
  'integrations.unlock': { custody_key: Buffer.alloc(32).toString('base64url') },
  'recipients.confirm': { proof: Buffer.alloc(64).toString('base64') },
}

/** What may differ between two answers that mean the same: the id and time of the request, and what it left of its quota. */
function comparable({ status, headers, text, json }: Reply): unknown {
  const requestId = json.meta.request_id as string
  const names = [...headers.keys()].filter((name) => !['date', 'ratelimit', 'x-request-id'].includes(name)).sort()
  return {
    status,
    headers: names.map((name) => [name, headers.get(name)]),
    text: text.replaceAll(requestId, 'R').replaceAll(json.meta.timestamp as string, 'T'),
  }
}

const withId = operations.filter((operation) => operation.path.includes('/:id'))

test('the table knows every route with an id', () => {
  assert.ok(withId.length >= 10, `found ${withId.length}`)
})

for (const operation of withId) {
  const kind = Object.keys(random).find((one) => operation.path.includes(`/${one}/`)) ?? ''
  test(`${operation.id}: an id of another tenant answers byte for byte as a random one, and nothing happens`, async () => {
    const call = (id: string) =>
      plant.api.call(operation.method.toUpperCase(), operation.path.replace(':id', id).replace(':revision', '1'), {
        key: stranger,
        headers: { 'if-match': '"1"' },
        ...(bodies[operation.id] === undefined ? {} : { body: bodies[operation.id] }),
      })
    const foreign = await call(theirs[kind] as string)
    const missing = await call((random[kind] as () => string)())
    assert.equal(foreign.status, 404, foreign.text)
    assert.deepEqual(comparable(foreign), comparable(missing))
  })
}

test('proxy.outbound: an integration of another tenant answers byte for byte as a random one', async () => {
  const call = (id: string) =>
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      key: stranger,
      body: { integration_id: id, operation: 'publish', payload: { message: '1' } },
    })
  const foreign = await call(plant.integrationId)
  assert.equal(foreign.status, 404)
  assert.deepEqual(comparable(foreign), comparable(await call(newId('int'))))
})

test('integrations.create: a credential of another tenant answers byte for byte as a random one', async () => {
  const call = (id: string) =>
    plant.api.call('POST', '/api/v2/integrations', {
      key: stranger,
      body: { name: 'x', system_type: 'mqtt', credential_id: id },
    })
  const foreign = await call(plant.credentialId)
  const missing = await call(newUuid())
  assert.equal(foreign.status, 422)
  assert.deepEqual(comparable(foreign), comparable(missing))
})

test('policies.simulate: a policy of another tenant answers byte for byte as a random one', async () => {
  const call = (id: string) =>
    plant.api.call('POST', '/api/v2/policies/simulate', {
      key: stranger,
      body: { policy_id: id, identity: {}, requests: [{ action: 'publish', topic: 'a' }] },
    })
  const foreign = await call(theirs['policies'] as string)
  assert.equal(foreign.status, 404)
  assert.deepEqual(comparable(foreign), comparable(await call(newId('pol'))))
})

test('lists show nothing of another tenant', async () => {
  for (const path of ['/api/v2/vault/entries', '/api/v2/integrations', '/api/v2/policies']) {
    assert.deepEqual(await succeed(plant.api.call('GET', path, { key: stranger })), [], path)
    assert.equal((await succeed(plant.api.call('GET', path))).length > 0, true, path)
  }
})

test('integrations.create: a policy of another tenant answers byte for byte as a random one', async () => {
  const seal = { credential_type: 'custom_kv', values: { hostname: 'h', port: 1883 } }
  const own = await succeed(plant.api.call('POST', '/api/v2/vault/seal', { key: stranger, body: seal }), 201)
  const call = (id: string) =>
    plant.api.call('POST', '/api/v2/integrations', {
      key: stranger,
      body: { name: 'x', system_type: 'mqtt', credential_id: own.id, policy_id: id },
    })
  const foreign = await call(theirs['policies'] as string)
  assert.equal(foreign.status, 422)
  assert.deepEqual(comparable(foreign), comparable(await call(newId('pol'))))
})

test('the list of recipients holds those of the own tenant only', async () => {
  const seen = await succeed(plant.api.call('GET', '/api/v2/recipients', { key: stranger }))
  assert.ok(!seen.some(({ id }: { id: string }) => id === theirs['recipients']))
  const own = await succeed(plant.api.call('GET', '/api/v2/recipients'))
  assert.ok(own.some(({ id }: { id: string }) => id === theirs['recipients']))
})

test('what the stranger tried changed nothing: the owner still publishes', async () => {
  await succeed(
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      body: { integration_id: plant.integrationId, operation: 'publish', payload: { message: '1' } },
    }),
  )
})

test('encryption.decrypt: an answer of another tenant, one with a foreign key id and no envelope at all answer alike', async () => {
  const publish = { integration_id: plant.integrationId, operation: 'publish', payload: { message: '1' } }
  const envelope = await succeed(plant.api.call('POST', '/api/v2/proxy/outbound', { body: publish }))
  const renamed = { ...envelope, encrypted: { ...envelope.encrypted, key_id: newId('kem') } }
  const open = (one: unknown, key?: string) =>
    plant.api.call('POST', '/api/v2/encryption/decrypt', {
      body: { envelope: one },
      ...(key === undefined ? {} : { key }),
    })
  const replies = [await open(envelope, stranger), await open(renamed), await open({}), await open(renamed, stranger)]
  for (const reply of replies) assert.equal(reply.json.error.code, 'envelope.rejected')
  assert.equal(new Set(replies.map((reply) => JSON.stringify(comparable(reply)))).size, 1)
  assert.equal((await open(envelope)).status, 200, 'the twin: its own key opens it')
})
