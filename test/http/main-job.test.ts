import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { refused, succeed } from '#test/support/api-server.ts'
import { openAnswer, PASSWORD, type Plant, startPlant } from '#test/support/plant.ts'
import { subscribeOnce } from '#test/support/subscriber.ts'

const run = promisify(execFile)
let plant: Plant

before(async () => {
  plant = await startPlant()
})
after(() => plant.close())

test('the documented curl call publishes, a subscriber sees 22.5, and the decrypt route opens the answer', async () => {
  const { api, broker, integrationId } = plant
  const seen = await subscribeOnce(broker.ports.tcp, 'sensors/temperature', {
    username: 'sealwire',
    password: PASSWORD,
  })
  const body = `{"integration_id":"${integrationId}","operation":"publish","payload":{"topic":"sensors/temperature","message":"22.5","qos":1}}`
  const headers = ['-H', `X-API-Key: ${api.ownerKey}`, '-H', 'Content-Type: application/json']
  const { stdout } = await run('curl', [
    '-sS',
    '-X',
    'POST',
    `${api.url}/api/v2/proxy/outbound`,
    ...headers,
    '-d',
    body,
  ])
  const { topic, payload } = await seen.message
  assert.equal(topic, 'sensors/temperature')
  assert.equal(payload.toString(), '22.5')

  const answer = JSON.parse(stdout)
  assert.equal(answer.success, true)
  const opened = await openAnswer(api, answer.data)
  assert.equal(opened.success, true)
  assert.equal(opened.data.outcome, 'acknowledged')
  assert.equal(opened.data.topic, 'sensors/temperature')
})

test('an answer opens once, with the right key, and never for another API key of the same tenant', async () => {
  const { api, integrationId } = plant
  const body = { integration_id: integrationId, operation: 'publish', payload: { message: '1' } }
  const envelope = await succeed(api.call('POST', '/api/v2/proxy/outbound', { body }))
  const other = await succeed(
    api.call('POST', '/api/v2/security/api-keys', { body: { name: 'other', role: 'editor' } }),
    201,
  )
  await refused(
    api.call('POST', '/api/v2/encryption/decrypt', { key: other.secret, body: { envelope } }),
    400,
    'envelope.rejected',
  )
  assert.equal((await openAnswer(api, envelope)).data.outcome, 'acknowledged')
  await refused(api.call('POST', '/api/v2/encryption/decrypt', { body: { envelope } }), 400, 'envelope.replay')
})

test('subscribe collects what arrives and says what was granted', async () => {
  const { api, integrationId } = plant
  const publish = (message: string) => ({
    body: {
      integration_id: integrationId,
      operation: 'publish',
      payload: { topic: 'sensors/kept', message, retain: true },
    },
  })
  await succeed(api.call('POST', '/api/v2/proxy/outbound', publish('21.0')))
  const subscribe = {
    integration_id: integrationId,
    operation: 'subscribe',
    payload: { topic: 'sensors/kept', max_messages: 1, wait_ms: 5000 },
  }
  const opened = await openAnswer(api, await succeed(api.call('POST', '/api/v2/proxy/outbound', { body: subscribe })))
  assert.equal(opened.data.granted_qos, 1)
  assert.deepEqual(
    opened.data.messages.map(({ topic, message, encoding, retain }: Record<string, unknown>) => ({
      topic,
      message,
      encoding,
      retain,
    })),
    [{ topic: 'sensors/kept', message: '21.0', encoding: 'utf8', retain: true }],
  )
})

for (const { name, payload, bytes } of [
  { name: 'utf8', payload: { message: 'grün' }, bytes: Buffer.from('grün') },
  { name: 'base64', payload: { message: 'AP8Q', encoding: 'base64' }, bytes: Buffer.from([0, 255, 16]) },
  { name: 'json', payload: { message: { a: [1, null] }, encoding: 'json' }, bytes: Buffer.from('{"a":[1,null]}') },
]) {
  for (const qos of [0, 1, 2] as const) {
    test(`${name} at QoS ${qos} arrives byte for byte, with the status of its outcome`, async () => {
      const { api, broker, integrationId } = plant
      const topic = `sensors/${name}/${qos}`
      const seen = await subscribeOnce(broker.ports.tcp, topic, { username: 'sealwire', password: PASSWORD })
      const reply = await api.call('POST', '/api/v2/proxy/outbound', {
        body: { integration_id: integrationId, operation: 'publish', payload: { topic, qos, ...payload } },
      })
      assert.equal(reply.status, qos === 0 ? 202 : 200)
      const opened = await openAnswer(api, reply.json.data)
      assert.equal(opened.data.outcome, qos === 0 ? 'sent' : 'acknowledged')
      assert.deepEqual((await seen.message).payload, bytes)
    })
  }
}

test('a wrong password is 502 with the reason, and works after rotate without touching the integration', async () => {
  const { api, sealCredential, integrate } = plant
  const credential = await sealCredential({ password: 'wrong' })
  const { id } = await integrate({ credential_id: credential })
  const publish = { body: { integration_id: id, operation: 'publish', payload: { message: '1' } } }
  const reply = await refused(api.call('POST', '/api/v2/proxy/outbound', publish), 502, 'broker.rejected')
  assert.equal(reply.json.error.details.reason_code, 135)
  const { broker } = plant
  const values = { hostname: '127.0.0.1', port: broker.ports.tcp, username: 'sealwire', password: PASSWORD }
  const rotated = await succeed(api.call('POST', `/api/v2/vault/rotate/${credential}`, { body: { values } }), 200)
  assert.equal(rotated.version, 2)
  const opened = await openAnswer(api, await succeed(api.call('POST', '/api/v2/proxy/outbound', publish)))
  assert.equal(opened.data.outcome, 'acknowledged')
})

test('dry_run runs every check and sends nothing', async () => {
  const { api, broker, integrationId } = plant
  const body = {
    integration_id: integrationId,
    operation: 'publish',
    dry_run: true,
    payload: { topic: 'sensors/never', message: '1' },
  }
  const opened = await openAnswer(api, await succeed(api.call('POST', '/api/v2/proxy/outbound', { body })))
  assert.equal(opened.data.allowed, true)
  assert.doesNotMatch(broker.log(), /sensors\/never/)
})
