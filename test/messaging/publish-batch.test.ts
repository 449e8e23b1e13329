import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import type { Operation } from '#src/integrations/integration.ts'
import { failureOfBatch } from '#src/messaging/batch-result.ts'
import { RememberedFailure } from '#src/messaging/connect-gate.ts'
import type { LateOutcome } from '#src/messaging/late-outcomes.ts'
import type { Permission } from '#src/messaging/permission.ts'
import { createPublishBatch } from '#src/messaging/publish-batch.ts'
import type { Batch } from '#src/messaging/write-batch.ts'
import { type FakeBrokerOptions, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { createIntegration, createJudges, createMessaging, refusalOf, until } from './harness.ts'

interface Options extends FakeBrokerOptions {
  config?: object
  guards?: unknown
  allowedOperations?: readonly Operation[]
  rules?: readonly unknown[]
  clock?: typeof systemClock
  onLate?: (late: LateOutcome) => void
}

async function setUp({ config, guards, allowedOperations, rules, clock, onLate, ...options }: Options = {}) {
  const broker = await startFakeBroker(options)
  const parts = { ...(clock && { clock }), ...(onLate && { onLate }) }
  const messaging = createMessaging({ random: () => 0, ...parts })
  const integration = createIntegration({
    config: { topics: ['t', 't/#'], ...config },
    guards,
    ...(allowedOperations && { allowedOperations }),
    ...(rules && { policyId: messaging.policies.put(rules) }),
  })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  return {
    broker,
    messaging,
    integration,
    send: messaging.sendBatch.bind(messaging, integration),
    inMs: (ms: number) => messaging.clock.monotonic() + ms,
    /** Texts that the broker received, in its order. */
    received: () => broker.packetsOf('publish').map(({ payload }) => String(payload)),
    /** Detail of the row that closed the batch, which there is one of. */
    closing() {
      const rows = messaging.audit.rows.filter(({ action }) => action === 'proxy.publish.outcome')
      assert.equal(rows.length, 1)
      return {
        row: rows[0]?.outcome,
        code: rows[0]?.detail?.['code'],
        items: rows[0]?.detail?.['items'],
        itemOutcomes: rows[0]?.detail?.['item_outcomes'],
      }
    },
    async [Symbol.asyncDispose]() {
      await messaging[Symbol.asyncDispose]()
      await broker.stop()
    },
  }
}

const texts = (count: number) => Array.from({ length: count }, (_, i) => String(i))
const outcomesOf = ({ items }: { items: readonly { outcome: string }[] }) => items.map(({ outcome }) => outcome)

for (const count of [1, 1000]) {
  test(`A31: ${count} of ${count} items are published in order, once, with an id each`, async () => {
    await using at = await setUp()
    const result = await at.send(texts(count))
    assert.equal(result.outcome, 'acknowledged')
    assert.deepEqual(result.counts, { acknowledged: count })
    assert.deepEqual(at.received(), texts(count))
    assert.equal(at.broker.connections.length, 1)
    assert.deepEqual(
      result.items.map(({ index, message_id: id, reason_code: code }) => [index, id, code]),
      texts(count).map((_, i) => [i, `${result.message_id}.${i}`, 0]),
    )
    const ids = at.broker
      .packetsOf('publish')
      .map(({ properties }) => properties?.userProperties?.['sealwire-message-id'])
    assert.deepEqual(
      ids,
      result.items.map(({ message_id: id }) => id),
    )
    assert.equal(failureOfBatch(result), undefined)
    assert.deepEqual(at.messaging.audit.actions(), ['proxy.publish.intent success', 'proxy.publish.outcome success'])
    const { items, itemOutcomes } = at.closing()
    assert.deepEqual([items, itemOutcomes], [count, `${count}a`])
  })
}

test('items of every QoS leave in order on one connection, within the window that the broker granted', async () => {
  let inFlight = 0
  let most = 0
  const queue: (() => void)[] = []
  await using at = await setUp({
    connack: { receiveMaximum: 3 },
    misbehave: {
      publish({ qos, messageId = 0 }, connection) {
        if (qos === 0) return
        most = Math.max(most, ++inFlight)
        queue.push(() => {
          inFlight--
          connection.send({ cmd: 'puback', messageId })
        })
        setImmediate(() => queue.shift()?.())
      },
    },
  })
  const result = await at.send(texts(60).map((text, i) => ({ text, qos: i % 3 === 0 ? 0 : 1 })))
  assert.deepEqual(at.received(), texts(60))
  assert.ok(most <= 3, `${most} were in flight`)
  assert.deepEqual(result.counts, { sent: 20, acknowledged: 40 })
  assert.equal(result.outcome, 'sent')
})

test('what an item leaves out is that of the integration; QoS and retain are answered as they were forwarded', async () => {
  const rules = [{ id: 'cap', effect: 'allow', topics: ['#'], maxQos: 1, qosMode: 'cap', retain: 'strip' }]
  await using at = await setUp({ config: { topic: 'home', qos: 2 }, rules })
  const result = await at.send([
    { topic: undefined, retain: true },
    { topic: 't/x', qos: 0 },
  ])
  assert.deepEqual(
    result.items.map(({ qos, retain }) => [qos, retain]),
    [
      [1, false],
      [0, false],
    ],
  )
  assert.deepEqual(
    at.broker.packetsOf('publish').map(({ topic, qos, retain }) => [topic, qos, retain]),
    [
      ['home', 1, false],
      ['t/x', 0, false],
    ],
  )
})

test('A7, A31: what the policy or allow list refuses is refused alone, with a row of its own', async () => {
  await using at = await setUp()
  const result = await at.send(['0', { topic: 'forbidden', text: '1' }, '2', { topic: 'other', text: '3' }])
  assert.deepEqual(outcomesOf(result), ['acknowledged', 'denied', 'acknowledged', 'denied'])
  assert.equal(result.outcome, 'partial')
  assert.deepEqual(at.received(), ['0', '2'])
  assert.equal(result.items[1]?.error?.code, 'policy.denied')
  assert.deepEqual(at.messaging.audit.actions(), [
    'proxy.publish.denied denied',
    'proxy.publish.denied denied',
    'proxy.publish.intent success',
    'proxy.publish.outcome success',
  ])
  const denied = at.messaging.audit.rows.slice(0, 2)
  assert.deepEqual(
    denied.map(({ messageId, detail }) => [messageId, detail?.['topic']]),
    [
      [`${result.message_id}.1`, 'forbidden'],
      [`${result.message_id}.3`, 'other'],
    ],
  )
  assert.equal(at.closing().itemOutcomes, '1a 1d 1a 1d')
})

test('A7: allowed_operations is asked once for the whole, and nothing is sent or recorded without it', async () => {
  await using at = await setUp({ allowedOperations: ['subscribe'] })
  assert.equal((await refusalOf(at.send(texts(3)))).code, 'operation.not_allowed')
  assert.deepEqual(at.messaging.audit.rows, [])
  assert.equal(at.broker.connections.length, 0)
})

test('A7: an item with retain is judged with retain', async () => {
  const rules = [
    { id: 'all', effect: 'allow', topics: ['#'] },
    { id: 'no-retain', effect: 'deny', topics: ['#'], retained: true },
  ]
  await using at = await setUp({
    guards: { retained: { enabled: true, 'allow-retained': false } },
    rules: rules.slice(0, 1),
  })
  const result = await at.send(['0', { text: '1', retain: true }, '2'])
  assert.deepEqual(outcomesOf(result), ['acknowledged', 'denied', 'acknowledged'])
  assert.equal(result.items[1]?.error?.details?.['rule'], 'retained-denied')
  assert.deepEqual(at.received(), ['0', '2'])
})

test('the rate guard counts each item; those over it are refused and say when to come again', async () => {
  const limit = { 'messages-per-second': 1, burst: 3 }
  await using at = await setUp({ guards: { 'rate-limit': { enabled: true, global: limit } } })
  const result = await at.send(texts(5))
  assert.deepEqual(outcomesOf(result), ['acknowledged', 'acknowledged', 'acknowledged', 'denied', 'denied'])
  assert.equal(result.items[4]?.error?.code, 'guard.refused')
  assert.ok((result.items[4]?.error?.retryAfterS ?? 0) > 0)
  const again = await at.send(['x'])
  assert.deepEqual(outcomesOf(again), ['denied'])
  assert.equal(failureOfBatch(again)?.details?.['guard'], 'rate-limit')
})

const malformed = [
  {
    what: 'a topic with a wildcard',
    item: { topic: 'a/#' },
    code: 'request.invalid',
    says: /payload\.messages\[999\]\.topic: /,
  },
  {
    what: 'no topic at all',
    item: { topic: undefined },
    code: 'request.invalid',
    says: /payload\.messages\[999\]\.topic: /,
  },
  {
    what: 'too long a payload',
    item: { text: 'x'.repeat(11) },
    code: 'request.too_large',
    says: /payload\.messages\[999\]\.message: /,
  },
] as const
for (const { what, item, code, says } of malformed) {
  test(`A31: ${what} as the last of 1,000 items refuses the whole before anything is asked, recorded or sent`, async () => {
    await using at = await setUp({ config: { limits: { max_payload_bytes: 10 } } })
    let admitted = 0
    const err = await refusalOf(at.send([...texts(999), item], { admit: () => void admitted++ }))
    assert.equal(err.code, code)
    assert.match(err.message, says)
    assert.equal(admitted, 0)
    assert.deepEqual(at.messaging.audit.rows, [])
    assert.equal(at.broker.connections.length, 0)
  })
}

/** As many user properties as fit. */
const crowded = { userProperties: Array.from({ length: 900 }, (_, i) => [`k${i}`, ''] as const) }

test('a default that is short once and long a thousand times is refused before anything is asked or sent', async () => {
  await using at = await setUp()
  const err = await refusalOf(at.send(texts(1000).map((text) => ({ text, properties: crowded }))))
  assert.equal(err.code, 'request.too_large')
  assert.match(err.message, /^payload\.messages\[\d+\]: .*properties.* 1048576 bytes/)
  assert.deepEqual(at.messaging.audit.rows, [])
  assert.equal(at.broker.connections.length, 0)
  const within = await at.send(texts(20).map((text) => ({ text, properties: crowded })))
  assert.deepEqual(within.counts, { acknowledged: 20 })
})

test('one admission for the whole, after the judgement and before the intent', async () => {
  await using at = await setUp()
  const busy = new AppError('signer.busy', 'Busy.')
  const admit = () => {
    throw busy
  }
  assert.equal(await refusalOf(at.send(texts(3), { admit })), busy)
  assert.deepEqual(at.messaging.audit.rows, [])
  assert.equal(at.broker.connections.length, 0)
  let admitted = 0
  await at.send(texts(3), { admit: () => void admitted++ })
  assert.equal(admitted, 1)
})

test('a batch of which every item is denied is refused without admission, intent or connection', async () => {
  await using at = await setUp()
  const admit = () => assert.fail('nothing is to be sent')
  const result = await at.send([{ topic: 'x' }, { topic: 'y' }], { admit })
  assert.equal(result.outcome, 'denied')
  assert.equal(failureOfBatch(result)?.code, 'policy.denied')
  assert.match(failureOfBatch(result)?.message ?? '', /^Of 2 messages none was delivered\. payload\.messages\[0\]: /)
  assert.deepEqual(at.messaging.audit.actions(), ['proxy.publish.denied denied', 'proxy.publish.denied denied'])
  assert.equal(at.broker.connections.length, 0)
})

test('a thousand denials are put on record some at a time, each with its row, and before the intent', async () => {
  await using at = await setUp()
  const { audit } = at.messaging
  const result = await at.send(texts(1000).map((text) => ({ text, topic: text === '500' ? 't' : 'x' })))
  assert.deepEqual(result.counts, { acknowledged: 1, denied: 999 })
  const actions = audit.rows.map(({ action }) => action.replace('proxy.publish.', ''))
  assert.deepEqual(actions, [...Array(999).fill('denied'), 'intent', 'outcome'])
  assert.equal(new Set(audit.rows.map(({ messageId }) => messageId)).size, 1000)
  assert.ok(Math.max(...audit.sizes) <= 128, audit.sizes.join())
  assert.equal(at.closing().itemOutcomes, '500d 1a 499d')
})

test('items that the broker refuses are rejected one by one, with its reason code', async () => {
  await using at = await setUp({
    misbehave: {
      publish: ({ messageId = 0, payload }, connection) =>
        connection.send({ cmd: 'puback', messageId, reasonCode: String(payload) === '1' ? 0x87 : 0x10 }),
    },
  })
  const result = await at.send(texts(3))
  assert.deepEqual(
    result.items.map(({ outcome, reason_code: code, no_subscribers: unheard }) => [outcome, code, unheard]),
    [
      ['acknowledged', 0x10, true],
      ['rejected', 0x87, undefined],
      ['acknowledged', 0x10, true],
    ],
  )
  assert.equal(result.outcome, 'partial')
  assert.equal(at.closing().row, 'failure')
  assert.equal(at.closing().itemOutcomes, '1a 1r 1a')
})

test('what the broker did not grant is rejected without being sent, and does not end the connection of the others', async () => {
  await using at = await setUp({ connack: { maximumQoS: 1, maximumPacketSize: 200 } })
  const result = await at.send(['0', { text: '1', qos: 2 }, { text: 'x'.repeat(200) }, '3'])
  assert.deepEqual(outcomesOf(result), ['acknowledged', 'rejected', 'rejected', 'acknowledged'])
  assert.deepEqual(
    result.items.map(({ reason_code: code }) => code),
    [0, 0x9b, 0x95, 0],
  )
  assert.deepEqual(at.received(), ['0', '3'])
})

test('F6: a lost connection ends the batch: written ones are unknown, the rest is not sent, and nothing twice', async () => {
  await using at = await setUp({
    connack: { receiveMaximum: 4 },
    misbehave: {
      publish({ messageId = 0, payload }, connection) {
        const index = Number(payload)
        if (index < 10) connection.send({ cmd: 'puback', messageId })
        if (index === 13) connection.close()
      },
    },
  })
  const result = await at.send(texts(50))
  assert.deepEqual(outcomesOf(result).slice(0, 10), Array(10).fill('acknowledged'))
  assert.deepEqual(outcomesOf(result).slice(10, 14), Array(4).fill('unknown'))
  assert.deepEqual(outcomesOf(result).slice(14), Array(36).fill('unavailable'))
  const unsent = result.items[14]?.error
  assert.equal(unsent?.code, 'broker.unreachable')
  assert.equal(unsent?.message, 'The connection to the broker ended before this message was sent.')
  assert.equal(result.outcome, 'partial')
  assert.deepEqual(at.received(), texts(14))
  assert.equal(at.broker.connections.length, 1)
  assert.equal(at.closing().row, 'unknown')
  assert.equal(at.closing().itemOutcomes, '10a 4u 36x')
})

test('A18, F7: QoS 0 to a silent broker is sent, QoS 1 unknown at the deadline, and what had no room is not sent', async () => {
  await using at = await setUp({ connack: { receiveMaximum: 5 }, misbehave: { publish: () => {} } })
  const startedMs = performance.now()
  const items = texts(20).map((text, i) => ({ text, qos: i < 2 ? (0 as const) : (1 as const) }))
  const result = await at.send(items, { deadlineMs: at.inMs(300) })
  assert.ok(performance.now() - startedMs < patience(2_300))
  assert.deepEqual(outcomesOf(result), [
    ...Array(2).fill('sent'),
    ...Array(5).fill('unknown'),
    ...Array(13).fill('unavailable'),
  ])
  assert.deepEqual(at.received(), texts(7))
  assert.equal(result.items[7]?.error?.code, 'broker.busy')
  assert.equal(at.closing().itemOutcomes, '2s 5u 13x')
  assert.equal(at.messaging.pool.stats().inFlight, 5)
})

test('F7: acknowledgements after the deadline are late, item by item', async () => {
  const held: (() => void)[] = []
  await using at = await setUp({
    misbehave: { publish: ({ messageId = 0 }, c) => void held.push(() => c.send({ cmd: 'puback', messageId })) },
  })
  const result = await at.send(texts(3), { deadlineMs: at.inMs(300) })
  assert.equal(result.outcome, 'unknown')
  assert.equal(failureOfBatch(result)?.code, 'outcome.unknown')
  assert.equal(held.length, 3)
  for (const send of held) send()
  await until(() => at.messaging.pool.stats().inFlight === 0)
  assert.equal(at.messaging.pool.stats().lateAcknowledgements, 3)
})

test('F1: a broker that is not there leaves every item unsent, and the batch refused', async () => {
  await using at = await setUp()
  await at.broker.stop()
  const result = await at.send(texts(3))
  assert.deepEqual(outcomesOf(result), Array(3).fill('unavailable'))
  assert.equal(failureOfBatch(result)?.code, 'broker.unreachable')
  assert.equal(at.closing().row, 'failure')
  assert.equal(at.closing().itemOutcomes, '3x')
})

test('while a broker is known to be away every item is told so without an intent, and it is counted', async () => {
  await using at = await setUp()
  const { audit, policies, integrations } = at.messaging
  const away = new RememberedFailure('broker.unreachable', 'The broker could not be reached.')
  const refused: string[] = []
  const publishBatch = createPublishBatch({
    ...createJudges(systemClock, policies),
    integrations,
    audit: { record: (...rows) => Promise.resolve(void audit.rows.push(...rows)) },
    clock: systemClock,
    countRefused: (_caller, code) => refused.push(code),
    pool: { assertHopeful: () => Promise.reject(away), publishBatch: () => assert.fail('it is not tried') },
  })
  const { payload, ...command } = at.messaging.commandOf(at.integration)
  const { result, recorded } = await publishBatch({ ...command, items: [{ topic: 't', payload }] })
  await recorded
  assert.ok('items' in result && 'counts' in result)
  assert.deepEqual(result.counts, { unavailable: 1 })
  assert.match(failureOfBatch(result)?.message ?? '', /^Of 1 messages none was delivered\./)
  assert.deepEqual([audit.rows, refused], [[], ['broker.unreachable']])
})

test('a connection that ended before the first byte is replaced; nothing was written on it', async () => {
  await using at = await setUp()
  await at.send(['first'])
  at.broker.connections[0]?.close()
  await until(() => at.messaging.pool.stats().connections === 0)
  const result = await at.send(texts(3))
  assert.equal(result.outcome, 'acknowledged')
  assert.deepEqual(at.received(), ['first', ...texts(3)])
})

test('a batch that waits for its turn asks again: what is not allowed any more is denied, the rest goes on', async () => {
  let passedMs = 0
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + passedMs }
  const held: (() => void)[] = []
  const rules = [{ id: 'open', effect: 'allow', topics: ['t/#'] }]
  await using at = await setUp({
    rules,
    clock,
    connack: { receiveMaximum: 1 },
    misbehave: { publish: ({ messageId = 0 }, c) => void held.push(() => c.send({ cmd: 'puback', messageId })) },
  })
  const pending = at.send([{ topic: 't/0' }, { topic: 't/1' }, { topic: 't/2' }, { topic: 't/3' }])
  await until(() => held.length === 1)
  const wall = { id: 'wall', effect: 'deny', topics: ['t/1', 't/3'] }
  at.messaging.policies.put([...rules, wall], { id: at.integration.policyId ?? '' })
  passedMs += 2_000
  held.shift()?.()
  await until(() => held.length === 1)
  held.shift()?.()
  const result = await pending
  assert.deepEqual(outcomesOf(result), ['acknowledged', 'denied', 'acknowledged', 'denied'])
  assert.deepEqual(
    at.broker.packetsOf('publish').map(({ topic }) => topic),
    ['t/0', 't/2'],
  )
  assert.deepEqual(at.messaging.audit.actions(), [
    'proxy.publish.intent success',
    'proxy.publish.denied denied',
    'proxy.publish.denied denied',
    'proxy.publish.outcome success',
  ])
})

