import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { eventually } from '#test/audit/parts.ts'
import { refused, succeed } from '#test/support/api-server.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { openAnswer, PASSWORD, type Plant, startPlant } from '#test/support/plant.ts'
import { type Responder, startResponder } from '#test/support/responder.ts'

let plant: Plant
let id: string
let responder: Responder

before(async () => {
  plant = await startPlant()
  id = (await plant.integrate({ config: { topics: ['ask/#', 'replies/#'], reply_prefix: 'replies', qos: 1 } })).id
  const login = { username: 'sealwire', password: PASSWORD }
  responder = await startResponder(plant.broker.ports.tcp, 'ask/#', login, ({ topic, payload }) =>
    topic === 'ask/silence' ? null : `re: ${payload.toString()}`,
  )
})
after(async () => {
  responder.close()
  await plant.close()
})

function request(payload: object, options: { headers?: Record<string, string>; key?: string; dry_run?: true } = {}) {
  const { dry_run: dryRun, ...call } = options
  const body = { integration_id: id, operation: 'request', payload, ...(dryRun && { dry_run: dryRun }) }
  return plant.api.call('POST', '/api/v2/proxy/outbound', { body, ...call })
}

// biome-ignore lint/suspicious/noExplicitAny: rows have many shapes
async function rowsOf(messageId: string): Promise<any[]> {
  const rows = await succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=20'))
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const own = rows.find((row: any) => row.message_id === messageId)
  // biome-ignore lint/suspicious/noExplicitAny: as above
  return rows.filter((row: any) => row.request_id === own?.request_id)
}

test('one envelope holds what became of the message, and the reply with its properties', async () => {
  const reply = await request({
    topic: 'ask/1',
    message: { temperature: '?' },
    encoding: 'json',
    properties: { content_type: 'application/json' },
  })
  const { data } = await openAnswer(
    plant.api,
    await succeed(reply.status === 200 ? Promise.resolve(reply) : assert.fail(reply.text)),
  )
  assert.equal(data.outcome, 'acknowledged')
  assert.equal(data.reply.message, 're: {"temperature":"?"}')
  assert.equal(data.reply.topic, data.response_topic)
  assert.equal(data.reply.properties.correlation_data, data.correlation_data)
  assert.deepEqual(data.reply.properties.user_properties, { answered: 'yes' })
  assert.equal('no_reply' in data, false)
  const sent = responder.requests.at(-1)?.properties
  assert.equal(sent?.contentType, 'application/json')
  assert.equal(sent?.responseTopic, data.response_topic)
  assert.match(data.response_topic, /^replies\/key_[0-9a-z]{26}\/[0-9a-f]{32}$/)
  const rows = await rowsOf(data.message_id)
  assert.deepEqual(
    rows
      .map(({ action, outcome }) => `${action} ${outcome}`)
      .filter((line) => line.startsWith('proxy.'))
      .sort(),
    [
      'proxy.publish.intent success',
      'proxy.publish.outcome success',
      'proxy.subscribe.intent success',
      'proxy.subscribe.outcome success',
    ],
  )
  assert.ok(!JSON.stringify(rows).includes('re: '), 'no payload is on record')
  const status = await succeed(plant.api.call('GET', `/api/v2/proxy/messages/${data.message_id}`))
  assert.equal((await openAnswer(plant.api, status)).data.state, 'acknowledged')
})

test('topic, correlation data and waiting time may be given', async () => {
  const properties = { response_topic: 'replies/mine', correlation_data: 'AP8Q' }
  const { data } = await openAnswer(
    plant.api,
    await succeed(request({ topic: 'ask/2', message: 'ping', wait_ms: 4000, properties })),
  )
  assert.deepEqual(
    [data.response_topic, data.correlation_data, data.reply.message],
    ['replies/mine', 'AP8Q', 're: ping'],
  )
})

test('nobody answers: 200, acknowledged, reply null and why', async () => {
  const startedMs = performance.now()
  const { data } = await openAnswer(
    plant.api,
    await succeed(request({ topic: 'ask/silence', message: 'x', wait_ms: 100 }), 200),
  )
  assert.deepEqual([data.outcome, data.reply, data.no_reply], ['acknowledged', null, 'timeout'])
  assert.ok(performance.now() - startedMs < patience(4_500))
})

