import { generate, type IConnackPacket, type IPublishPacket } from 'mqtt-packet'
import type { FakeBrokerOptions, FakeConnection } from './fake-broker.ts'

/** Where a broker that sends its clients elsewhere sends them; a test may put a listener of its own there. */
export const ELSEWHERE = '127.0.0.1:1'

type Properties = NonNullable<IConnackPacket['properties']>

function refuses(code: number, properties?: Properties): FakeBrokerOptions {
  const connack = { cmd: 'connack', sessionPresent: false, returnCode: code, reasonCode: code } as const
  return { misbehave: { connect: (_, c) => c.send({ ...connack, ...(properties && { properties }) }) } }
}

const accepts = { cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 } as const

function atPublish(act: (packet: IPublishPacket & { messageId: number }, c: FakeConnection) => void) {
  return { misbehave: { publish: (p, c) => act({ ...p, messageId: p.messageId ?? 0 }, c) } } satisfies FakeBrokerOptions
}

const writes = (...bytes: number[]) => atPublish((_, c) => c.write(Uint8Array.from(bytes)))
const puback = (reasonCode: number) => atPublish(({ messageId }, c) => c.send({ cmd: 'puback', messageId, reasonCode }))
const disconnects = (reasonCode: number, serverReference?: string) =>
  atPublish((_, c) =>
    c.send({
      cmd: 'disconnect',
      reasonCode,
      ...(serverReference !== undefined && { properties: { serverReference } }),
    }),
  )

/** Answers a SUBSCRIBE with these codes, and `before` and `after` with what they write. */
function suback(granted: number[], more: { before?: Uint8Array; after?: Uint8Array } = {}): FakeBrokerOptions {
  return {
    misbehave: {
      subscribe({ messageId = 0 }, c) {
        if (more.before) c.write(more.before)
        c.send({ cmd: 'suback', messageId, granted })
        const { after } = more
        // Once the SUBACK has been taken; on one connection, since a collect goes on with the next.
        if (after && c.index === 0) setTimeout(() => c.write(after), 10)
      },
    },
  }
}

const message = (topic: string, payload: string | Buffer = 'x') =>
  generate({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false }, { protocolVersion: 5 })

/** 16 MiB and a topic: more than any collect takes. */
const oversized = Buffer.concat([
  Buffer.from([0x30, 0x80, 0x80, 0x80, 0x08, 0x00, 0x01, 0x61, 0x00]),
  Buffer.alloc(65_536),
])

/**
 * Scripted misbehaviours of brokers, by name: what goes wrong, and when. All speak MQTT 5 where nothing else is said; those
 * at PUBLISH misbehave at the first one and at every other.
 */