test('what was denied on a connection that then ended is judged anew on the next, and on record as it ended', async () => {
  await using at = await setUp()
  const { audit, policies, integrations } = at.messaging
  const judges = createJudges(systemClock, policies)
  const wall = { id: 'wall', effect: 'deny', topics: ['t/1', 't/2'] }
  const open = { id: 'open', effect: 'allow', topics: ['t/#'] }
  const policyId = policies.put([open])
  const integration = { ...at.integration, policyId }
  integrations.note(integration)
  const ask = async (permission: Permission, { messages, assertAllowed }: Batch) => {
    await permission.renew()
    return messages.map((_, index) => {
      try {
        assertAllowed(index)
        return { delivery: { state: 'sent' as const }, sentAtMs: 0 }
      } catch (err) {
        return { error: err as AppError }
      }
    })
  }
  const publishBatch = createPublishBatch({
    ...judges,
    integrations,
    audit: { record: (...rows) => Promise.resolve(void audit.rows.push(...rows)) },
    clock: systemClock,
    countRefused: () => assert.fail(),
    pool: {
      assertHopeful: () => Promise.resolve(),
      async publishBatch(_integration, batch, _deadlineMs, permission) {
        policies.put([wall, open], { id: policyId })
        await ask(permission, batch) // and the connection had ended before a byte was written
        policies.put([{ ...wall, topics: ['t/2'] }, open], { id: policyId })
        return ask(permission, batch)
      },
    },
  })
  const { payload, ...command } = at.messaging.commandOf(integration)
  const items = ['t/0', 't/1', 't/2'].map((topic) => ({ topic, payload }))
  const { result, recorded } = await publishBatch({ ...command, items })
  await recorded
  assert.ok(!('dry_run' in result))
  assert.deepEqual(outcomesOf(result), ['sent', 'sent', 'denied'])
  const denials = audit.rows.filter(({ action }) => action === 'proxy.publish.denied')
  assert.deepEqual(
    denials.map(({ detail }) => detail?.['topic']),
    ['t/2'],
  )
})

