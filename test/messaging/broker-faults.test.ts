import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '#src/core/log.ts'
import { type FakeBrokerOptions, type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { patience } from '#test/support/patience.ts'
import { createIntegration, createMessaging, refusalOf, until } from './harness.ts'

async function setUp(
  options: FakeBrokerOptions = {},
  config: object = {},
  parts: Parameters<typeof createMessaging>[0] = {},
) {
  const broker = await startFakeBroker(options)
  const messaging = createMessaging({ random: () => 0, ...parts })
  const integration = createIntegration({ config: { topics: ['#'], ...config } })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  return {
    broker,
    messaging,
    integration,
    /** Milliseconds from now, on the pool's clock. */
    inMs: (ms: number) => messaging.clock.monotonic() + ms,
    async [Symbol.asyncDispose]() {
      await messaging[Symbol.asyncDispose]()
      await broker.stop()
    },
  }
}

test('the fake broker, left alone, acknowledges every QoS', async () => {
  await using at = await setUp()
  for (const qos of [0, 1, 2] as const) {
    const { outcome } = await at.messaging.send(at.integration, { topic: 'a', qos })
    assert.equal(outcome, qos === 0 ? 'sent' : 'acknowledged')
  }
})

const hangUps = [
  { at: 'publish', qos: 1, why: 'F6: after PUBLISH' },
  { at: 'publish', qos: 2, why: 'F16: after PUBLISH' },
  { at: 'pubrel', qos: 2, why: 'F16: after PUBREL' },
] as const
for (const { at: cmd, qos, why } of hangUps) {
  test(`P4, ${why}, QoS ${qos}: a broker that hangs up leaves the outcome unknown, within 250 ms`, async () => {
    let hungUpMs = 0
    const misbehave = {
      [cmd]: (_packet: unknown, connection: FakeConnection) => {
        hungUpMs = performance.now()
        connection.close()
      },
    }
    await using at = await setUp({ misbehave })
    const command = at.messaging.commandOf(at.integration, { topic: 'a', qos })
    const err = await refusalOf(at.messaging.publish(command))
    assert.ok(performance.now() - hungUpMs < patience(250))
    assert.equal(err.code, 'outcome.unknown')
    assert.equal(err.details?.['message_id'], command.messageId)
    assert.deepEqual(at.messaging.audit.actions(), ['proxy.publish.intent success', 'proxy.publish.outcome unknown'])
    assert.equal(at.broker.packetsOf('publish').length, 1, 'nothing is sent a second time')
  })
}

test('F7: no acknowledgement by the deadline is unknown; a late one is counted and answers nobody', async () => {
  let acknowledge: (() => void) | undefined
  const misbehave: FakeBrokerOptions['misbehave'] = {
    publish: ({ messageId }, connection) => {
      acknowledge = () => connection.send({ cmd: 'puback', messageId: messageId ?? 0 })
    },
  }
  await using at = await setUp({ misbehave })
  const started = performance.now()
  const err = await refusalOf(at.messaging.send(at.integration, { topic: 'a', deadlineMs: at.inMs(150) }))
  assert.equal(err.code, 'outcome.unknown')
  assert.ok(performance.now() - started < patience(400))
  assert.equal(at.messaging.pool.stats().inFlight, 1, 'the place in the window is still taken')
  acknowledge?.()
  await until(() => at.messaging.pool.stats().inFlight === 0)
  assert.equal(at.messaging.pool.stats().lateAcknowledgements, 1)
})

test('F9: a broker that went silent is given up after a missing acknowledgement, and the next publish connects anew', async () => {
  let silent = true
  const misbehave: FakeBrokerOptions['misbehave'] = {
    publish: ({ messageId }, connection) => {
      if (!silent) connection.send({ cmd: 'puback', messageId: messageId ?? 0 })
    },
  }
  await using at = await setUp({ misbehave })
  const err = await refusalOf(at.messaging.send(at.integration, { topic: 'a', deadlineMs: at.inMs(1_100) }))
  assert.equal(err.code, 'outcome.unknown')
  silent = false
  assert.equal((await at.messaging.send(at.integration, { topic: 'b' })).outcome, 'acknowledged')
  assert.equal(at.broker.connections.length, 2)
})

const connacks = [
  { version: 5, code: 0x86, reason: 'Bad User Name or Password' },
  { version: 5, code: 0x87, reason: 'Not authorized' },
  { version: 5, code: 0x89, reason: 'Server busy' },
  { version: 5, code: 0x97, reason: 'Quota exceeded' },
  { version: 4, code: 1, reason: 'Unacceptable protocol version' },
  { version: 4, code: 5, reason: 'Not authorized' },
] as const
for (const { version, code, reason } of connacks) {
  test(`F5: CONNACK ${code} of MQTT ${version} is broker.rejected: ${reason}`, async () => {
    const misbehave: FakeBrokerOptions['misbehave'] = {
      connect: (_, c) => c.send({ cmd: 'connack', sessionPresent: false, returnCode: code, reasonCode: code }),
    }
    await using at = await setUp({ misbehave }, { protocol_version: version })
    const err = await refusalOf(at.messaging.send(at.integration, { topic: 'a' }))
    assert.equal(err.code, 'broker.rejected')
    assert.deepEqual(err.details, { reason_code: code, reason })
  })
}

for (const code of [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]) {
  test(`F8: PUBACK 0x${code.toString(16)} is broker.rejected with its code, and the connection lives`, async () => {
    let refuse = true
    const misbehave: FakeBrokerOptions['misbehave'] = {
      publish: ({ messageId = 0 }, c) => c.send({ cmd: 'puback', messageId, reasonCode: refuse ? code : 0 }),
    }
    await using at = await setUp({ misbehave })
    const err = await refusalOf(at.messaging.send(at.integration, { topic: 'a' }))
    assert.deepEqual([err.code, err.details?.['reason_code']], ['broker.rejected', code])
    assert.deepEqual(at.messaging.audit.actions(), ['proxy.publish.intent success', 'proxy.publish.outcome failure'])
    refuse = false
    assert.equal((await at.messaging.send(at.integration, { topic: 'a' })).outcome, 'acknowledged')
    assert.equal(at.broker.connections.length, 1)
  })
}

for (const qos of [1, 2] as const) {
  test(`reason 0x10 at QoS ${qos} is acknowledged without subscribers`, async () => {
    const misbehave: FakeBrokerOptions['misbehave'] = {
      publish: ({ messageId = 0 }, c) => c.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode: 0x10 }),
    }
    await using at = await setUp({ misbehave })
    const result = await at.messaging.send(at.integration, { topic: 'a', qos })
    assert.deepEqual([result.outcome, result.no_subscribers, result.reason_code], ['acknowledged', true, 0x10])
    assert.ok(result.acknowledged_at !== null)
  })
}