test('nobody subscribes: 202, as for a publish', async () => {
  const nobody = await plant.integrate({ config: { topics: ['#'], reply_prefix: 'replies' } })
  const body = {
    integration_id: nobody.id,
    operation: 'request',
    payload: { topic: 'void', message: 'x', wait_ms: 50 },
  }
  const reply = await plant.api.call('POST', '/api/v2/proxy/outbound', { body })
  const { data } = await openAnswer(plant.api, await succeed(Promise.resolve(reply), 202))
  assert.deepEqual([data.outcome, data.no_subscribers, data.no_reply], ['acknowledged', true, 'timeout'])
})

test('fifty at once on one integration: each has its own reply, and the broker sees two connections', async () => {
  const fresh = await plant.integrate({
    config: { topics: ['ask/#', 'replies/#'], reply_prefix: 'replies', client_id_prefix: 'fifty' },
  })
  const asked = Array.from({ length: 50 }, async (_, i) => {
    const payload = { topic: 'ask/fifty', message: `m${i}`, wait_ms: 20_000 }
    const body = { integration_id: fresh.id, operation: 'request', payload }
    const reply = plant.api.call('POST', '/api/v2/proxy/outbound', { body })
    return (await openAnswer(plant.api, await succeed(reply, 200))).data.reply?.message
  })
  assert.deepEqual(
    await Promise.all(asked),
    Array.from({ length: 50 }, (_, i) => `re: m${i}`),
  )
  const connects = plant.broker
    .log()
    .split('\n')
    .filter((line) => /New client connected.*fifty-/.test(line))
  assert.equal(connects.length, 2)
})

test('with an Idempotency-Key the message goes out once; the reply is not kept, and the replay says so', async () => {
  const before = responder.requests.length
  const headers = { 'idempotency-key': 'request-once' }
  const first = await openAnswer(plant.api, await succeed(request({ topic: 'ask/once', message: 'x' }, { headers })))
  assert.equal(first.data.reply.message, 're: x')
  const again = await openAnswer(plant.api, await succeed(request({ topic: 'ask/once', message: 'x' }, { headers })))
  assert.deepEqual(
    [again.data.message_id, again.data.replayed, again.data.reply, again.data.no_reply],
    [first.data.message_id, true, null, 'not_kept'],
  )
  assert.equal(responder.requests.length, before + 1)
})

test('the replay of a request that had no reply says why, as the first answer did', async () => {
  const headers = { 'idempotency-key': 'request-silence' }
  const ask = () => request({ topic: 'ask/silence', message: 'x', wait_ms: 50 }, { headers })
  const first = await openAnswer(plant.api, await succeed(ask()))
  const again = await openAnswer(plant.api, await succeed(ask()))
  assert.equal(first.data.no_reply, 'timeout')
  assert.deepEqual(again.data, { ...first.data, replayed: true })
})