test('a batch whose integration is gone when it is its turn sends nothing more', async () => {
  let passedMs = 0
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + passedMs }
  const held: (() => void)[] = []
  await using at = await setUp({
    clock,
    connack: { receiveMaximum: 1 },
    misbehave: { publish: ({ messageId = 0 }, c) => void held.push(() => c.send({ cmd: 'puback', messageId })) },
  })
  const pending = at.send(texts(4))
  await until(() => held.length === 1)
  at.messaging.integrations.remove(at.integration)
  passedMs += 2_000
  held.shift()?.()
  const result = await pending
  assert.deepEqual(outcomesOf(result), ['acknowledged', 'rejected', 'rejected', 'rejected'])
  assert.equal(result.items[1]?.error?.code, 'object.not_found')
  assert.deepEqual(at.received(), ['0'])
  assert.deepEqual([at.closing().row, at.closing().code], ['failure', 'object.not_found'])
})

test('two batches and single publishes share the window, each batch in its order', async () => {
  await using at = await setUp({ connack: { receiveMaximum: 2 } })
  const [one, two] = [texts(40).map((n) => `a${n}`), texts(40).map((n) => `b${n}`)]
  const singles = texts(5).map((text) => at.messaging.send(at.integration, { topic: 't', text: `c${text}` }))
  const results = await Promise.all([at.send(one), at.send(two)])
  await Promise.all(singles)
  assert.ok(results.every(({ outcome }) => outcome === 'acknowledged'))
  assert.deepEqual(
    at.received().filter((text) => text.startsWith('a')),
    one,
  )
  assert.deepEqual(
    at.received().filter((text) => text.startsWith('b')),
    two,
  )
  assert.ok(at.received().indexOf('b0') < at.received().indexOf('a39'), 'none waits for the other to end')
})

