import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { after, before, test } from 'node:test'
import type pg from 'pg'
import { type BrokerCredential, Sealwire } from '#src/sdk/index.ts'
import { hosts } from '#test/outbound/hosts.ts'
import { type ApiServer, refused, startApiServer, succeed } from '#test/support/api-server.ts'
import { openSql } from '#test/support/database.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'

let api: ApiServer
let canary: Server
let sql: pg.Pool
let connections = 0

before(async () => {
  api = await startApiServer({ OUTBOUND_ALLOW: '' }) // as a deployment comes: nothing private
  sql = openSql(api.databaseUrl, 1)
  canary = createServer((socket) => {
    connections++
    socket.destroy()
  }).listen(0, '::')
  await once(canary, 'listening')
})
after(async () => {
  canary.close()
  await sql.end()
  await api.close()
})

const port = () => (canary.address() as AddressInfo).port

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port: closed } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return closed
}

const seal = (values: object) =>
  succeed(api.call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values } }), 201)
const rotate = (id: string, values: object) => api.call('POST', `/api/v2/vault/rotate/${id}`, { body: { values } })

function bodyOf(credential_id: string, config: object) {
  return {
    name: 'x',
    system_type: 'mqtt',
    credential_id,
    allowed_operations: ['publish'],
    config: { topic: 't', ...config },
  }
}
const create = (credentialId: string, config: object = {}) =>
  api.call('POST', '/api/v2/integrations', { body: bodyOf(credentialId, config) })
const created = (credentialId: string, config: object = {}) => succeed(create(credentialId, config), 201)
const update = (id: string, body: object) =>
  api.call('PATCH', `/api/v2/integrations/${id}`, { body, headers: { 'if-match': '"1"' } })

const good = () => ({ hostname: 'broker.example', port: port() })

/**
 * An integration on such a credential, although none can be written: as it is after the operator took a network out of
 * `OUTBOUND_ALLOW`, or for a credential that could not be opened when the integration was written.
 */
async function slipIn(credentialId: string): Promise<string> {
  const { id } = await created((await seal(good())).id)
  await sql.query('update integrations set credential_id = $1 where id = $2', [credentialId, id])
  return id
}

const codeOf = async (reply: ReturnType<typeof create>) => (await reply).json.error?.code

/** Codes of every operation to which the host matters: create, two updates, test and publish. */
async function codesOf(values: object): Promise<string[]> {
  const [bad, fine] = [(await seal(values)).id, (await seal(good())).id]
  const [other, slipped] = [await created(fine), await slipIn(bad)]
  return Promise.all([
    codeOf(create(bad)),
    codeOf(update(other.id, { credential_id: bad })),
    codeOf(rotate(fine, values)),
    codeOf(api.call('POST', `/api/v2/integrations/${slipped}/test`)),
    codeOf(
      api.call('POST', '/api/v2/proxy/outbound', {
        body: { integration_id: slipped, operation: 'publish', payload: { message: '1' } },
      }),
    ),
  ])
}

test('A20: sixty spellings of forbidden hosts are refused at create, update, rotation, test and publish, and nothing is dialled', async () => {
  let tried = 0
  for (const { host, why, answer } of hosts.slice(0, 60)) {
    const code = answer === 'invalid' ? 'request.invalid' : 'destination.not_allowed'
    const codes = await codesOf({ hostname: host, port: port(), username: 'u', password: 'p' })
    assert.deepEqual(codes, Array(5).fill(code), `${host} (${why})`)
    tried++
  }
  assert.equal(tried, 60)
  assert.equal(connections, 0)
})

test('whoever writes a bad host is told which member and why, and an integration that new values do not fit is named', async () => {
  const bad = { hosts: [good(), { hostname: 'mqtt://broker.example', port: '1883 ' }] }
  const reply = await refused(create((await seal(bad)).id), 400, 'request.invalid')
  assert.match(
    reply.json.error.message,
    /^The credential is not usable: hosts\[1\]\.hostname: must be a DNS name or an IP/,
  )
  assert.equal(reply.json.error.details.member, 'hosts[1].hostname')

  const { id } = await seal(good())
  await succeed(rotate(id, { hostname: 'mqtt://x' })) // nothing uses it: it may be a secret of any kind
  await succeed(rotate(id, good()))
  const { id: user } = await created(id)
  const refusal = await refused(rotate(id, { hostname: '10.0.0.1', port: 1883 }), 403, 'destination.not_allowed')
  assert.equal(refusal.json.error.details.integration, user)
  await refused(rotate(id, { ...good(), ca_cert: 'no PEM' }), 422, 'integration.invalid')
  await succeed(rotate(id, { ...good(), password: 'p', username: 'u' }))
  await refused(update(user, { config: { topic: 't', tls: { require_pqc: true } } }), 422, 'integration.invalid')
  await succeed(update(user, { config: { topic: 't2' } }))
})

