import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { refused, succeed } from '#test/support/api-server.ts'
import { openAnswer, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant

before(async () => {
  plant = await startPlant()
})
after(() => plant.close())

const publish = (key: string, message = '1', topic = 'sensors/once') =>
  plant.api.call('POST', '/api/v2/proxy/outbound', {
    headers: { 'idempotency-key': key },
    body: { integration_id: plant.integrationId, operation: 'publish', payload: { topic, message } },
  })

/** How often the broker received a PUBLISH on a topic. */
const received = (topic: string) =>
  plant.broker
    .log()
    .split('\n')
    .filter((line) => line.includes('Received PUBLISH') && line.includes(`'${topic}'`)).length

test('the same request with the same key publishes once; the replay is sealed anew and says so', async () => {
  const first = await succeed(publish('order-1'))
  const second = await succeed(publish('order-1'))
  assert.notEqual(first.encrypted.ciphertext_data, second.encrypted.ciphertext_data)
  const [a, b] = [await openAnswer(plant.api, first), await openAnswer(plant.api, second)]
  assert.equal(a.data.replayed, undefined)
  assert.equal(b.data.replayed, true)
  assert.equal(b.data.message_id, a.data.message_id)
  assert.equal(received('sensors/once'), 1)
})

test('the same key for another request is 422, and another key publishes again', async () => {
  await succeed(publish('order-2', '1', 'sensors/other'))
  await refused(publish('order-2', '2', 'sensors/other'), 422, 'idempotency.mismatch')
  assert.equal(received('sensors/other'), 1)
  await succeed(publish('order-3', '2', 'sensors/other'))
  assert.equal(received('sensors/other'), 2)
})

test('fifty requests at once with one key publish once; the rest are replays or 409', async () => {
  const replies = await Promise.all(Array.from({ length: 50 }, () => publish('order-50', '1', 'sensors/fifty')))
  const statuses = replies.map(({ status }) => status)
  assert.ok(
    statuses.every((status) => status === 200 || status === 202 || status === 409),
    statuses.join(),
  )
  assert.ok(statuses.some((status) => status !== 409))
  assert.equal(received('sensors/fifty'), 1)
})

test('a refusal that proves that nothing was sent frees the key', async () => {
  const { id, revision } = await plant.integrate({ allowed_operations: [] })
  const call = () =>
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      headers: { 'idempotency-key': 'order-4' },
      body: { integration_id: id, operation: 'publish', payload: { message: '1' } },
    })
  await refused(call(), 403, 'operation.not_allowed')
  await succeed(
    plant.api.call('PATCH', `/api/v2/integrations/${id}`, {
      headers: { 'if-match': `"${revision}"` },
      body: { allowed_operations: ['publish'] },
    }),
  )
  await succeed(call())
})

test('sealing with a key makes one entry', async () => {
  const call = () =>
    plant.api.call('POST', '/api/v2/vault/seal', {
      headers: { 'idempotency-key': 'seal-1' },
      body: { credential_type: 'custom_kv', values: { hostname: 'h', port: 1883 } },
    })
  const [first, second] = [await succeed(call(), 201), await succeed(call(), 201)]
  assert.equal(second.id, first.id)
})

test('answers that hold message bodies are not kept: a collect with the same key runs again', async () => {
  const call = () =>
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      headers: { 'idempotency-key': 'collect-1' },
      body: { integration_id: plant.integrationId, operation: 'subscribe', payload: { wait_ms: 0 } },
    })
  const first = await openAnswer(plant.api, await succeed(call()))
  const second = await openAnswer(plant.api, await succeed(call()))
  assert.equal(first.data.replayed, undefined)
  assert.equal(second.data.replayed, undefined)
})

for (const key of ['a b', 'x'.repeat(256), 'a/b', 'a,b']) {
  test(`the key ${JSON.stringify(key.slice(0, 10))} (${key.length} characters) is refused`, async () => {
    await refused(publish(key), 400, 'request.invalid')
  })
}

test('a key of 255 characters is accepted', async () => {
  await succeed(publish('x'.repeat(255)))
})

test('a key where none is taken is refused, so that nobody relies on it', async () => {
  await refused(
    plant.api.call('POST', '/api/v2/security/api-keys', { headers: { 'idempotency-key': 'k' }, body: { name: 'k' } }),
    400,
    'request.invalid',
  )
})
