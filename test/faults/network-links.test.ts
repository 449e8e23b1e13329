import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { misbehaviours } from '#test/support/misbehaviours.ts'
import { patience } from '#test/support/patience.ts'
import {
  type Answer,
  assertEnd,
  DEADLINE_MS,
  type Network,
  publishesOf,
  socketsOf,
  startNetwork,
  until,
} from './network-harness.ts'

let network: Network

before(async () => {
  network = await startNetwork()
})
after(() => network.close())

const busy = { status: 503, code: 'broker.busy' }
const unreachable = { status: 503, code: 'broker.unreachable' }

test('F9: over a half-open link QoS 1 is unknown at the deadline and QoS 0 is sent; after a second it is given up', async () => {
  const line = await network.line({ connected: true })
  line.proxy.halfOpen()
  const answers: Answer[] = []
  const started = performance.now()
  while (line.proxy.accepted === 1) {
    assert.ok(performance.now() - started < patience(15_000), 'the link was never given up')
    const [acked, sent] = await Promise.all([line.publish(), line.publish({ qos: 0 })])
    if (line.proxy.accepted > 1) break
    await assertEnd(network, line, acked, 'unknown')
    await assertEnd(network, line, sent, 'sent')
    assert.ok(acked.ms >= DEADLINE_MS - 20)
    answers.push(acked)
  }
  assert.ok(answers.length >= 1)
  assert.ok(line.proxy.up.stalls > 0, 'the link was silent')
  for (const { messageId } of answers) assert.equal(publishesOf(line.broker, messageId as string).length, 0)
  line.proxy.change('up', { stalled: false })
  line.proxy.change('down', { stalled: false })
  const back = await line.publish({ deadlineMs: 10_000 })
  assert.equal(back.status, 200)
  for (const { messageId } of answers)
    assert.ok(
      publishesOf(line.broker, messageId as string).length <= 1,
      'what was held arrives once, and nothing again',
    )
})

test('F9: a half-open link that nobody uses is found by its keepalive', async () => {
  const { result: line, sockets } = await socketsOf(() => network.line({ connected: true, config: { keepalive_s: 5 } }))
  const link = sockets.find(({ remotePort }) => remotePort === line.proxy.port)
  assert.ok(link, 'the connection of the server to its broker')
  line.proxy.halfOpen()
  const started = performance.now()
  await until(() => link.closed, 12_000)
  assert.ok(performance.now() - started < patience(1.5 * 5_000 + 2_000))
  assert.equal(line.broker.packetsOf('pingreq').length, 0, 'the ping did not arrive')
  assert.ok(line.proxy.up.stalls > 0)
})

test('F10: a slow reader: so many on their way, the others 503, none of which was sent', async () => {
  const config = { limits: { max_in_flight: 4 } }
  const line = await network.line({ connected: true, config })
  line.proxy.change('up', { bytesPerS: 1_000 })
  const message = 'x'.repeat(16_384)
  const answers = await Promise.all(Array.from({ length: 30 }, () => line.publish({ message })))
  const unknown = answers.filter(({ code }) => code === 'outcome.unknown')
  const refused = answers.filter(({ code }) => code === 'broker.busy')
  assert.deepEqual([unknown.length, refused.length], [4, 26])
  for (const answer of unknown) await assertEnd(network, line, answer, 'unknown')
  for (const answer of refused) await assertEnd(network, line, answer, 'rejected', busy)
  assert.ok(line.proxy.up.bytesPassed < 16_384, 'the link was slow')
  line.proxy.change('up', { bytesPerS: Number.POSITIVE_INFINITY })
  await line.broker.received('publish', 5)
  const after = await line.publish({ deadlineMs: 10_000 })
  assert.equal(after.status, 200)
  assert.equal(line.broker.packetsOf('publish').length, 6, 'what was refused never comes')
})

test('F10: QoS 0 to a reader that does not read is bounded too', async () => {
  const line = await network.line({ connected: true, config: { limits: { max_in_flight: 4 } } })
  line.proxy.halfOpen()
  const message = 'x'.repeat(262_144)
  const answers: Answer[] = []
  while (!answers.some(({ code }) => code === 'broker.busy')) {
    assert.ok(answers.length < 400, 'the kernel does not take a hundred megabytes')
    answers.push(
      ...(await Promise.all(Array.from({ length: 8 }, () => line.publish({ message, qos: 0, deadlineMs: 2_000 })))),
    )
  }
  const unknown = answers.filter(({ code }) => code === 'outcome.unknown')
  assert.ok(unknown.length <= 4, `beyond what the kernel takes, four wait: ${unknown.length}`)
  const last = await Promise.all(Array.from({ length: 8 }, () => line.publish({ message, qos: 0 })))
  for (const answer of last) await assertEnd(network, line, answer, 'rejected', busy)
  assert.ok(line.proxy.up.stalls > 0)
})