test('U5: without its intent on record nothing is sent; without its outcome nothing is answered as done', async () => {
  await using at = await setUp()
  at.messaging.audit.broken.failOn = 'proxy.publish.intent'
  assert.equal((await refusalOf(at.send(texts(3)))).code, 'audit.unavailable')
  assert.equal(at.broker.connections.length, 0)
  at.messaging.audit.broken.failOn = 'proxy.publish.outcome'
  assert.equal((await refusalOf(at.send(texts(3)))).code, 'outcome.unknown')
  assert.deepEqual(at.received(), texts(3))
  await at.broker.stop()
  await until(() => at.messaging.pool.stats().connections === 0)
  assert.equal((await refusalOf(at.send(texts(3)))).code, 'audit.unavailable', 'nothing of this one was sent')
})

test('what the broker said of a batch whose outcome row is lost is told for the record that comes once there is one', async () => {
  const late: LateOutcome[] = []
  await using at = await setUp({
    onLate: (one) => void late.push(one),
    misbehave: {
      publish({ qos, messageId = 0, payload }, connection) {
        const text = String(payload)
        if (qos === 0 || text === 'silence') return
        connection.send({ cmd: 'puback', messageId, reasonCode: text === 'refuse' ? 0x97 : 0 })
      },
    },
  })
  at.messaging.audit.broken.failOn = 'proxy.publish.outcome'
  const items = [
    { text: '0' },
    { topic: 'forbidden' },
    { text: 'refuse' },
    { text: '3', qos: 0 as const },
    { text: 'silence' },
  ]
  const err = await refusalOf(at.send(items, { deadlineMs: at.inMs(1_000) }))
  assert.equal(err.code, 'outcome.unknown')
  const id = String(err.details?.['message_id'])
  assert.deepEqual(
    late.map(({ messageId, topic, delivery }) => [messageId, topic, delivery]),
    [
      [`${id}.0`, 't', { state: 'acknowledged', reasonCode: 0 }],
      [`${id}.2`, 't', { state: 'refused', reasonCode: 0x97 }],
      [`${id}.3`, 't', { state: 'sent' }],
    ],
    'not of what was denied, nor of what nobody knows',
  )
  const { tenantId, id: integrationId } = at.integration
  assert.ok(late.every((one) => one.tenantId === tenantId && one.integrationId === integrationId))
})