test('A19: who hangs up while its request is under way is on record as gone', async (t) => {
  const arrived = Promise.withResolvers<() => void>()
  const broker = await startFakeBroker({
    misbehave: {
      publish: ({ messageId = 0 }, connection) => arrived.resolve(() => connection.send({ cmd: 'puback', messageId })),
    },
  })
  t.after(() => broker.stop())
  const credential = { credential_id: await plant.sealCredential({ port: broker.port }) }
  const hasty = await plant.integrate({ ...credential, config: { topics: ['#'], reply_prefix: 'replies', qos: 1 } })
  const payload = { topic: 'ask/1', message: 'x', wait_ms: 50 }
  const body = JSON.stringify({ integration_id: hasty.id, operation: 'request', payload })
  const { hostname, port } = new URL(plant.api.url)
  const socket = connect(Number(port), hostname)
  socket.write(
    [
      'POST /api/v2/proxy/outbound HTTP/1.1',
      `Host: ${hostname}:${port}`,
      `X-API-Key: ${plant.api.ownerKey}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n'),
  )
  const acknowledge = await arrived.promise
  socket.destroy()
  const rows = () => succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=20'))
  await rows() // a round trip later the server has seen it
  acknowledge()
  const own = await eventually(async () =>
    // biome-ignore lint/suspicious/noExplicitAny: rows have many shapes
    (await rows()).find((row: any) => row.action === 'proxy.publish.outcome' && row.object?.id === hasty.id),
  )
  assert.deepEqual([own.detail.outcome, own.detail.client_gone], ['acknowledged', true])
})

test('it needs both scopes, and names the one that is missing', async () => {
  for (const [scope, missing] of [
    ['proxy:publish', 'proxy:subscribe'],
    ['proxy:subscribe', 'proxy:publish'],
  ]) {
    const body = { name: 'narrow', role: 'editor', scopes: [scope] }
    const { secret } = await succeed(plant.api.call('POST', '/api/v2/security/api-keys', { body }), 201)
    const { json } = await refused(request({ topic: 'ask/1', message: 'x' }, { key: secret }), 403, 'auth.forbidden')
    assert.equal(json.error.details.scope, missing)
  }
})

test('a dry run judges both topics and sends nothing', async () => {
  const before = responder.requests.length
  const allowed = await openAnswer(
    plant.api,
    await succeed(request({ topic: 'ask/1', message: 'x' }, { dry_run: true })),
  )
  assert.deepEqual([allowed.data.allowed, allowed.data.operation], [true, 'request'])
  assert.ok(allowed.data.trace.some((line: string) => line.startsWith('response topic: ')))
  const properties = { response_topic: 'elsewhere/1' }
  const denied = await openAnswer(
    plant.api,
    await succeed(request({ topic: 'ask/1', message: 'x', properties }, { dry_run: true })),
  )
  assert.equal(denied.data.allowed, false)
  assert.match(denied.data.reason, /may not subscribe to the response topic/)
  assert.equal(responder.requests.length, before)
})

const bad: { why: string; payload: object; says: RegExp }[] = [
  { why: 'retain', payload: { message: 'x', retain: true }, says: /retain/ },
  { why: 'a batch', payload: { messages: [{ message: 'x' }] }, says: /message/ },
  { why: 'no message', payload: { topic: 'ask/1' }, says: /message: is missing/ },
  { why: 'too long a wait', payload: { message: 'x', wait_ms: 25_001 }, says: /wait_ms/ },
  {
    why: 'a wildcard for the reply',
    payload: { topic: 'ask/1', message: 'x', properties: { response_topic: 'replies/+' } },
    says: /response_topic/,
  },
]
for (const { why, payload, says } of bad) {
  test(`${why} is 400`, async () => {
    const { json } = await refused(request(payload), 400, 'request.invalid')
    assert.match(json.error.message, says)
  })
}

test('an integration without reply_prefix says what to set, one that cannot hold it is refused when it is written', async () => {
  const body = { integration_id: plant.integrationId, operation: 'request', payload: { message: 'x' } }
  const { json } = await refused(plant.api.call('POST', '/api/v2/proxy/outbound', { body }), 400, 'request.invalid')
  assert.match(json.error.message, /config\.reply_prefix/)
  const write = (config: object) =>
    plant.api.call('POST', '/api/v2/integrations', {
      body: { name: 'x', system_type: 'mqtt', credential_id: plant.credentialId, allowed_operations: [], config },
    })
  for (const replyPrefix of ['replies/#', '', '$share/a', 'a\u0000']) {
    const reply = await refused(write({ reply_prefix: replyPrefix }), 400, 'request.invalid')
    assert.match(reply.json.error.message, /config\.reply_prefix: is no topic for replies/)
  }
  const tight = await refused(
    write({ reply_prefix: 'replies', limits: { max_topic_bytes: 70 } }),
    400,
    'request.invalid',
  )
  assert.match(tight.json.error.message, /reply_prefix: needs 64 bytes more/)
  const { config } = await succeed(write({ reply_prefix: 'replies', limits: { max_topic_bytes: 71 } }), 201)
  assert.equal(config.reply_prefix, 'replies')
})