test('F11: a link that delivers one byte at a time, both ways, from the first: every QoS works, and so does a collect', async () => {
  const slices = { sliceBytes: 1 }
  const line = await network.line({ proxy: { up: slices, down: slices } })
  for (const qos of [1, 2] as const) {
    const answer = await line.publish({ qos, deadlineMs: 10_000 })
    await assertEnd(network, line, answer, 'acknowledged')
  }
  const collecting = line.collect({ topic: 'in/#', max_messages: 1, wait_ms: 5_000 })
  await line.broker.received('subscribe')
  const packet = { cmd: 'publish', topic: 'in/a', payload: 'grüße', qos: 0, retain: false, dup: false } as const
  line.broker.connections[1]?.send(packet)
  const { data } = (await collecting) as { data: { messages: { message: string }[] } }
  assert.deepEqual(
    data.messages.map(({ message }) => message),
    ['grüße'],
  )
  const { up, down } = line.proxy
  assert.deepEqual([up.writes, down.writes], [up.bytesPassed, down.bytesPassed])
})

const corruptions = [
  { what: 'type', byte: 0, xor: 0x40, atDeadline: false },
  { what: 'length', byte: 1, xor: 0x80, atDeadline: false },
  { what: 'id', byte: 2, xor: 0x40, atDeadline: true },
] as const
for (const { what, byte, xor, atDeadline } of corruptions) {
  test(`F12: a message is unknown when the link corrupts the ${what} of its PUBACK, and the next one is not`, async () => {
    const line = await network.line({ connected: true })
    line.proxy.change('down', { corrupt: { atByte: line.proxy.down.bytesPassed + byte, xor } })
    const answer = await line.publish()
    await assertEnd(network, line, answer, 'unknown')
    assert.equal(line.proxy.down.corrupted, 1)
    if (atDeadline) assert.ok(answer.ms >= DEADLINE_MS - 20)
    line.proxy.change('down', { corrupt: { atByte: -1, xor: 0 } })
    line.proxy.endAll('reset')
    const next = await line.publish({ deadlineMs: 10_000 })
    assert.equal(next.status, 200)
    assert.equal(publishesOf(line.broker, answer.messageId as string).length, 1)
  })
}

test('F12: corruption on the way up that the broker cannot read ends in unknown, never in an acknowledgement', async () => {
  const line = await network.line()
  await line.publish({ deadlineMs: 10_000 })
  const atByte = line.proxy.up.bytesPassed // the type of the next PUBLISH
  line.proxy.change('up', { corrupt: { atByte, xor: 0xf0 } })
  await assertEnd(network, line, await line.publish(), 'unknown')
  assert.equal(line.proxy.up.corrupted, 1)
  assert.equal(line.broker.packetsOf('publish').length, 1)
})

test('F15: a broker that is restarted under load: acknowledged stays acknowledged, nothing comes twice, back in seconds', async () => {
  const slow = misbehaviours['PUBACK after 100 ms']() // so that some are on their way when it stops
  const first = await startFakeBroker(slow)
  const line = await network.line({ port: first.port, connected: true })
  const answers: Answer[] = []
  let running = true
  const load = Array.from({ length: 8 }, async () => {
    while (running) answers.push(await line.publish({ deadlineMs: 2_000 }))
  })
  await until(() => answers.length > 20)
  await first.received('publish', first.packetsOf('publish').length + 1)
  await first.stop() // before it has acknowledged what it got now
  const stoppedMs = performance.now()
  const second = await startFakeBroker({ port: first.port })
  await second.received('publish', 20)
  const backMs = performance.now() - stoppedMs
  running = false
  await Promise.all(load)
  await second.stop()
  assert.ok(backMs < patience(5_000), `back after ${backMs} ms`)

  const seen = [...first.packetsOf('publish'), ...second.packetsOf('publish')]
  const ids = seen.map(({ properties }) => properties?.userProperties?.['sealwire-message-id'])
  assert.equal(new Set(ids).size, ids.length, 'no message came twice')
  const counts = Object.groupBy(answers, ({ code, outcome }) => code ?? outcome ?? '')
  for (const { messageId } of counts['acknowledged'] ?? []) assert.ok(ids.includes(messageId))
  const others = answers.filter(({ status }) => status !== 200)
  assert.ok(others.length > 0, 'some were on their way')
  for (const answer of others) {
    const end = answer.code === 'outcome.unknown' ? 'unknown' : 'rejected'
    const broker = { ...second, packetsOf: () => seen } as typeof second
    await assertEnd(network, { broker }, answer, end, end === 'rejected' ? unreachable : undefined)
  }
  assert.ok(second.connections.length <= 3, `${second.connections.length} connections after one restart`)
})