const windows = [
  { why: "the broker's receiveMaximum 1", connack: { receiveMaximum: 1 }, limits: {}, most: 1 },
  { why: 'our max_in_flight 3', connack: { receiveMaximum: 100 }, limits: { max_in_flight: 3 }, most: 3 },
]
for (const { why, connack, limits, most } of windows) {
  test(`P5: with ${why} a hundred publishes have never more than that unacknowledged, and all finish`, async () => {
    let unacknowledged = 0
    let seen = 0
    const misbehave: FakeBrokerOptions['misbehave'] = {
      publish: ({ messageId = 0 }, c) => {
        seen = Math.max(seen, ++unacknowledged)
        setImmediate(() => {
          unacknowledged--
          c.send({ cmd: 'puback', messageId })
        })
      },
    }
    await using at = await setUp({ misbehave, connack }, { limits })
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, () => at.messaging.send(at.integration, { topic: 'a' })),
    )
    assert.ok(outcomes.every(({ outcome }) => outcome === 'acknowledged'))
    assert.equal(seen, most)
  })
}

test('F10: what waits for a place in the window until its deadline is broker.busy, and was not sent', async () => {
  await using at = await setUp({ misbehave: { publish() {} }, connack: { receiveMaximum: 1 } })
  const [first, second] = await Promise.all([
    refusalOf(at.messaging.send(at.integration, { topic: 'a', deadlineMs: at.inMs(300) })),
    refusalOf(at.messaging.send(at.integration, { topic: 'b', deadlineMs: at.inMs(300) })),
  ])
  assert.deepEqual([first.code, second.code], ['outcome.unknown', 'broker.busy'])
  assert.deepEqual(
    at.broker.packetsOf('publish').map(({ topic }) => topic),
    ['a'],
  )
})

