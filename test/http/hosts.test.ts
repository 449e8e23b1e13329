import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { after, before, test } from 'node:test'
import { hosts } from '#test/outbound/hosts.ts'
import { type ApiServer, refused, startApiServer, succeed } from '#test/support/api-server.ts'

let api: ApiServer
let canary: Server
let connections = 0

before(async () => {
  api = await startApiServer({ OUTBOUND_ALLOW: '' }) // as a deployment comes: nothing private
  canary = createServer((socket) => {
    connections++
    socket.destroy()
  }).listen(0, '::')
  await once(canary, 'listening')
})
after(async () => {
  canary.close()
  await api.close()
})

const port = () => (canary.address() as AddressInfo).port
const seal = (values: object) =>
  succeed(api.call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values } }), 201)
const create = (credential_id: string, config: object = {}) =>
  succeed(
    api.call('POST', '/api/v2/integrations', {
      body: {
        name: 'x',
        system_type: 'mqtt',
        credential_id,
        allowed_operations: ['publish'],
        config: { topic: 't', ...config },
      },
    }),
    201,
  )

test('sixty spellings of forbidden hosts are refused at test and at publish, sealed or rotated in, and nothing is dialled', async () => {
  const { id } = await seal({ hostname: 'broker.example', port: port() })
  const integration = await create(id)
  let tried = 0
  for (const { host, why } of hosts.slice(0, 60)) {
    const values = { hostname: host, port: port(), username: 'u', password: 'p' }
    const rotated = await api.call('POST', `/api/v2/vault/rotate/${id}`, { body: { values } })
    assert.equal(rotated.status, 200, `${host}: ${rotated.text}`)
    const calls = [
      api.call('POST', `/api/v2/integrations/${integration.id}/test`),
      api.call('POST', '/api/v2/proxy/outbound', {
        body: { integration_id: integration.id, operation: 'publish', payload: { message: '1' } },
      }),
    ]
    for (const reply of await Promise.all(calls)) {
      assert.ok([400, 403, 422].includes(reply.status), `${host} (${why}): ${reply.status} ${reply.text.slice(0, 300)}`)
    }
    tried++
  }
  assert.equal(tried, 60)
  assert.equal(connections, 0)
})

test('loopback is refused with one text that names OUTBOUND_ALLOW', async () => {
  const texts = new Set<string>()
  for (const hostname of ['127.0.0.1', '10.0.0.1', '169.254.169.254', '::1']) {
    const { id } = await seal({ hostname, port: port() })
    const integration = await create(id)
    const reply = await refused(
      api.call('POST', `/api/v2/integrations/${integration.id}/test`),
      403,
      'destination.not_allowed',
    )
    texts.add(JSON.stringify(reply.json.error))
  }
  assert.equal(texts.size, 1)
  assert.match([...texts][0] ?? '', /OUTBOUND_ALLOW/)
})

test('with OUTBOUND_ALLOW the same canary is dialled: the twin', async () => {
  const open = await startApiServer({ OUTBOUND_ALLOW: '127.0.0.0/8' })
  try {
    const body = { credential_type: 'custom_kv', values: { hostname: '127.0.0.1', port: port() } }
    const { id } = await succeed(open.call('POST', '/api/v2/vault/seal', { body }), 201)
    const made = await succeed(
      open.call('POST', '/api/v2/integrations', { body: { name: 'x', system_type: 'mqtt', credential_id: id } }),
      201,
    )
    await refused(open.call('POST', `/api/v2/integrations/${made.id}/test`), 503, 'broker.unreachable')
    assert.equal(connections, 1)
    connections = 0
  } finally {
    await open.close()
  }
})

const badPorts = [
  22,
  25,
  53,
  2375,
  5432,
  6379,
  8500,
  9200,
  0,
  -1,
  65_536,
  '1883 ',
  '0x75b',
  '01883',
  1883.5,
  null,
  true,
  '',
]
for (const value of badPorts) {
  test(`port ${JSON.stringify(value)} is refused`, async () => {
    const { id } = await seal({ hostname: '93.184.215.14', port: value })
    const integration = await create(id)
    const reply = await api.call('POST', `/api/v2/integrations/${integration.id}/test`)
    assert.ok([400, 403, 422].includes(reply.status), `${reply.status} ${reply.text.slice(0, 300)}`)
  })
}

for (const protocol of ['MQTTS', 'mqtts ', 'https', 'mqtt+unix', 'tcp', '', null]) {
  test(`protocol ${JSON.stringify(protocol)} is refused when the integration is written, and mqtts is not`, async () => {
    const { id } = await seal({ hostname: 'broker.example', port: 8883 })
    const body = { name: 'x', system_type: 'mqtt', credential_id: id, config: { protocol } }
    const reply = await refused(api.call('POST', '/api/v2/integrations', { body }), 400, 'request.invalid')
    assert.match(reply.json.error.message, /protocol/)
    await create(id, { protocol: 'mqtts' })
  })
}

test('a hostname that is a URL or has options in it never reaches a client', async () => {
  for (const hostname of [
    'mqtt://127.0.0.1',
    'u:p@127.0.0.1',
    '127.0.0.1?clientId=x',
    '127.0.0.1#',
    'a\\b',
    'mqtt+unix:///tmp/x',
    ['127.0.0.1'],
    { host: 'x' },
    7,
  ]) {
    const { id } = await seal({ hostname, port: port() })
    const integration = await create(id)
    const reply = await api.call('POST', `/api/v2/integrations/${integration.id}/test`)
    assert.ok([400, 403, 422].includes(reply.status), `${JSON.stringify(hostname)}: ${reply.status}`)
  }
  assert.equal(connections, 0)
})
