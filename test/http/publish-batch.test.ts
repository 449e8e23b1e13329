import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { type Call, refused, succeed } from '#test/support/api-server.ts'
import { type FakeBroker, type FakeBrokerOptions, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { openAnswer, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
const brokers: FakeBroker[] = []

before(async () => {
  plant = await startPlant()
})
after(async () => {
  await plant.close()
  for (const broker of brokers) await broker.stop()
})

type Item = Record<string, unknown>

function call(
  payload: Record<string, unknown>,
  { headers = {}, ...more }: Call & { integrationId?: string; dryRun?: true } = {},
) {
  const { integrationId = plant.integrationId, dryRun } = more
  return plant.api.call('POST', '/api/v2/proxy/outbound', {
    headers,
    body: { integration_id: integrationId, operation: 'publish', payload, ...(dryRun && { dry_run: true }) },
  })
}

/** Publishes a batch and opens its one envelope. */
async function publish(messages: readonly Item[], options: Parameters<typeof call>[1] & { payload?: Item } = {}) {
  const reply = await call({ ...options.payload, messages }, options)
  const opened = await openAnswer(plant.api, await succeed(Promise.resolve(reply)))
  return { status: reply.status, headers: reply.headers, data: opened.data }
}

const items = (count: number, member: (index: number) => Item = () => ({})) =>
  Array.from({ length: count }, (_, i) => ({ message: String(i), ...member(i) }))
const outcomesOf = (data: { items: { outcome: string }[] }) => data.items.map(({ outcome }) => outcome)

/** An integration of the real broker's server with a broker that misbehaves. */
async function misbehaving(options: FakeBrokerOptions) {
  const broker = await startFakeBroker(options)
  brokers.push(broker)
  const credentialId = await plant.sealCredential({ port: broker.port })
  const { id } = await plant.integrate({ credential_id: credentialId })
  const received = () => broker.packetsOf('publish').map(({ payload }) => String(payload))
  return { broker, integrationId: id, received }
}

/** How often the real broker received a PUBLISH on a topic. */
const received = (topic: string) =>
  plant.broker
    .log()
    .split('\n')
    .filter((line) => line.includes('Received PUBLISH') && line.includes(`'${topic}'`)).length

/** Actions on the audit log for a request, oldest first. */
async function actionsOf(messageId: string): Promise<string[]> {
  const client = new pg.Client(plant.api.databaseUrl)
  await client.connect()
  try {
    const { rows } = await client.query<{ action: string; outcome: string; message_id: string }>(
      `select action, outcome, message_id from audit_rows where message_id like $1 || '%' order by seq`,
      [messageId],
    )
    return rows.map(({ action, outcome, message_id: id }) => `${id.slice(messageId.length)} ${action} ${outcome}`)
  } finally {
    await client.end()
  }
}

test('A31: 1,000 items go out in order under one envelope; 200, and an outcome and an id for each', async () => {
  const at = await misbehaving({})
  const { status, data } = await publish(items(1000), at)
  assert.equal(status, 200)
  assert.equal(data.outcome, 'acknowledged')
  assert.deepEqual(data.counts, { acknowledged: 1000 })
  assert.deepEqual(
    at.received(),
    items(1000).map(({ message }) => message),
  )
  assert.deepEqual(data.items[999], {
    index: 999,
    message_id: `${data.message_id}.999`,
    outcome: 'acknowledged',
    qos: 1,
    retain: false,
    reason_code: 0,
  })
  assert.equal(data.topic, 'sensors/temperature')
  assert.deepEqual(await actionsOf(data.message_id), [
    ' proxy.publish.intent success',
    ' proxy.publish.outcome success',
  ])
})

test('what the payload names is the default of its items; encodings and properties are their own', async () => {
  const at = await misbehaving({})
  const { data } = await publish(
    [
      { message: 'AP8=' },
      { message: { a: 1 }, encoding: 'json', topic: 'sensors/own', qos: 0, retain: false },
      { message: 'eA==', properties: { content_type: 'text/plain' } },
    ],
    { ...at, payload: { topic: 'sensors/default', qos: 2, retain: true, encoding: 'base64' } },
  )
  const seen = at.broker.packetsOf('publish')
  assert.deepEqual(
    seen.map(({ topic, qos, retain, payload }) => [topic, qos, retain, Buffer.from(payload).toString('hex')]),
    [
      ['sensors/default', 2, true, '00ff'],
      ['sensors/own', 0, false, Buffer.from('{"a":1}').toString('hex')],
      ['sensors/default', 2, true, '78'],
    ],
  )
  assert.deepEqual(
    seen.map(({ properties }) => properties?.contentType),
    [undefined, undefined, 'text/plain'],
  )
  assert.equal(data.topic, 'sensors/default')
  assert.deepEqual(
    data.items.map(({ topic }: { topic?: string }) => topic),
    [undefined, 'sensors/own', undefined],
  )
})

test('202: every item went out, one at QoS 0', async () => {
  const { status, data } = await publish([{ message: '0', qos: 0 }, { message: '1' }], await misbehaving({}))
  assert.equal(status, 202)
  assert.equal(data.outcome, 'sent')
  assert.deepEqual(data.counts, { sent: 1, acknowledged: 1 })
})

test('202: every item was acknowledged, one of them heard by nobody', async () => {
  const { status, data } = await publish([{ message: '0', topic: 'sensors/nobody/listens' }])
  assert.equal(status, 202)
  assert.equal(data.outcome, 'acknowledged')
  assert.equal(data.items[0].no_subscribers, true)
})

test('A7: 207, partial: an item that is not allowed is 403 for itself, and the others go out', async () => {
  const messages = items(3, (i) => (i === 1 ? { topic: 'admin/reset' } : { topic: 'sensors/a7' }))
  const { status, data } = await publish(messages)
  assert.equal(status, 207)
  assert.equal(data.outcome, 'partial')
  assert.deepEqual(outcomesOf(data), ['acknowledged', 'denied', 'acknowledged'])
  assert.deepEqual([data.items[1].error.code, data.items[1].error.status], ['policy.denied', 403])
  assert.equal(received('admin/reset'), 0)
  assert.equal(received('sensors/a7'), 2)
  assert.deepEqual(await actionsOf(data.message_id), [
    '.1 proxy.publish.denied denied',
    ' proxy.publish.intent success',
    ' proxy.publish.outcome success',
  ])
})

test('A7: a batch needs the operation publish, and no item brings another one', async () => {
  const { id } = await plant.integrate({ allowed_operations: ['subscribe'] })
  await refused(call({ messages: items(2) }, { integrationId: id }), 403, 'operation.not_allowed')
  const smuggled = { ...items(1)[0], operation: 'subscribe' }
  const reply = await refused(call({ messages: [smuggled] }), 400, 'request.invalid')
  assert.match(reply.json.error.message, /payload\.messages\[0\]/)
})

test('an item over the rate limit is 429 for itself and says when to come again', async () => {
  const limit = { 'messages-per-second': 1, burst: 2 }
  const { id } = await plant.integrate({ guards: { 'rate-limit': { enabled: true, global: limit } } })
  const { status, data } = await publish(items(3), { integrationId: id })
  assert.equal(status, 207)
  assert.deepEqual(outcomesOf(data), ['acknowledged', 'acknowledged', 'denied'])
  const { error } = data.items[2]
  assert.deepEqual([error.code, error.status, error.retry_after], ['guard.refused', 429, 1])
  const all = await refused(call({ messages: items(2) }, { integrationId: id }), 429, 'guard.refused')
  assert.equal(all.headers.get('retry-after'), '1')
})

test('403 where every item is denied: counts, and the items unless all are denied alike', async () => {
  const alike = await refused(call({ messages: items(3, () => ({ topic: 'admin/x' })) }), 403, 'policy.denied')
  assert.deepEqual(alike.json.error.details.counts, { denied: 3 })
  assert.equal(alike.json.error.details.items, undefined)
  assert.match(alike.json.error.message, /^Of 3 messages none was delivered\. payload\.messages\[0\]: /)
  const limit = { 'messages-per-second': 1, burst: 0 }
  const { id } = await plant.integrate({ guards: { 'rate-limit': { enabled: true, global: limit } } })
  await publish([{ message: 'the one token' }], { integrationId: id })
  const differing = await refused(
    call({ messages: [{ message: '0', topic: 'admin/x' }, { message: '1' }] }, { integrationId: id }),
    403,
    'policy.denied',
  )
  assert.deepEqual(
    differing.json.error.details.items.map(({ error }: { error: { code: string } }) => error.code),
    ['policy.denied', 'guard.refused'],
  )
})

test('502 where the broker refuses every item, with its reason code', async () => {
  const at = await misbehaving({
    misbehave: { publish: ({ messageId = 0 }, c) => c.send({ cmd: 'puback', messageId, reasonCode: 0x87 }) },
  })
  const { json } = await refused(call({ messages: items(2) }, at), 502, 'broker.rejected')
  assert.equal(json.error.details.reason_code, 0x87)
  assert.deepEqual(json.error.details.counts, { rejected: 2 })
})

test('503 where the broker is not there: nothing was sent, and the Idempotency-Key is free again', async () => {
  const at = await misbehaving({})
  await at.broker.stop()
  const headers = { 'idempotency-key': 'batch-503' }
  const reply = await refused(call({ messages: items(2) }, { ...at, headers }), 503, 'broker.unreachable')
  assert.deepEqual(reply.json.error.details.counts, { unavailable: 2 })
  assert.ok(Number(reply.headers.get('retry-after')) >= 1)
  await refused(call({ messages: items(3) }, { ...at, headers }), 503, 'broker.unreachable')
})

test('A18: 504 where nobody saw an acknowledgement by the deadline; a retry with the key sends nothing', async () => {
  const at = await misbehaving({ misbehave: { publish: () => {} } })
  const headers = { 'idempotency-key': 'batch-504', 'request-deadline-ms': '1000' }
  const startedMs = performance.now()
  const first = await refused(call({ messages: items(3) }, { ...at, headers }), 504, 'outcome.unknown')
  assert.ok(performance.now() - startedMs < patience(3_000))
  assert.deepEqual(first.json.error.details.counts, { unknown: 3 })
  const again = await refused(call({ messages: items(3) }, { ...at, headers }), 504, 'outcome.unknown')
  assert.equal(again.json.error.details.message_id, first.json.error.details.message_id)
  assert.deepEqual(at.received(), ['0', '1', '2'])
})

test('F6: 207 where the connection is lost in the middle: unknown and unsent items are told apart', async () => {
  const at = await misbehaving({
    connack: { receiveMaximum: 2 },
    misbehave: {
      publish({ messageId = 0, payload }, connection) {
        if (String(payload) === '0') connection.send({ cmd: 'puback', messageId })
        if (String(payload) === '2') connection.close()
      },
    },
  })
  const headers = { 'idempotency-key': 'batch-partial' }
  const { status, data } = await publish(items(5), { ...at, headers })
  assert.equal(status, 207)
  assert.deepEqual(outcomesOf(data), ['acknowledged', 'unknown', 'unknown', 'unavailable', 'unavailable'])
  assert.deepEqual(
    data.items.map(({ error }: { error?: { status: number } }) => error?.status),
    [undefined, 504, 504, 503, 503],
  )
  const replay = await publish(items(5), { ...at, headers })
  assert.equal(replay.status, 207)
  assert.deepEqual(replay.data, { ...data, replayed: true })
  assert.deepEqual(at.received(), ['0', '1', '2'])
})

const malformed: readonly { why: string; payload: Item; says: RegExp }[] = [
  { why: 'no item', payload: { messages: [] }, says: /payload\.messages: / },
  { why: '1,001 items', payload: { messages: items(1001) }, says: /payload\.messages: / },
  { why: 'neither message nor messages', payload: {}, says: /payload: must have one of message and messages/ },
  {
    why: 'both',
    payload: { message: 'x', messages: items(1) },
    says: /payload: must have one of message and messages/,
  },
  { why: 'no message', payload: { messages: [{}] }, says: /payload\.messages\[0\]\.message: is missing/ },
  {
    why: 'a bad QoS in the middle',
    payload: { messages: items(30, (i) => (i === 17 ? { qos: 3 } : {})) },
    says: /payload\.messages\[17\]\.qos: /,
  },
  {
    why: 'an unknown member',
    payload: { messages: items(3, (i) => (i === 2 ? { qoss: 1 } : {})) },
    says: /payload\.messages\[2\]: .*qoss/,
  },
  {
    why: 'a wildcard at the end of 1,000',
    payload: { messages: items(1000, (i) => (i === 999 ? { topic: 'sensors/#' } : {})) },
    says: /payload\.messages\[999\]\.topic: /,
  },
  {
    why: 'base64 that is not canonical, by the encoding of the payload',
    payload: { encoding: 'base64', messages: [{ message: 'eA==' }, { message: 'eA' }] },
    says: /payload\.messages\[1\]\.message: must be canonical base64/,
  },
  {
    why: 'a user property that is ours',
    payload: { messages: [{ message: 'x', properties: { user_properties: { 'sealwire-message-id': 'y' } } }] },
    says: /payload\.messages\[0\]\.properties\.user_properties: /,
  },
]
for (const { why, payload, says } of malformed) {
  test(`A31: ${why}: the whole is refused, nothing is sent, and the member is named`, async () => {
    const at = await misbehaving({})
    const { json } = await refused(call(payload, at), 400, 'request.invalid')
    assert.match(json.error.message, says)
    assert.equal(at.broker.connections.length, 0)
  })
}

test('A31: a payload over the limit at the end refuses the whole with 413', async () => {
  const at = await misbehaving({})
  const big = items(3, (i) => (i === 2 ? { message: 'x'.repeat(262_145) } : {}))
  const { json } = await refused(call({ messages: big }, at), 413, 'request.too_large')
  assert.match(json.error.message, /payload\.messages\[2\]\.message: /)
  await refused(call({ messages: items(5, () => ({ message: 'x'.repeat(220_000) })) }, at), 413, 'request.too_large')
  assert.equal(at.broker.connections.length, 0)
})

test('a replay answers the same 1,000 items, and nothing is sent twice', async () => {
  const at = await misbehaving({})
  const headers = { 'idempotency-key': 'batch-1000' }
  const first = await publish(items(1000), { ...at, headers })
  const again = await publish(items(1000), { ...at, headers })
  assert.equal(first.data.items.length, 1000)
  assert.deepEqual(again.data, { ...first.data, replayed: true })
  assert.equal(again.headers.get('idempotency-replayed'), 'true')
  assert.equal(at.received().length, 1000)
})

test('the longest answer is kept too: 1,000 items with long topics, all but one denied', async () => {
  const at = await misbehaving({})
  const options = { ...at, headers: { 'idempotency-key': 'batch-long' } }
  const messages = items(1000, (i) => (i === 0 ? {} : { topic: `x/${String(i).padStart(950, 'y')}` }))
  const first = await call({ messages }, options)
  const again = await call({ messages }, options)
  assert.deepEqual([first.status, again.status], [207, 207])
  assert.deepEqual(
    [first, again].map(({ headers }) => headers.get('idempotency-replayed')),
    [null, 'true'],
  )
  assert.ok(again.text.length > 1024 * 1024, `${again.text.length}`)
  assert.deepEqual(at.received(), ['0'])
})

test('dry run: every item has its decision and nothing is sent', async () => {
  const at = await misbehaving({})
  const messages = [{ message: '0' }, { message: '1', topic: 'admin/x' }]
  const { status, data } = await publish(messages, { ...at, dryRun: true })
  assert.equal(status, 200)
  assert.equal(data.allowed, false)
  assert.deepEqual(
    data.items.map(({ allowed }: { allowed: boolean }) => allowed),
    [true, false],
  )
  assert.equal(at.broker.connections.length, 0)
})