export const misbehaviours = {
  // Instead of a CONNACK, and in it.
  'CONNACK 0x86, bad user name or password': () => refuses(0x86),
  'CONNACK 0x87, not authorized': () => refuses(0x87),
  'CONNACK 0x89, server busy': () => refuses(0x89),
  'CONNACK 0x97, quota exceeded': () => refuses(0x97),
  'CONNACK 5 of MQTT 3.1.1, not authorized': () => refuses(5),
  'CONNACK 0x9d, server moved, with a server reference': () => refuses(0x9d, { serverReference: ELSEWHERE }),
  'no CONNACK': () => ({ misbehave: { connect() {} } }),
  'hangs up at CONNECT': () => ({ misbehave: { connect: (_, c) => c.close() } }),
  'CONNACK before CONNECT': () => ({ onAccept: (c) => c.send(accepts), misbehave: { connect() {} } }),
  'CONNACK twice': () => ({
    misbehave: {
      connect(_, c) {
        c.send(accepts)
        c.send(accepts)
      },
    },
  }),
  'CONNACK with a session that nobody asked for': () => ({
    misbehave: { connect: (_, c) => c.send({ ...accepts, sessionPresent: true }) },
  }),
  'CONNACK with receive maximum 0': () => ({
    misbehave: { connect: (_, c) => c.write(Buffer.from([0x20, 6, 0, 0, 3, 0x21, 0, 0])) },
  }),
  'CONNACK with maximum packet size 0': () => ({
    misbehave: { connect: (_, c) => c.write(Buffer.from([0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 0])) },
  }),
  'PUBACK in place of CONNACK': () => ({ misbehave: { connect: (_, c) => c.send({ cmd: 'puback', messageId: 1 }) } }),
  'AUTH in place of CONNACK': () => ({ misbehave: { connect: (_, c) => c.write(Buffer.from([0xf0, 0])) } }),
  'HTTP in place of CONNACK': () => ({
    misbehave: { connect: (_, c) => c.write(Buffer.from('HTTP/1.1 400\r\n\r\n')) },
  }),
  // At a PUBLISH.
  'hangs up between PUBLISH and its answer': () => atPublish((_, c) => c.close()),
  'hangs up between PUBREL and PUBCOMP': () => ({ misbehave: { pubrel: (_, c) => c.close() } }),
  'never answers a PUBLISH': () => atPublish(() => {}),
  'never answers a PUBREL': () => ({ misbehave: { pubrel() {} } }),
  'PUBACK after 100 ms': () =>
    atPublish(({ messageId }, c) => void setTimeout(() => c.send({ cmd: 'puback', messageId }), 100)),
  'PUBACK 0x10, no matching subscribers': () => puback(0x10),
  'PUBACK 0x87, not authorized': () => puback(0x87),
  'PUBACK 0x97, quota exceeded': () => puback(0x97),
  'PUBACK 0x99, payload format invalid': () => puback(0x99),
  'PUBACK for an unknown id, and no other': () => atPublish((_, c) => c.send({ cmd: 'puback', messageId: 4_711 })),
  'PUBACK twice': () =>
    atPublish(({ messageId }, c) => {
      c.send({ cmd: 'puback', messageId })
      c.send({ cmd: 'puback', messageId })
    }),
  'PUBREC at QoS 1': () => atPublish(({ messageId }, c) => c.send({ cmd: 'pubrec', messageId })),
  'PUBACK at QoS 2': () => atPublish(({ messageId }, c) => c.send({ cmd: 'puback', messageId })),
  'PUBCOMP without PUBREC': () => atPublish(({ messageId }, c) => c.send({ cmd: 'pubcomp', messageId })),
  'PUBREC 0x97, quota exceeded': () =>
    atPublish(({ messageId }, c) => c.send({ cmd: 'pubrec', messageId, reasonCode: 0x97 })),
  'PUBCOMP 0x92, packet identifier not found': () => ({
    misbehave: { pubrel: ({ messageId = 0 }, c) => c.send({ cmd: 'pubcomp', messageId, reasonCode: 0x92 }) },
  }),
  'SUBACK for a PUBLISH': () => atPublish(({ messageId }, c) => c.send({ cmd: 'suback', messageId, granted: [0] })),
  'DISCONNECT 0x8b with a server reference': () => disconnects(0x8b, ELSEWHERE),
  'DISCONNECT 0x8e, session taken over': () => disconnects(0x8e),
  'DISCONNECT 0x9c with a server reference': () => disconnects(0x9c, ELSEWHERE),
  'DISCONNECT 0x9d with a server reference': () => disconnects(0x9d, ELSEWHERE),
  'a second CONNACK at PUBLISH': () => atPublish((_, c) => c.send(accepts)),
  'a CONNECT from the broker': () => writes(0x10, 0x0d, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 0, 0, 0, 0),
  'a topic alias that nobody granted': () => writes(0x30, 0x06, 0x00, 0x00, 0x03, 0x23, 0x00, 0x01),
  'topic alias 0': () => writes(0x30, 0x07, 0x00, 0x01, 0x61, 0x03, 0x23, 0x00, 0x00),
  'packet type 0': () => writes(0x00, 0x00),
  'a length of five bytes': () => writes(0x30, 0xff, 0xff, 0xff, 0xff, 0x7f),
  'a packet that claims 256 MiB': () => writes(0x30, 0xff, 0xff, 0xff, 0x7f),
  'QoS 3': () => writes(0x36, 0x06, 0x00, 0x01, 0x61, 0x00, 0x01, 0x00),
  'a flood of PUBACK for unknown ids': () =>
    atPublish((_, c) => c.write(Buffer.concat(Array<Buffer>(20_000).fill(Buffer.from([0x40, 2, 0x12, 0x67]))))),
  'a flood of messages that nobody subscribed': () =>
    atPublish((_, c) => c.write(Buffer.concat(Array<Buffer>(20_000).fill(message('a'))))),
  'a flood of PINGRESP': () =>
    atPublish(({ messageId }, c) => {
      c.write(Buffer.from([0xd0, 0x00].concat(...Array.from({ length: 50_000 }, () => [0xd0, 0x00]))))
      c.send({ cmd: 'puback', messageId })
    }),
  // At a SUBSCRIBE of one filter, `in/#`.
  'SUBACK with two codes for one filter': () => suback([1, 1]),
  'SUBACK without a code': () => ({
    misbehave: {
      subscribe: ({ messageId = 0 }, c) => c.write(Buffer.from([0x90, 3, messageId >> 8, messageId & 0xff, 0])),
    },
  }),
  'SUBACK 0x87, not authorized': () => suback([0x87]),
  'SUBACK that grants a QoS of 3': () => suback([3]),
  'no SUBACK': () => ({ misbehave: { subscribe() {} } }),
  'no UNSUBACK': () => ({ misbehave: { unsubscribe() {} } }),
  'a message of a topic that nobody subscribed': () => suback([1], { after: message('elsewhere') }),
  'a message before its SUBACK': () => suback([1], { before: message('in/early') }),
  'a message of an empty topic': () => suback([1], { after: Buffer.from([0x30, 0x04, 0x00, 0x00, 0x00, 0x78]) }),
  'a message whose topic has a wildcard': () => suback([1], { after: message('in/#') }),
  'a message of 16 MiB': () => suback([1], { after: oversized }),
} as const satisfies Record<string, () => FakeBrokerOptions>

export type MisbehaviourName = keyof typeof misbehaviours
