import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type FakeBrokerOptions, type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { misbehaviours } from '#test/support/misbehaviours.ts'
import {
  type Answer,
  assertEnd,
  assertRemembered,
  DEADLINE_MS,
  type Network,
  publishesOf,
  startNetwork,
  until,
} from './network-harness.ts'

let network: Network

before(async () => {
  network = await startNetwork()
})
after(() => network.close())

/** A broker that behaves until it is told to, so that the connection is there when the fault comes. */
function later(misbehaving: FakeBrokerOptions) {
  let on = false
  const misbehave = Object.fromEntries(
    Object.entries(misbehaving.misbehave ?? {}).map(([cmd, act]) => [
      cmd,
      (packet: never, connection: FakeConnection) => {
        const { messageId = 0 } = packet as { messageId?: number }
        if (on) (act as (packet: never, connection: FakeConnection) => void)(packet, connection)
        else if (cmd === 'publish') connection.send({ cmd: 'puback', messageId })
        else assert.fail(`a ${cmd} before the fault`)
      },
    ]),
  )
  return {
    options: { ...misbehaving, misbehave } as FakeBrokerOptions,
    begin: () => {
      on = true
    },
  }
}

async function connectedTo(misbehaving: FakeBrokerOptions, config: Record<string, unknown> = {}) {
  const broker = later(misbehaving)
  const line = await network.line({ broker: broker.options, config, connected: true })
  broker.begin()
  return line
}

const hangUps = [
  { row: 'F6', name: 'hangs up between PUBLISH and its answer', qos: 1 },
  { row: 'F16', name: 'hangs up between PUBLISH and its answer', qos: 2 },
  { row: 'F16', name: 'hangs up between PUBREL and PUBCOMP', qos: 2 },
] as const
for (const { row, name, qos } of hangUps) {
  test(`${row}: a broker that ${name}, QoS ${qos}: 504 at once, and nothing is sent a second time`, async () => {
    const line = await connectedTo(misbehaviours[name]())
    const answer = await line.publish({ qos })
    const end = line.broker.log.find(({ packet, connection }) => packet.cmd === 'end' && connection === 0)
    assert.ok(end, 'the broker hung up')
    await assertEnd(network, line, answer, 'unknown')
    assert.ok(answer.ms < DEADLINE_MS, 'long before the deadline')
    line.broker.mend()
    const next = await line.publish({ qos, deadlineMs: 10_000 })
    await assertEnd(network, line, next, 'acknowledged')
    assert.equal(publishesOf(line.broker, answer.messageId as string).length, 1)
    assert.ok(line.broker.packetsOf('publish').every(({ dup }) => !dup))
  })
}

for (const name of ['never answers a PUBLISH', 'never answers a PUBREL'] as const) {
  test(`F16: a broker that ${name} of QoS 2: 504 at the deadline, one PUBLISH, no other id`, async () => {
    const line = await connectedTo(misbehaviours[name]())
    const answer = await line.publish({ qos: 2 })
    await assertEnd(network, line, answer, 'unknown')
    assert.ok(answer.ms >= DEADLINE_MS - 20)
    assert.equal(publishesOf(line.broker, answer.messageId as string).length, 1)
    assert.equal(line.broker.packetsOf('publish').length, 2)
    assert.equal(line.broker.packetsOf('pubrel').length, name === 'never answers a PUBREL' ? 1 : 0)
  })
}

test('F7: a PUBACK that comes in time is 200', async () => {
  const line = await connectedTo(misbehaviours['PUBACK after 100 ms']())
  const answer = await line.publish()
  await assertEnd(network, line, answer, 'acknowledged')
  assert.ok(answer.ms >= 95, `${answer.ms} ms`)
})

test('F7: a PUBACK that comes after the deadline answers nobody a second time, and is counted', async () => {
  const held: (() => void)[] = []
  const line = await connectedTo({
    misbehave: {
      publish: ({ messageId = 0 }, c) => void held.push(() => c.send({ cmd: 'puback', messageId })),
    },
  })
  const answer = await line.publish()
  await assertEnd(network, line, answer, 'unknown')
  assert.ok(answer.ms >= DEADLINE_MS - 20)
  for (const acknowledge of held) acknowledge()
  const actions = async () =>
    (await network.auditOf({ messageId: answer.messageId as string })).map(({ action }) => action)
  await until(async () => (await actions()).length > 2)
  assert.deepEqual(
    await actions(),
    ['proxy.publish.intent', 'proxy.publish.outcome', 'proxy.publish.late'],
    'the outcome stands, and what came late is on record beside it',
  )
  assert.equal(line.broker.packetsOf('publish').length, 2)
})

