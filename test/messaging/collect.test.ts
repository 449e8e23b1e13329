import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { patience } from '#test/support/patience.ts'
import { createIntegration, createMessaging, refusalOf } from './harness.ts'

let broker: Mosquitto
before(async () => {
  broker = await startMosquitto()
})
after(() => broker.stop())

function setUp(config: object = {}, port = broker.ports.tcp) {
  const messaging = createMessaging()
  const integration = createIntegration({ config: { topics: ['#'], ...config } })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port })
  return { messaging, integration, [Symbol.asyncDispose]: () => messaging[Symbol.asyncDispose]() }
}

test('a collect answers as soon as max_messages came, in order, with what may have been more', async () => {
  await using at = setUp()
  for (let i = 0; i < 5; i++)
    await at.messaging.send(at.integration, { topic: `many/${i}`, text: `${i}`, retain: true })
  const started = performance.now()
  const { messages, truncated } = await at.messaging.gather(at.integration, {
    topic: 'many/+',
    maxMessages: 3,
    waitMs: 9_000,
  })
  assert.ok(performance.now() - started < patience(3_000))
  assert.equal(messages.length, 3)
  assert.equal(truncated, true)
})

test('a collect without messages ends after wait_ms, empty and not truncated', async () => {
  await using at = setUp()
  const started = performance.now()
  const result = await at.messaging.gather(at.integration, { topic: 'nothing/here', waitMs: 200 })
  assert.deepEqual(result, { granted_qos: 1, messages: [], truncated: false })
  assert.ok(performance.now() - started >= 195)
})

test('max_bytes bounds the payloads together, a longer message is not given in part', async () => {
  await using at = setUp()
  await at.messaging.send(at.integration, { topic: 'bytes/1', text: 'x'.repeat(60), retain: true })
  await at.messaging.send(at.integration, { topic: 'bytes/2', text: 'x'.repeat(60), retain: true })
  const whole = await at.messaging.gather(at.integration, { topic: 'bytes/+', maxBytes: 1_000, waitMs: 300 })
  assert.deepEqual([whole.messages.length, whole.truncated], [2, false])
  const one = await at.messaging.gather(at.integration, { topic: 'bytes/+', maxBytes: 100, waitMs: 300 })
  assert.deepEqual([one.messages.length, one.truncated], [1, true])
  const none = await at.messaging.gather(at.integration, { topic: 'bytes/+', maxBytes: 10, waitMs: 300 })
  assert.deepEqual([none.messages.length, none.truncated], [0, true])
})

test('a payload is text where it is UTF-8, else base64; our message id travels with MQTT 5', async () => {
  await using at = setUp()
  const payload = Uint8Array.of(0xff, 0x00, 0x80)
  const sent = await at.messaging.send(at.integration, { topic: 'kind/bytes', payload, retain: true })
  await at.messaging.send(at.integration, { topic: 'kind/text', text: '\ufeffgrüße', retain: true })
  const { messages } = await at.messaging.gather(at.integration, { topic: 'kind/+', maxMessages: 2 })
  const bytes = messages.find(({ topic }) => topic === 'kind/bytes')
  const text = messages.find(({ topic }) => topic === 'kind/text')
  assert.deepEqual([bytes?.message, bytes?.encoding], ['/wCA', 'base64'])
  assert.deepEqual([text?.message, text?.encoding], ['\ufeffgrüße', 'utf8'])
  assert.deepEqual(bytes?.properties.user_properties, { 'sealwire-message-id': sent.message_id })
})

test('collects whose filters do not overlap share one connection; overlapping ones get no message of each other', async () => {
  await using at = setUp()
  await at.messaging.send(at.integration, { topic: 'share/a', text: 'retained', retain: true })
  const connects = broker.connects()
  const apart = await Promise.all([
    at.messaging.gather(at.integration, { topic: 'share/a', waitMs: 300 }),
    at.messaging.gather(at.integration, { topic: 'share/b', waitMs: 300 }),
    at.messaging.gather(at.integration, { topic: 'other/#', waitMs: 300 }),
  ])
  assert.deepEqual(
    apart.map(({ messages }) => messages.length),
    [1, 0, 0],
  )
  assert.equal(broker.connects() - connects, 1)

  const overlapping = await Promise.all([
    at.messaging.gather(at.integration, { topic: 'share/+', waitMs: 400 }),
    at.messaging.gather(at.integration, { topic: 'share/a', waitMs: 400 }),
    at.messaging.gather(at.integration, { topic: '#', waitMs: 400 }),
  ])
  const counts = overlapping.map(({ messages }) => messages.filter(({ topic }) => topic === 'share/a').length)
  assert.deepEqual(counts, [1, 1, 1], 'the retained message once each')
  assert.ok(broker.connects() - connects >= 3)
})

