import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createIntegration, createMessaging, until } from '#test/messaging/harness.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { type MisbehaviourName, misbehaviours } from '#test/support/misbehaviours.ts'
import { patience } from '#test/support/patience.ts'

/** What our side does: the answer, how many PUBLISH or SUBSCRIBE the broker has, and whether the connection is used on. */
interface Expected {
  /** By a publish at this QoS, 1 by default, or by a collect. */
  readonly by?: 0 | 1 | 2 | 'collect'
  readonly version?: 4
  readonly end: string
  readonly reasonCode?: number
  /** Of the broker's log, without connects and pings: `0 < publish`, `0 > puback`. */
  readonly log: readonly string[]
  /** Whether the next call, once the broker behaves, shares the connection: `no` opens another, `refused` is not let through. */
  readonly livesOn: 'yes' | 'no' | 'refused'
  /** Tried within the one call, while nothing has been written or granted; 1 where nothing is said. */
  readonly connections?: number
  /** Answered by the deadline; else long before it. */
  readonly atDeadline?: true
}

const DEADLINE_MS = 300

const rejected = (reasonCode: number, livesOn: Expected['livesOn'] = 'refused') =>
  ({ end: 'broker.rejected', reasonCode, log: [], livesOn }) as const
const unreachable = { end: 'broker.unreachable', log: [], livesOn: 'no' } as const
const unknown = (...more: string[]) =>
  ({ end: 'outcome.unknown', log: ['0 < publish', ...more], livesOn: 'no' }) as const
const silent = (...more: string[]) => ({ ...unknown(...more), livesOn: 'yes', atDeadline: true }) as const
const acknowledged = (...more: string[]) =>
  ({ end: 'acknowledged', log: ['0 < publish', ...more], livesOn: 'yes' }) as const
const qos2 = ['0 > pubrec', '0 < pubrel'] as const
const subscribed = ['0 < subscribe', '0 > suback'] as const
const collected = (count: number, ...log: string[]) =>
  ({ by: 'collect', end: `${count} messages`, log, livesOn: 'yes' }) as const

/** A collect connects again while there is time, and is stopped by the breaker. */
const noSuback = { by: 'collect', end: 'broker.unreachable', livesOn: 'refused', connections: 5 } as const
/** It goes on with a second one where the first is broken off. */
const brokenOff = { ...collected(0, ...subscribed, '0 > raw'), connections: 2 } as const

const expected: Readonly<Record<MisbehaviourName, Expected>> = {
  'CONNACK 0x86, bad user name or password': rejected(0x86),
  'CONNACK 0x87, not authorized': rejected(0x87),
  'CONNACK 0x89, server busy': rejected(0x89, 'no'),
  'CONNACK 0x97, quota exceeded': rejected(0x97, 'no'),
  'CONNACK 5 of MQTT 3.1.1, not authorized': { ...rejected(5), version: 4 },
  'CONNACK 0x9d, server moved, with a server reference': rejected(0x9d, 'no'),
  'no CONNACK': { ...unreachable, atDeadline: true },
  'hangs up at CONNECT': unreachable,
  'CONNACK before CONNECT': acknowledged('0 > puback'),
  'CONNACK twice': { ...unreachable, connections: 3 },
  'CONNACK with a session that nobody asked for': acknowledged('0 > puback'),
  'CONNACK with receive maximum 0': { ...unreachable, log: ['0 > raw'] },
  'CONNACK with maximum packet size 0': { ...unreachable, log: ['0 > raw'] },
  'PUBACK in place of CONNACK': { ...unreachable, log: ['0 > puback'], atDeadline: true },
  'AUTH in place of CONNACK': { ...unreachable, log: ['0 > raw'] },
  'HTTP in place of CONNACK': { ...unreachable, log: ['0 > raw'] },
  'hangs up between PUBLISH and its answer': unknown(),
  'hangs up between PUBREL and PUBCOMP': { ...unknown(...qos2), by: 2 },
  'never answers a PUBLISH': silent(),
  'never answers a PUBREL': { ...silent(...qos2), by: 2 },
  'PUBACK after 100 ms': acknowledged('0 > puback'),
  'PUBACK 0x10, no matching subscribers': acknowledged('0 > puback'),
  'PUBACK 0x87, not authorized': { ...rejected(0x87, 'yes'), log: ['0 < publish', '0 > puback'] },
  'PUBACK 0x97, quota exceeded': { ...rejected(0x97, 'yes'), log: ['0 < publish', '0 > puback'] },
  'PUBACK 0x99, payload format invalid': { ...rejected(0x99, 'yes'), log: ['0 < publish', '0 > puback'] },
  'PUBACK for an unknown id, and no other': silent('0 > puback'),
  'PUBACK twice': acknowledged('0 > puback', '0 > puback'),
  'PUBREC at QoS 1': unknown('0 > pubrec'),
  'PUBACK at QoS 2': { ...unknown('0 > puback'), by: 2 },
  'PUBCOMP without PUBREC': { ...unknown('0 > pubcomp'), by: 2 },
  'PUBREC 0x97, quota exceeded': { ...rejected(0x97, 'yes'), by: 2, log: ['0 < publish', '0 > pubrec'] },
  'PUBCOMP 0x92, packet identifier not found': { ...unknown(...qos2, '0 > pubcomp'), by: 2, livesOn: 'yes' },
  'SUBACK for a PUBLISH': unknown('0 > suback'),
  'DISCONNECT 0x8b with a server reference': unknown('0 > disconnect'),
  'DISCONNECT 0x8e, session taken over': unknown('0 > disconnect'),
  'DISCONNECT 0x9c with a server reference': unknown('0 > disconnect'),
  'DISCONNECT 0x9d with a server reference': unknown('0 > disconnect'),
  'a second CONNACK at PUBLISH': unknown(),
  'a CONNECT from the broker': unknown('0 > raw'),
  'a topic alias that nobody granted': unknown('0 > raw'),
  'topic alias 0': unknown('0 > raw'),
  'packet type 0': unknown('0 > raw'),
  'a length of five bytes': unknown('0 > raw'),
  'a packet that claims 256 MiB': unknown('0 > raw'),
  'QoS 3': unknown('0 > raw'),
  'a flood of PUBACK for unknown ids': unknown('0 > raw'),
  'a flood of messages that nobody subscribed': unknown('0 > raw'),
  'a flood of PINGRESP': unknown('0 > raw', '0 > puback'),
  'SUBACK with two codes for one filter': { ...noSuback, log: subscribed },
  'SUBACK without a code': { ...noSuback, log: ['0 < subscribe', '0 > raw'], connections: 1, livesOn: 'no' },
  'SUBACK 0x87, not authorized': { ...rejected(0x87, 'yes'), by: 'collect', log: subscribed },
  'SUBACK that grants a QoS of 3': { ...noSuback, log: subscribed, connections: 1, livesOn: 'no' },
  'no SUBACK': { by: 'collect', end: 'broker.unreachable', log: ['0 < subscribe'], livesOn: 'no', atDeadline: true },
  'no UNSUBACK': collected(0, '0 < subscribe', '0 > suback', '0 < unsubscribe'),
  'a message of a topic that nobody subscribed': collected(
    0,
    ...subscribed,
    '0 > raw',
    '0 < unsubscribe',
    '0 > unsuback',
  ),
  'a message before its SUBACK': collected(
    1,
    '0 < subscribe',
    '0 > raw',
    '0 > suback',
    '0 < unsubscribe',
    '0 > unsuback',
  ),
  'a message of an empty topic': brokenOff,
  'a message whose topic has a wildcard': brokenOff,
  'a message of 16 MiB': brokenOff,
}

