import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { createTenant } from '#src/app.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { refused, succeed } from '#test/support/api-server.ts'
import { openAnswer, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
before(async () => {
  plant = await startPlant()
})
after(() => plant.close())

const ask = (id: string, key?: string) =>
  plant.api.call('GET', `/api/v2/proxy/messages/${id}`, { ...(key !== undefined && { key }) })
const statusOf = async (id: string) => (await openAnswer(plant.api, await succeed(ask(id), 200))).data
async function publish(payload: object) {
  const body = { integration_id: plant.integrationId, operation: 'publish', payload }
  return (await openAnswer(plant.api, await succeed(plant.api.call('POST', '/api/v2/proxy/outbound', { body })))).data
}

test('a publish is told by its id: what was forwarded, and what the broker said', async () => {
  const published = await publish({ topic: 'sensors/asked', message: '1', qos: 2, retain: true })
  const status = await statusOf(published.message_id)
  assert.deepEqual(
    [status.message_id, status.integration_id, status.state, status.code, status.late],
    [published.message_id, plant.integrationId, 'acknowledged', null, null],
  )
  assert.deepEqual([status.topic, status.qos, status.retain], ['sensors/asked', 2, true])
  assert.ok(status.intended_at <= status.settled_at)
  assert.equal(status.reason_code, published.reason_code)
})

test('QoS 0 is sent, and no more is claimed', async () => {
  const { message_id: id } = await publish({ message: '1', qos: 0 })
  const status = await statusOf(id)
  assert.deepEqual([status.state, status.qos, status.reason_code], ['sent', 0, null])
})

test('a broker that is not there: unavailable, and the code that was answered', async () => {
  const nobody = createServer().listen(0, '127.0.0.1')
  await once(nobody, 'listening')
  const { port } = nobody.address() as AddressInfo
  await once(nobody.close(), 'close')
  const credentialId = await plant.sealCredential({ port })
  const { id } = await plant.integrate({ credential_id: credentialId })
  const body = { integration_id: id, operation: 'publish', payload: { message: '1' } }
  const reply = await refused(plant.api.call('POST', '/api/v2/proxy/outbound', { body }), 503, 'broker.unreachable')
  const rows = await succeed(plant.api.call('GET', `/api/v2/audit/logs?request_id=${reply.json.meta.request_id}`))
  const status = await statusOf(rows[0].message_id)
  assert.deepEqual([status.state, status.code, status.integration_id], ['unavailable', 'broker.unreachable', id])
})

test('a batch is told as a whole and message by message', async () => {
  const { message_id: id } = await publish({
    messages: [
      { topic: 'sensors/a', message: '1', qos: 1 },
      { topic: 'forbidden/b', message: '2', qos: 1 },
      { topic: 'sensors/c', message: '3', qos: 0 },
    ],
  })
  const whole = await statusOf(id)
  assert.deepEqual([whole.state, whole.topic], ['mixed', null])
  assert.deepEqual(whole.items, { acknowledged: 1, sent: 1, rejected: 0, unavailable: 0, denied: 1, unknown: 0 })
  const states = await Promise.all([0, 1, 2].map(async (item) => (await statusOf(`${id}.${item}`)).state))
  assert.deepEqual(states, ['acknowledged', 'denied', 'sent'])
  await refused(ask(`${id}.3`), 404, 'object.not_found')
})

test('an id that is none, one that nobody has, a dry run and an item of no batch: the same 404', async () => {
  const { message_id: id } = await publish({ message: '1' })
  const body = { integration_id: plant.integrationId, operation: 'publish', payload: { message: '1' }, dry_run: true }
  const dry = await plant.api.call('POST', '/api/v2/proxy/outbound', { body })
  const rows = await succeed(plant.api.call('GET', `/api/v2/audit/logs?request_id=${dry.json.meta.request_id}`))
  const strangers = [newId('msg'), newId('int'), 'msg_1', `${id}.0`, `${id}.01`, `${id}.1000`, rows[0].message_id]
  const texts = new Set<string>()
  for (const stranger of strangers) {
    const { text, json } = await refused(ask(stranger), 404, 'object.not_found')
    texts.add(text.replace(json.meta.request_id, 'R').replace(json.meta.timestamp, 'T'))
  }
  assert.equal(texts.size, 1)
})

test('a message of another tenant, or one of its batch, is a message that nobody has', async () => {
  const { message_id: id } = await publish({ message: '1' })
  const { message_id: batchId } = await publish({ messages: [{ message: '1' }] })
  const { ownerKey } = await createTenant(plant.api.config, { name: 'curious', sandbox: false }, { log: silentLog })
  for (const stranger of [id, batchId, `${batchId}.0`]) {
    await succeed(ask(stranger), 200)
    await refused(ask(stranger, ownerKey.reveal()), 404, 'object.not_found')
  }
})

test('it takes the scope proxy:publish, and no row is left by reading', async () => {
  const { message_id: id } = await publish({ message: '1' })
  const viewer = await succeed(
    plant.api.call('POST', '/api/v2/security/api-keys', { body: { name: 'v', role: 'viewer' } }),
    201,
  )
  await refused(ask(id, viewer.secret ?? viewer.key), 403, 'auth.forbidden')
  const before = await succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=1'))
  await succeed(ask(id))
  const after = await succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=1'))
  assert.equal(after[0].seq, before[0].seq)
})