test('a filter is free again after its collect: the same connection serves the next one', async () => {
  await using at = setUp()
  const connects = broker.connects()
  for (let i = 0; i < 5; i++) await at.messaging.gather(at.integration, { topic: 'again/#', waitMs: 20 })
  assert.ok(broker.connects() - connects <= 2)
})

test('a shared subscription is matched by the filter behind its group', async () => {
  await using at = setUp({ topics: ['jobs/#'] })
  const collecting = at.messaging.gather(at.integration, { topic: '$share/workers/jobs/+', maxMessages: 1 })
  await broker.logged('$share/workers/jobs/+')
  let sent = 0
  const sending = (async () => {
    while (
      sent < 50 &&
      !(await Promise.race([collecting.then(() => true), new Promise((r) => setTimeout(r, 10, false))]))
    ) {
      await at.messaging.send(at.integration, { topic: 'jobs/1', text: `${sent++}` })
    }
  })()
  assert.equal((await collecting).messages[0]?.topic, 'jobs/1')
  await sending
})

const refusedCodes = [0x80, 0x87, 0x8f, 0x97, 0x9e, 0xa2]
for (const code of refusedCodes) {
  test(`SUBACK 0x${code.toString(16)} is broker.rejected with its code`, async () => {
    const fake = await startFakeBroker({
      misbehave: { subscribe: ({ messageId = 0 }, c) => c.send({ cmd: 'suback', messageId, granted: [code] }) },
    })
    try {
      await using at = setUp({}, fake.port)
      const err = await refusalOf(at.messaging.gather(at.integration, { topic: 'a' }))
      assert.deepEqual([err.code, err.details?.['reason_code']], ['broker.rejected', code])
      assert.deepEqual(at.messaging.audit.actions(), [
        'proxy.subscribe.intent success',
        'proxy.subscribe.outcome failure',
      ])
    } finally {
      await fake.stop()
    }
  })
}

test('what a broker delivers beyond the filter or beyond the allow list does not reach the caller', async () => {
  const fake = await startFakeBroker({
    misbehave: {
      subscribe: ({ messageId = 0 }, c: FakeConnection) => {
        c.send({ cmd: 'suback', messageId, granted: [1] })
        for (const topic of ['a/secret', 'b', '$SYS/x', 'a/ok']) {
          c.send({ cmd: 'publish', topic, payload: topic, qos: 0, retain: false, dup: false })
        }
      },
    },
  })
  try {
    await using at = setUp({ topics: ['a/ok', 'a/fine', 'c/#'] }, fake.port)
    const { messages } = await at.messaging.gather(at.integration, { topic: 'a/ok', waitMs: 200 })
    assert.deepEqual(
      messages.map(({ topic }) => topic),
      ['a/ok'],
    )
  } finally {
    await fake.stop()
  }
})

/** A broker that hangs up after its first SUBACK, when it has sent `count` messages. */
function startHangingUp(count: number, then: (connection: FakeConnection) => void) {
  let subscriptions = 0
  return startFakeBroker({
    misbehave: {
      subscribe: ({ messageId = 0, subscriptions: [one] }, c) => {
        c.send({ cmd: 'suback', messageId, granted: [one?.qos ?? 0] })
        const say = (payload: string) =>
          c.send({ cmd: 'publish', topic: 'a', payload, qos: 0, retain: false, dup: false })
        if (subscriptions++ > 0) say('again')
        else {
          for (let i = 0; i < count; i++) say(`${i}`)
          then(c)
        }
      },
    },
  })
}

for (const count of [0, 2]) {
  test(`P11: a collect whose connection ends after ${count} messages subscribes again on the next, and says that it may miss some`, async () => {
    const fake = await startHangingUp(count, (c) => c.socket.end())
    try {
      await using at = setUp({}, fake.port)
      const given = { topic: 'a', waitMs: 5_000, maxMessages: count + 1 }
      const { messages, truncated, granted_qos } = await at.messaging.gather(at.integration, given)
      const texts = messages.map(({ message }) => message)
      assert.deepEqual(texts, [...['0', '1'].slice(0, count), 'again'])
      assert.deepEqual([truncated, granted_qos], [true, 1])
      assert.equal(fake.connections.length, 2, 'the connection really ended')
      assert.deepEqual(
        fake.packetsOf('subscribe').map(({ subscriptions }) => subscriptions.map(({ topic }) => topic)),
        [['a'], ['a']],
      )
    } finally {
      await fake.stop()
    }
  })
}