test('a batch of which nothing went out says so, and leaves nothing for the record', async () => {
  const late: LateOutcome[] = []
  await using at = await setUp({
    onLate: (one) => void late.push(one),
    misbehave: {
      publish: ({ messageId = 0 }, connection) => connection.send({ cmd: 'puback', messageId, reasonCode: 0x87 }),
    },
  })
  at.messaging.audit.broken.failOn = 'proxy.publish.outcome'
  assert.equal((await refusalOf(at.send(texts(2)))).code, 'audit.unavailable')
  assert.deepEqual([at.received(), late], [texts(2), []])
})

test('dry run: every item has its decision, nothing is sent, no token is paid', async () => {
  const limit = { 'messages-per-second': 1, burst: 1 }
  await using at = await setUp({ guards: { 'rate-limit': { enabled: true, global: limit } } })
  const answer = await at.send(['0', { topic: 'forbidden' }, { text: '2', qos: 2 }], { dryRun: true })
  const covers = 'a filter of config.topic and config.topics covers it'
  const no = 'no filter of config.topic and config.topics covers it'
  const base = { retain: false, rule: null, guard: null }
  assert.deepEqual(answer, {
    dry_run: true,
    allowed: false,
    operation: 'publish',
    policy_id: null,
    policy_revision: null,
    items: [
      { index: 0, allowed: true, qos: 1, reason: covers, ...base },
      { index: 1, allowed: false, qos: 1, reason: no, ...base },
      { index: 2, allowed: true, qos: 2, reason: covers, ...base },
    ],
  })
  assert.equal(at.broker.connections.length, 0)
  assert.deepEqual(at.messaging.audit.actions(), ['proxy.publish.intent success', 'proxy.publish.outcome denied'])
  assert.equal((await at.send(['0'])).outcome, 'acknowledged')
})