const granted = [
  { connack: { maximumPacketSize: 128 }, given: { text: 'x'.repeat(128) }, twin: { text: 'x' }, code: 0x95 },
  { connack: { maximumQoS: 0 }, given: { qos: 1 }, twin: { qos: 0 }, code: 0x9b },
  { connack: { maximumQoS: 1 }, given: { qos: 2 }, twin: { qos: 1 }, code: 0x9b },
  { connack: { retainAvailable: false }, given: { retain: true }, twin: { retain: false }, code: 0x9a },
] as const
for (const { connack, given, twin, code } of granted) {
  test(`F17: beyond ${JSON.stringify(connack)} is refused with 0x${code.toString(16)} and not sent; within it is`, async () => {
    await using at = await setUp({ connack })
    const err = await refusalOf(at.messaging.send(at.integration, { topic: 'a', ...given }))
    assert.deepEqual([err.code, err.details?.['reason_code']], ['broker.rejected', code])
    assert.equal(at.broker.packetsOf('publish').length, 0)
    await at.messaging.send(at.integration, { topic: 'a', ...twin })
    await at.broker.received('publish')
    assert.equal(at.broker.packetsOf('publish').length, 1)
    assert.equal(at.broker.connections.length, 1)
  })
}

test('P14: a broker that hangs up at a message gets it once for each request, less and less, then not at all for a while', async () => {
  const poison = ({ topic, messageId = 0 }: { topic: string; messageId?: number }, c: FakeConnection) =>
    topic === 'poison' ? c.close() : c.send({ cmd: 'puback', messageId })
  await using at = await setUp({ misbehave: { publish: poison } })
  const sibling = createIntegration()
  at.messaging.vault.put(sibling.credentialId, { hostname: '127.0.0.1', port: at.broker.port })
  assert.equal((await at.messaging.send(sibling, { topic: 'good' })).outcome, 'acknowledged')
  const codes: string[] = []
  for (let i = 0; i < 8; i++) codes.push((await refusalOf(at.messaging.send(at.integration, { topic: 'poison' }))).code)
  assert.deepEqual(codes, [...Array(5).fill('outcome.unknown'), ...Array(3).fill('broker.unreachable')])
  const poisoned = at.broker.packetsOf('publish').filter(({ topic }) => topic === 'poison')
  assert.equal(poisoned.length, 5, 'nothing is sent a second time')
  assert.equal((await at.messaging.send(sibling, { topic: 'good' })).outcome, 'acknowledged')
  assert.equal(at.broker.connections.length, 6, 'the other integration kept its connection')
})

