import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import mqttPacket from 'mqtt-packet'
import { refused, succeed } from '#test/support/api-server.ts'
import { openAnswer, PASSWORD, type Plant, startPlant } from '#test/support/plant.ts'
import { subscribeOnce } from '#test/support/subscriber.ts'

let plant: Plant

before(async () => {
  plant = await startPlant()
})
after(() => plant.close())

const publish = (payload: object) =>
  plant.api.call('POST', '/api/v2/proxy/outbound', {
    body: { integration_id: plant.integrationId, operation: 'publish', payload },
  })
const ours = () =>
  plant.broker
    .log()
    .split('\n')
    .filter((line) => line.includes('New client connected') && line.includes('sealwire-'))

async function stillInSync(): Promise<void> {
  const seen = await subscribeOnce(plant.broker.ports.tcp, 'sensors/sync', { username: 'sealwire', password: PASSWORD })
  const opened = await openAnswer(plant.api, await succeed(publish({ topic: 'sensors/sync', message: 'here' })))
  assert.equal(opened.data.outcome, 'acknowledged')
  assert.equal((await seen.message).payload.toString(), 'here')
}

for (const length of [1025, 65_535, 65_536, 70_000]) {
  test(`a topic of ${length} bytes is 400, the broker sees nothing, and the shared connection stays in sync`, async () => {
    await stillInSync()
    const connects = ours().length
    const topic = `sensors/${'x'.repeat(length - 8)}`
    await refused(publish({ topic, message: '1' }), 400, 'request.invalid')
    assert.ok(!plant.broker.log().includes('xxxxxxxxxxxxxxxx'))
    await stillInSync()
    assert.equal(ours().length, connects)
  })
}

test('a topic of exactly the limit is published: the twin', async () => {
  await succeed(publish({ topic: `sensors/${'y'.repeat(1016)}`, message: '1' }))
  assert.ok(plant.broker.log().includes('yyyyyyyyyyyyyyyy'))
})

/** What mqtt.js finds too long only when the header of the packet is on the wire. */
const tooLong = 'z'.repeat(70_000)
const openings: { what: string; payload: object }[] = [
  { what: 'topic', payload: { topic: `sensors/${tooLong}` } },
  { what: 'content type', payload: { topic: 'sensors/ok', properties: { content_type: tooLong } } },
  { what: 'user property', payload: { topic: 'sensors/ok', properties: { user_properties: { a: tooLong } } } },
  {
    what: 'name of a user property',
    payload: { topic: 'sensors/ok', properties: { user_properties: { [tooLong]: 'a' } } },
  },
  { what: 'response topic', payload: { topic: 'sensors/ok', properties: { response_topic: tooLong } } },
]
for (const { what, payload } of openings) {
  test(`a packet hidden in payloads behind an oversized ${what} never becomes a packet of its own`, async () => {
    await stillInSync()
    const connects = ours().length
    const hidden = mqttPacket.generate(
      { cmd: 'publish', topic: 'forbidden/admin', payload: 'owned', qos: 0, dup: false, retain: false },
      { protocolVersion: 5 },
    )
    const sled = Buffer.concat([Buffer.alloc(4096, 0xc0), hidden, hidden])
    await Promise.all([
      refused(publish({ ...payload, message: 'a', qos: 0 }), 400, 'request.invalid'),
      ...Array.from({ length: 40 }, () =>
        succeed(publish({ topic: 'sensors/ok', message: sled.toString('base64'), encoding: 'base64', qos: 0 }), 202),
      ),
    ])
    await stillInSync()
    assert.ok(!plant.broker.log().includes('forbidden/admin'))
    assert.equal(ours().length, connects)
  })
}

const badTopics = ['', 'sensors/#', 'sensors/+', '#', 'sensors/\u0000x', 'sensors/\ud800', '$SYS/broker', '/sensors/x']
for (const topic of badTopics) {
  test(`publishing to ${JSON.stringify(topic)} is refused and the connection survives`, async () => {
    const reply = await publish({ topic, message: '1' })
    assert.ok([400, 403].includes(reply.status), `${reply.status} ${reply.text.slice(0, 200)}`)
    await stillInSync()
  })
}

for (const qos of [3, -1, '1', 1.5, true, null, [1]]) {
  test(`qos ${JSON.stringify(qos)} is 400`, async () => {
    await refused(publish({ message: '1', qos }), 400, 'request.invalid')
  })
}

const badPayloads = [
  { name: 'base64 without padding', payload: { message: 'AP8', encoding: 'base64' } },
  { name: 'base64 with a line break', payload: { message: 'AP8Q\n', encoding: 'base64' } },
  { name: 'base64url', payload: { message: '_-8Q', encoding: 'base64' } },
  { name: 'a number as text', payload: { message: 22.5 } },
  { name: 'a lone surrogate as text', payload: { message: '\ud800' } },
  { name: 'an unknown encoding', payload: { message: '1', encoding: 'hex' } },
]
for (const { name, payload } of badPayloads) {
  test(`${name} is 400`, async () => {
    await refused(publish(payload), 400, 'request.invalid')
  })
}

test('a payload over limits.max_payload_bytes is 413, one of exactly the limit is published', async () => {
  const { id } = await plant.integrate({ config: { topic: 'sensors/small', limits: { max_payload_bytes: 10 } } })
  const send = (message: string) =>
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      body: { integration_id: id, operation: 'publish', payload: { message } },
    })
  await refused(send('x'.repeat(11)), 413, 'request.too_large')
  await succeed(send('x'.repeat(10)))
})
