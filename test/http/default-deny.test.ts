import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { refused, succeed } from '#test/support/api-server.ts'
import { openAnswer, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant

before(async () => {
  plant = await startPlant()
})
after(() => plant.close())

const calls = {
  publish: { operation: 'publish', payload: { message: '1' } },
  subscribe: { operation: 'subscribe', payload: { wait_ms: 0 } },
}
const nothing = [
  { name: 'absent', value: undefined },
  { name: 'null', value: null },
  { name: 'an empty list', value: [] },
]
const refusedWords = [
  { name: 'an unknown word', value: ['delete'] },
  { name: 'the wrong case', value: ['Publish'] },
  { name: 'a word twice', value: ['publish', 'publish'] },
  { name: 'a text', value: 'publish' },
  { name: 'everything', value: ['*'] },
]

for (const [operation, call] of Object.entries(calls)) {
  for (const { name, value } of nothing) {
    test(`${operation} is refused when allowed_operations is ${name}`, async () => {
      const { id } = await plant.integrate({ allowed_operations: value })
      const reply = await refused(
        plant.api.call('POST', '/api/v2/proxy/outbound', { body: { integration_id: id, ...call } }),
        403,
        'operation.not_allowed',
      )
      assert.match(reply.json.error.message, new RegExp(`${operation}.*allowed_operations`, 's'))
    })
    test(`${operation} is refused after a PATCH that makes allowed_operations ${name === 'absent' ? 'an empty list' : name}`, async () => {
      const { id, revision } = await plant.integrate()
      await succeed(plant.api.call('POST', '/api/v2/proxy/outbound', { body: { integration_id: id, ...call } }))
      await succeed(
        plant.api.call('PATCH', `/api/v2/integrations/${id}`, {
          headers: { 'if-match': `"${revision}"` },
          body: { allowed_operations: value ?? [] },
        }),
      )
      await refused(
        plant.api.call('POST', '/api/v2/proxy/outbound', { body: { integration_id: id, ...call } }),
        403,
        'operation.not_allowed',
      )
    })
  }

  test(`${operation} is allowed by its own word and by no other`, async () => {
    const own = await plant.integrate({ allowed_operations: [operation] })
    await succeed(plant.api.call('POST', '/api/v2/proxy/outbound', { body: { integration_id: own.id, ...call } }))
    const other = await plant.integrate({ allowed_operations: operation === 'publish' ? ['subscribe'] : ['publish'] })
    await refused(
      plant.api.call('POST', '/api/v2/proxy/outbound', { body: { integration_id: other.id, ...call } }),
      403,
      'operation.not_allowed',
    )
  })
}

for (const { name, value } of refusedWords) {
  test(`an integration is not written when allowed_operations is ${name}`, async () => {
    const body = { name: 'x', system_type: 'mqtt', credential_id: plant.credentialId, allowed_operations: value }
    const reply = await refused(plant.api.call('POST', '/api/v2/integrations', { body }), 400, 'request.invalid')
    assert.match(reply.json.error.message, /allowed_operations/)
    const { id, revision } = await plant.integrate()
    await refused(
      plant.api.call('PATCH', `/api/v2/integrations/${id}`, {
        headers: { 'if-match': `"${revision}"` },
        body: { allowed_operations: value },
      }),
      400,
      'request.invalid',
    )
  })
}

test('the connection test needs no allowed operation, because it neither publishes nor subscribes', async () => {
  const { id } = await plant.integrate({ allowed_operations: [] })
  const result = await succeed(plant.api.call('POST', `/api/v2/integrations/${id}/test`))
  assert.equal(result.connected, true)
})

test('an operation that does not exist is refused before anything else is looked at', async () => {
  for (const operation of ['PUBLISH', 'delete', '', null, ['publish']]) {
    const body = { integration_id: plant.integrationId, operation, payload: { message: '1' } }
    await refused(plant.api.call('POST', '/api/v2/proxy/outbound', { body }), 400, 'request.invalid')
  }
})

test('without config.topic and config.topics every topic is refused, and the message says what to set', async () => {
  const { id } = await plant.integrate({ config: { qos: 1 } })
  const body = { integration_id: id, operation: 'publish', payload: { topic: 'sensors/temperature', message: '1' } }
  const reply = await refused(plant.api.call('POST', '/api/v2/proxy/outbound', { body }), 403, 'policy.denied')
  assert.match(reply.json.error.message, /config\.topics?/)
  const twin = await plant.integrate({ config: { qos: 1, topics: ['sensors/#'] } })
  await succeed(plant.api.call('POST', '/api/v2/proxy/outbound', { body: { ...body, integration_id: twin.id } }))
})

test('a filter is allowed only when the allow list covers it', async () => {
  const { id } = await plant.integrate({ config: { topics: ['sensors/+/t'] } })
  const subscribe = (topic: string) => ({
    body: { integration_id: id, operation: 'subscribe', payload: { topic, wait_ms: 0 } },
  })
  for (const topic of ['#', 'sensors/#', '+/a/t', '$SYS/#', 'sensors/a/t/b']) {
    await refused(plant.api.call('POST', '/api/v2/proxy/outbound', subscribe(topic)), 403, 'policy.denied')
  }
  const opened = await openAnswer(
    plant.api,
    await succeed(plant.api.call('POST', '/api/v2/proxy/outbound', subscribe('sensors/a/t'))),
  )
  assert.equal(opened.data.granted_qos, 1)
})