test('F14: a session that is taken over three times in a row stops the integration, with an alarm; a connection test starts it', async () => {
  let takesOver = true
  const publish = ({ messageId = 0 }: { messageId?: number }, c: FakeConnection) =>
    c.send(takesOver ? { cmd: 'disconnect', reasonCode: 0x8e } : { cmd: 'puback', messageId })
  const alarms: object[] = []
  const log = { ...silentLog, error: (fields: object) => void alarms.push(fields) }
  await using at = await setUp({ misbehave: { publish } }, {}, { log })
  const attempts = async (count: number) => {
    const said: unknown[] = []
    for (let i = 0; i < count; i++) {
      const err = await refusalOf(at.messaging.send(at.integration, { topic: 'a' }))
      said.push(err.details?.['reason_code'] ?? err.code)
    }
    return said
  }
  assert.deepEqual(await attempts(2), ['outcome.unknown', 'outcome.unknown'])
  assert.deepEqual(alarms, [])
  assert.deepEqual(await attempts(4), ['outcome.unknown', 0x8e, 0x8e, 0x8e])
  assert.equal(at.broker.connections.length, 3)
  assert.deepEqual(alarms, [{ tenant: at.integration.tenantId, integration: at.integration.id }])
  const { takenOver, stopped, refused } = at.messaging.pool.stats()
  assert.deepEqual([takenOver, stopped, refused], [3, 1, 3])
  const outcomes = at.messaging.audit.rows.filter(({ action }) => action === 'proxy.publish.outcome')
  assert.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    Array(3).fill('unknown'),
  )
  assert.deepEqual(at.messaging.counted, Array(3).fill('broker.rejected'), 'what was refused at once is counted')
  takesOver = false
  await at.messaging.test(at.integration)
  assert.equal((await at.messaging.send(at.integration, { topic: 'a' })).outcome, 'acknowledged')
})

test('P10: a session that is taken over once is no fight', async () => {
  let takesOver = true
  const publish = ({ messageId = 0 }: { messageId?: number }, c: FakeConnection) => {
    c.send(takesOver ? { cmd: 'disconnect', reasonCode: 0x8e } : { cmd: 'puback', messageId })
    takesOver = false
  }
  await using at = await setUp({ misbehave: { publish } })
  assert.equal((await refusalOf(at.messaging.send(at.integration, { topic: 'a' }))).code, 'outcome.unknown')
  for (let i = 0; i < 5; i++)
    assert.equal((await at.messaging.send(at.integration, { topic: 'a' })).outcome, 'acknowledged')
  assert.equal(at.broker.connections.length, 2)
})

test('F11: a broker that sends one byte at a time is understood', async () => {
  const misbehave: FakeBrokerOptions['misbehave'] = {
    publish: ({ messageId = 0 }, { socket }) => {
      socket.setNoDelay(true)
      for (const byte of [0x40, 0x02, messageId >> 8, messageId & 0xff]) socket.write(Buffer.of(byte))
    },
  }
  await using at = await setUp({ misbehave })
  assert.equal((await at.messaging.send(at.integration, { topic: 'a' })).outcome, 'acknowledged')
})

test('F15: a Mosquitto that stops mid publish never hangs a caller, and is used again when it is back', async () => {
  const broker = await startMosquitto()
  await using messaging = createMessaging({ random: () => 0 })
  const integration = createIntegration()
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.ports.tcp })
  await messaging.send(integration, { topic: 'a' })
  broker.signal('SIGSTOP')
  const deadlineMs = messaging.clock.monotonic() + 400
  const stopped = await refusalOf(messaging.send(integration, { topic: 'a', deadlineMs }))
  assert.equal(stopped.code, 'outcome.unknown')
  broker.signal('SIGCONT')
  assert.equal((await messaging.send(integration, { topic: 'a' })).outcome, 'acknowledged')
  const many = Array.from({ length: 50 }, () =>
    messaging.send(integration, { topic: 'a' }).then(
      (r) => r.outcome,
      (e) => e.code,
    ),
  )
  broker.signal('SIGKILL')
  const outcomes = new Set(await Promise.all(many))
  for (const outcome of outcomes) assert.match(outcome, /^(acknowledged|outcome\.unknown|broker\.unreachable)$/)
  assert.equal((await refusalOf(messaging.send(integration, { topic: 'a' }))).code, 'broker.unreachable')
  await broker.stop()
})

test('closing the pool settles what runs and refuses what comes', async () => {
  await using at = await setUp({ misbehave: { publish() {} } })
  const running = refusalOf(at.messaging.send(at.integration, { topic: 'a' }))
  await at.broker.received('publish')
  await at.messaging.pool.close(at.inMs(100))
  assert.equal((await running).code, 'outcome.unknown')
  assert.equal((await refusalOf(at.messaging.send(at.integration, { topic: 'a' }))).code, 'broker.unreachable')
  assert.equal(at.messaging.pool.stats().connections, 0)
})