test('a collect whose broker is gone for good gives what came, truncated; with nothing it is broker.unreachable', async () => {
  for (const count of [0, 2]) {
    let stopped: Promise<void> | undefined
    const fake = await startHangingUp(count, (c) => {
      c.socket.end()
      stopped = fake.stop()
    })
    await using at = setUp({}, fake.port)
    const gathering = at.messaging.gather(at.integration, { topic: 'a', waitMs: 1_000 })
    if (count === 0) assert.equal((await refusalOf(gathering)).code, 'broker.unreachable')
    else {
      const { messages, truncated } = await gathering
      assert.deepEqual([messages.length, truncated], [count, true])
    }
    assert.ok(stopped)
    await stopped
  }
})

test('P11: of two collects on one connection, one granted and one refused, only the granted one is subscribed again', async () => {
  let lose = () => {}
  const fake = await startFakeBroker({
    misbehave: {
      subscribe: ({ messageId = 0, subscriptions: [one] }, c) => {
        const refused = one?.topic.startsWith('theirs') === true
        c.send({ cmd: 'suback', messageId, granted: [refused ? 0x87 : 1] })
        lose = () => c.close()
      },
    },
  })
  try {
    await using at = setUp({}, fake.port)
    const mine = at.messaging.gather(at.integration, { topic: 'mine/#', waitMs: 20_000, maxMessages: 1 })
    await fake.received('subscribe')
    const err = await refusalOf(at.messaging.gather(at.integration, { topic: 'theirs/#' }))
    assert.deepEqual([err.code, err.details?.['reason_code']], ['broker.rejected', 0x87])
    assert.equal(fake.connections.length, 1, 'they share a connection')
    lose()
    await fake.received('subscribe', 3)
    const topics = fake.packetsOf('subscribe').map(({ subscriptions: [one] }) => one?.topic)
    assert.deepEqual(topics, ['mine/#', 'theirs/#', 'mine/#'])
    const last = fake.connections.at(-1)
    last?.send({ cmd: 'publish', topic: 'mine/x', payload: 'back', qos: 0, retain: false, dup: false })
    const { messages, truncated } = await mine
    assert.deepEqual([messages.map(({ message }) => message), truncated], [['back'], true])
  } finally {
    await fake.stop()
  }
})

test('no SUBACK by the deadline is broker.unreachable, and never a hang', async () => {
  const fake = await startFakeBroker({ misbehave: { subscribe() {} } })
  try {
    await using at = setUp({}, fake.port)
    const deadlineMs = at.messaging.clock.monotonic() + 200
    assert.equal(
      (await refusalOf(at.messaging.gather(at.integration, { topic: 'a', deadlineMs }))).code,
      'broker.unreachable',
    )
    assert.ok(at.messaging.clock.monotonic() - deadlineMs < patience(250))
  } finally {
    await fake.stop()
  }
})

const unavailable = [
  { connack: { wildcardSubscriptionAvailable: false }, topic: 'a/+', twin: 'a/b', code: 0xa2 },
  { connack: { sharedSubscriptionAvailable: false }, topic: '$share/g/a/b', twin: 'a/b', code: 0x9e },
  { connack: { maximumPacketSize: 64 }, topic: `a/${'b'.repeat(64)}`, twin: 'a/b', code: 0x95 },
]
for (const { connack, topic, twin, code } of unavailable) {
  test(`F17: a broker with ${JSON.stringify(connack)} is not asked for ${topic.slice(0, 12)}; for ${twin} it is`, async () => {
    const fake = await startFakeBroker({ connack })
    try {
      await using at = setUp({}, fake.port)
      const err = await refusalOf(at.messaging.gather(at.integration, { topic, waitMs: 10 }))
      assert.deepEqual([err.code, err.details?.['reason_code']], ['broker.rejected', code])
      assert.equal(fake.packetsOf('subscribe').length, 0)
      await at.messaging.gather(at.integration, { topic: twin, waitMs: 10 })
      assert.equal(fake.packetsOf('subscribe').length, 1)
    } finally {
      await fake.stop()
    }
  })
}