/** Runs one call and says how it ended, in one word. */
async function endOf(call: Promise<{ outcome?: string; messages?: unknown[] }>) {
  try {
    const { outcome, messages } = await call
    return { end: outcome ?? `${messages?.length} messages`, reasonCode: undefined }
  } catch (err) {
    const { code, details } = err as { code: string; details?: { reason_code?: number } }
    return { end: code, reasonCode: details?.reason_code }
  }
}

for (const [name, make] of Object.entries(misbehaviours)) {
  const wanted = expected[name as MisbehaviourName]
  test(`${name}: ${wanted.end}${wanted.atDeadline ? ' by the deadline' : ''}`, async () => {
    await using stack = new AsyncDisposableStack()
    const broker = stack.adopt(await startFakeBroker(make()), (one) => one.stop())
    await using messaging = createMessaging({
      connectTimeoutMs: wanted.atDeadline ? DEADLINE_MS : 5_000,
      random: () => 0,
    })
    const config = { topics: ['#'], protocol_version: wanted.version ?? 5 }
    const integration = createIntegration({ config })
    messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
    const { by = 1 } = wanted
    const call = (deadlineMs: number, filter = 'in/#') =>
      by === 'collect'
        ? messaging.gather(integration, {
            topic: filter,
            waitMs: 250,
            deadlineMs: messaging.clock.monotonic() + deadlineMs,
          })
        : messaging.send(integration, { topic: 'a', qos: by, deadlineMs: messaging.clock.monotonic() + deadlineMs })

    const startedMs = performance.now()
    const { end, reasonCode } = await endOf(call(wanted.atDeadline ? DEADLINE_MS : 10_000))
    const tookMs = performance.now() - startedMs
    assert.equal(end, wanted.end)
    assert.equal(reasonCode, wanted.reasonCode)
    assert.ok(tookMs < patience(5_000), `answered after ${tookMs} ms`)
    if (wanted.atDeadline) assert.ok(tookMs >= DEADLINE_MS - 20, `answered after ${tookMs} ms`)
    const audit =
      { acknowledged: 'success', 'outcome.unknown': 'unknown' }[end] ??
      (end.endsWith('messages') ? 'success' : 'failure')
    const operation = by === 'collect' ? 'subscribe' : 'publish'
    assert.deepEqual(messaging.audit.actions(), [
      `proxy.${operation}.intent success`,
      `proxy.${operation}.outcome ${audit}`,
    ])
    const first = () => broker.exchange().filter((line) => line.startsWith('0 '))
    await until(() => first().length >= wanted.log.length) // what is said after the answer too
    assert.deepEqual(first(), wanted.log)
    const { length: connections } = broker.connections
    assert.equal(connections, wanted.connections ?? 1)

    broker.mend()
    await until(() => messaging.pool.stats().connecting === 0)
    const mended = await endOf(call(10_000, 'other'))
    assert.equal(
      mended.end,
      wanted.livesOn === 'refused' ? wanted.end : by === 'collect' ? '0 messages' : 'acknowledged',
    )
    assert.equal(broker.connections.length, wanted.livesOn === 'no' ? connections + 1 : connections)
    if (wanted.livesOn === 'yes') assert.equal(messaging.pool.stats().connections, 1)
    await broker.stop()
    await until(() => messaging.pool.stats().connections === 0)
  })
}

test('there are at least thirty misbehaviours', () => assert.ok(Object.keys(misbehaviours).length >= 30))