for (const { name, reasonCode } of [
  { name: 'PUBACK 0x87, not authorized', reasonCode: 0x87 },
  { name: 'PUBACK 0x97, quota exceeded', reasonCode: 0x97 },
  { name: 'PUBACK 0x99, payload format invalid', reasonCode: 0x99 },
] as const) {
  test(`F8: ${name}: 502 with the code, and the connection lives on`, async () => {
    const line = await connectedTo(misbehaviours[name]())
    const answer = await line.publish()
    await assertEnd(network, line, answer, 'rejected', { status: 502, code: 'broker.rejected', reasonCode })
    assert.deepEqual(line.broker.exchange().slice(-2), ['0 < publish', '0 > puback'])
    line.broker.mend()
    await assertEnd(network, line, await line.publish(), 'acknowledged')
    assert.equal(line.broker.connections.length, 1)
  })
}

for (const reasonCode of [0x8b, 0x9c, 0x9d]) {
  test(`F13: DISCONNECT 0x${reasonCode.toString(16)} with a server reference is 504, and is not followed`, async () => {
    const canary = await startFakeBroker()
    try {
      const serverReference = `127.0.0.1:${canary.port}`
      const line = await connectedTo({
        misbehave: { publish: (_, c) => c.send({ cmd: 'disconnect', reasonCode, properties: { serverReference } }) },
      })
      await assertEnd(network, line, await line.publish(), 'unknown')
      line.broker.mend()
      const next = await line.publish({ deadlineMs: 10_000 })
      await assertEnd(network, line, next, 'acknowledged')
      assert.equal(line.broker.packetsOf('publish').length, 3)
      assert.equal(canary.connections.length, 0)
    } finally {
      await canary.stop()
    }
  })
}

test('F14: a session that is taken over again and again is no fight: three connections, and no more', async () => {
  const line = await network.line({ broker: misbehaviours['DISCONNECT 0x8e, session taken over']() })
  const answers: Answer[] = []
  for (let i = 0; i < 20; i++) answers.push(await line.publish())
  for (const answer of answers) {
    const refusal =
      answer.status === 503
        ? { status: 503, code: 'broker.unreachable' }
        : { status: 502, code: 'broker.rejected', reasonCode: 0x8e }
    if (answer.status === 504) await assertEnd(network, line, answer, 'unknown')
    else if ((await network.auditOf(answer)).length === 0) await assertRemembered(network, answer, refusal)
    else await assertEnd(network, line, answer, 'rejected', refusal)
  }
  const { length } = line.broker.connections
  assert.ok(length >= 1 && length <= 3, `${length} connections for 20 publishes`)
  assert.equal(answers.filter(({ status }) => status === 504).length, line.broker.packetsOf('publish').length)
})

const limits = [
  { connack: { maximumPacketSize: 128 }, beyond: { message: 'x'.repeat(128) }, within: { message: 'x' }, code: 0x95 },
  { connack: { maximumQoS: 0 }, beyond: { qos: 1 }, within: { qos: 0 }, code: 0x9b },
  { connack: { maximumQoS: 1 }, beyond: { qos: 2 }, within: { qos: 1 }, code: 0x9b },
  { connack: { retainAvailable: false }, beyond: { retain: true }, within: { retain: false }, code: 0x9a },
] as const
for (const { connack, beyond, within, code } of limits) {
  test(`F17: what is beyond ${JSON.stringify(connack)} is 502 with the code, and not sent; what is within is`, async () => {
    const line = await network.line({ broker: { connack } })
    const refused = { status: 502, code: 'broker.rejected', reasonCode: code }
    await assertEnd(network, line, await line.publish({ deadlineMs: 10_000, ...beyond }), 'rejected', refused)
    assert.equal(line.broker.packetsOf('publish').length, 0)
    const twin = await line.publish(within)
    await assertEnd(network, line, twin, 'qos' in within && within.qos === 0 ? 'sent' : 'acknowledged')
    assert.equal(line.broker.packetsOf('publish').length, 1)
    assert.equal(line.broker.connections.length, 1)
  })
}

test('F17: with a receive maximum of 1 never more than one message is unacknowledged, and the others wait their turn', async () => {
  let [unacknowledged, most] = [0, 0]
  const line = await network.line({
    broker: {
      connack: { receiveMaximum: 1 },
      misbehave: {
        publish({ messageId = 0 }, c) {
          most = Math.max(most, ++unacknowledged)
          setImmediate(() => {
            unacknowledged--
            c.send({ cmd: 'puback', messageId })
          })
        },
      },
    },
  })
  const answers = await Promise.all(Array.from({ length: 20 }, () => line.publish({ deadlineMs: 10_000 })))
  for (const answer of answers) await assertEnd(network, line, answer, 'acknowledged')
  assert.equal(most, 1)
  assert.equal(line.broker.packetsOf('publish').length, 20)
})