test('what cannot be opened when the integration is written is judged when it is used', async () => {
  const sealed = await succeed(
    api.call('POST', '/api/v2/vault/seal', {
      body: { credential_type: 'custom_kv', values: { hostname: '127.0.0.1', port: port() } },
      headers: { 'X-Vault-Enable-MPC': 'true' },
    }),
    201,
  )
  const { id } = await created(sealed.id)
  const headers = { 'X-Vault-Custody-Key': sealed.custody_key }
  await refused(api.call('POST', `/api/v2/integrations/${id}/test`, { headers }), 403, 'destination.not_allowed')
  assert.equal(connections, 0)
})

test('loopback is refused with one text that names OUTBOUND_ALLOW', async () => {
  const texts = new Set<string>()
  for (const hostname of ['127.0.0.1', '10.0.0.1', '169.254.169.254', '::1']) {
    const { id } = await seal({ hostname, port: port() })
    const test = api.call('POST', `/api/v2/integrations/${await slipIn(id)}/test`)
    for (const reply of [create(id), test]) {
      texts.add((await refused(reply, 403, 'destination.not_allowed')).json.error.message)
    }
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

test('a broker at several hosts, sealed with the SDK: the one that works is used, and the answer is about it', async () => {
  const [open, broker] = await Promise.all([startApiServer({ OUTBOUND_ALLOW: '127.0.0.0/8' }), startFakeBroker()])
  try {
    const client = new Sealwire({ baseUrl: open.url, apiKey: open.ownerKey })
    const credential: BrokerCredential = {
      hosts: [
        { hostname: '127.0.0.1', port: await closedPort() },
        { hostname: 'localhost', port: broker.port },
      ],
      username: 'u',
      password: 'p',
    }
    const { id } = await client.vault.seal({ credentialType: 'custom_kv', values: credential })
    const integration = await client.integrations.create({
      name: 'two',
      systemType: 'mqtt',
      credentialId: id,
      allowedOperations: ['publish'],
      config: { topic: 't' },
    })
    assert.equal((await client.integrations.test(integration.id)).connected, true)
    const outbound = { integration_id: integration.id, operation: 'publish', payload: { message: '1' } }
    await succeed(open.call('POST', '/api/v2/proxy/outbound', { body: outbound }), 200)
    assert.equal(broker.packetsOf('connect').length, 2)
    assert.equal(broker.packetsOf('publish').length, 1)

    const more = { hosts: [...credential.hosts, { hostname: '10.0.0.1', port: 1883 }] }
    await assert.rejects(client.vault.rotate(id, more), { code: 'destination.not_allowed' })
    await succeed(open.call('POST', '/api/v2/proxy/outbound', { body: outbound }), 200)
  } finally {
    await open.close()
    await broker.stop()
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
  test(`A22: port ${JSON.stringify(value)} is refused`, async () => {
    const isPort = typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536
    const code = isPort ? 'destination.not_allowed' : 'request.invalid'
    assert.deepEqual(await codesOf({ hostname: '93.184.215.14', port: value }), Array(5).fill(code))
  })
}

for (const protocol of ['MQTTS', 'mqtts ', 'https', 'mqtt+unix', 'tcp', '', null]) {
  test(`protocol ${JSON.stringify(protocol)} is refused when the integration is written, and mqtts is not`, async () => {
    const { id } = await seal({ hostname: 'broker.example', port: 8883 })
    const body = { name: 'x', system_type: 'mqtt', credential_id: id, config: { protocol } }
    const reply = await refused(api.call('POST', '/api/v2/integrations', { body }), 400, 'request.invalid')
    assert.match(reply.json.error.message, /protocol/)
    await created(id, { protocol: 'mqtts' })
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
    const codes = await codesOf({ hostname, port: port() })
    assert.deepEqual(codes, Array(5).fill('request.invalid'), JSON.stringify(hostname))
  }
  assert.equal(connections, 0)
})
