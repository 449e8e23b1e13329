import { type IClientOptions, MqttClient } from 'mqtt'
import { generate, type IConnackPacket, type Packet } from 'mqtt-packet'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Link } from '../outbound/dial.ts'
import { clientCertificateRefusal, rejected, unreachable } from '../outbound/dial-errors.ts'
import type { BrokerClient, Delivery, IncomingMessage } from './broker.ts'
import type { BrokerLogin } from './broker-credential.ts'
import { assertPublishable, assertSubscribable, limitsOf } from './broker-limits.ts'
import { EXPIRED, withDeadline } from './deadline.ts'
import { feedInPieces } from './inbound-feed.ts'
import { packetProperties } from './message-properties.ts'
import { createPacketGuard } from './packet-guard.ts'
import { type PendingAck, pendingAck, takePacket } from './pending-ack.ts'
import { reasonName } from './reason-codes.ts'

export interface ConnectOptions {
  readonly link: Link
  readonly clientId: string
  readonly login: BrokerLogin
  readonly protocolVersion: 4 | 5
  readonly keepaliveS: number
  /** On the monotonic clock; no CONNACK by then is `broker.unreachable`. */
  readonly deadlineMs: number
  readonly clock: Clock
}

/** A message as long as a collect may ask for, with its topic and properties. */
const MAX_INBOUND_PACKET_BYTES = 8_388_608 + 131_072
/** They cost mqtt.js more than their bytes: so many are 50 ms of work. */
const MAX_INBOUND_PROPERTIES_BYTES = 524_288
const INBOUND_IN_FLIGHT = 256
const GOODBYE_MS = 1000
/** Of a message without properties of its own: one that is no longer can be said, whatever is in it. */
const PLAIN_PACKET_BYTES = 16_384
/** What its packet has beside topic and payload, at most: header, lengths, packet identifier, message id. */
const PLAIN_OVERHEAD_BYTES = 256
/** Packets that answer nothing, and messages for which nobody listens, in half a keepalive: more are a flood. */
const MAX_STRAYS = 1_000

/** mqtt.js takes a `Buffer`; it shares the memory, so that a login is wiped everywhere at once. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function clientOptions({ clientId, login, protocolVersion, keepaliveS }: ConnectOptions): IClientOptions {
  const { username, password } = login
  return {
    clientId,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: view(password.reveal()) }),
    protocolVersion,
    clean: true,
    keepalive: keepaliveS,
    reconnectPeriod: 0, // the pool decides when to connect again
    connectTimeout: 30_000, // the pool's deadline is earlier
    queueQoSZero: false,
    resubscribe: false,
    autoUseTopicAlias: false,
    autoAssignTopicAlias: false,
    log: () => {},
    ...(protocolVersion === 5 && {
      properties: {
        receiveMaximum: INBOUND_IN_FLIGHT,
        maximumPacketSize: MAX_INBOUND_PACKET_BYTES,
        topicAliasMaximum: 0,
      },
    }),
  }
}

function connackOf(client: MqttClient, { link, protocolVersion }: ConnectOptions): Promise<IConnackPacket> {
  return new Promise((resolve, reject) => {
    client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'connack') return
      const code = (protocolVersion === 5 ? packet.reasonCode : packet.returnCode) ?? 0x80
      if (code === 0) return
      reject(rejected(`The broker refused the connection: ${reasonName(code)}.`, reasonName(code), code))
    })
    client.once('connect', resolve)
    const fail = (err?: unknown) => reject(clientCertificateRefusal(err) ?? unreachable(err))
    link.stream.once('error', fail)
    client.once('error', fail)
    link.stream.once('close', fail)
  })
}

/** Reports whether the packet is as long as its header says (OASIS MQTT 5.0 §2.1.4). */
function isWhole(packet: Uint8Array): boolean {
  let length = 0
  for (let i = 1; i <= 4; i++) {
    const byte = packet[i] ?? 0
    length += (byte & 0x7f) * 128 ** (i - 1)
    if (byte < 0x80) return packet.length === 1 + i + length
  }
  return false
}

/**
 * Encodes before anything is written, and answers the size in bytes: mqtt.js finds out after the header has left that a
 * string is too long, and the next packets are swallowed by the broken one. mqtt-packet cuts such a packet short without
 * an error, so the length is compared.
 */
function encode(packet: Packet, protocolVersion: 4 | 5): number {
  let bytes: Buffer
  try {
    bytes = generate(packet, { protocolVersion })
  } catch (err) {
    throw unsayable(err)
  }
  if (!isWhole(bytes)) throw unsayable()
  return bytes.length
}

function unsayable(cause?: unknown): AppError {
  return new AppError('request.invalid', 'This cannot be said in MQTT.', { cause })
}

/**
 * Logs in on a fresh link and wraps mqtt.js so that every promise settles, nothing is queued while offline, nothing
 * reconnects by itself, and nothing is written that the broker did not grant. The caller wipes the login afterwards.
 *
 * @throws {AppError} `broker.rejected` (CONNACK, client certificate), `broker.unreachable`
 */
export async function connectBroker(options: ConnectOptions): Promise<BrokerClient> {
  const { link, protocolVersion, keepaliveS, deadlineMs, clock } = options
  const { stream, posture } = link
  if (stream.destroyed) throw unreachable()
  let closed = false
  let disconnectReason: number | null = null
  let lastInboundMs = clock.monotonic()
  /** When the first packet was written that wants an answer and got no byte in return. */
  let askedMs = Number.NEGATIVE_INFINITY
  const unsettled = new Set<() => void>()
  /** Messages on their way, by packet identifier. */
  const pending = new Map<number, PendingAck>()
  let isBeyondBelief = false
  let strays = 0
  const listeners = new Set<(message: IncomingMessage) => void>()

  const guard = createPacketGuard(
    protocolVersion === 5
      ? { maxBytes: MAX_INBOUND_PACKET_BYTES, maxPropertiesBytes: MAX_INBOUND_PROPERTIES_BYTES }
      : { maxBytes: MAX_INBOUND_PACKET_BYTES },
  )
  stream.on('error', () => {}) // 'close' follows and settles everything
  feedInPieces(stream, (chunk) => {
    lastInboundMs = clock.monotonic()
    if (guard(chunk)) return true
    isBeyondBelief = true
    link.close()
    return false
  })
  const client = new MqttClient(() => stream, clientOptions(options))
  const destroy = () => {
    client.end(true)
    link.close()
  }
  client.on('error', destroy)
  client.on('disconnect', (packet) => {
    disconnectReason = packet.reasonCode ?? 0
    destroy()
  })
  const ended = new Promise<number | null>((resolve) => {
    stream.once('close', () => {
      closed = true
      clearInterval(watchdog)
      resolve(disconnectReason)
      for (const settle of unsettled) settle()
      client.end(true)
    })
  })
  const watchdog = setInterval(() => {
    strays = 0
    if (clock.monotonic() - lastInboundMs > 2 * keepaliveS * 1000) destroy()
  }, keepaliveS * 500)
  watchdog.unref()

  let connack: IConnackPacket | typeof EXPIRED
  try {
    connack = await withDeadline(connackOf(client, options), deadlineMs, clock)
  } catch (err) {
    destroy()
    throw err
  }
  if (connack === EXPIRED) {
    destroy()
    throw unreachable(new Error('no CONNACK by the deadline'))
  }
  const limits = limitsOf(connack)
  if (limits.receiveMaximum === 0 || limits.maximumPacketSize === 0) {
    destroy()
    throw unreachable(new Error('a CONNACK that grants nothing is a protocol error'))
  }

  client.on('packetreceive', (packet) => {
    const kind = takePacket(pending, packet)
    if (kind === 'stray' || (packet.cmd === 'publish' && listeners.size === 0)) strays++
    if (kind !== 'forbidden' && strays <= MAX_STRAYS) return
    isBeyondBelief = true
    link.close()
  })
  client.on('message', (topic, payload, packet) => {
    if (isBeyondBelief) return
    const { qos, retain, properties = {} } = packet
    for (const listener of listeners) listener({ topic, payload, qos, retain, properties })
  })

  /** Runs one exchange; whatever comes first, its answer, the end of the connection or a throw, settles it. */
  function exchange<T>(lost: T, start: (settle: (value: T) => void) => void): Promise<T> {
    if (closed || stream.destroyed) throw unreachable()
    return new Promise<T>((resolve) => {
      const settle = (value: T) => {
        unsettled.delete(abandon)
        resolve(value)
      }
      const abandon = () => settle(lost)
      unsettled.add(abandon)
      try {
        start(settle)
      } catch {
        destroy() // part of a packet may be on the wire: nothing may follow it
        abandon()
      }
    })
  }

  return {
    posture,
    limits,
    ended,
    get closed() {
      return closed || stream.destroyed
    },
    get silenceMs() {
      return lastInboundMs < askedMs ? clock.monotonic() - askedMs : 0
    },

    publish({ topic, payload, qos, retain, messageId, properties: given }) {
      if (given !== undefined && protocolVersion !== 5) throw unsayable()
      const body = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
      const properties = protocolVersion === 5 ? packetProperties(messageId, given) : {}
      const packet: Packet = { cmd: 'publish', topic, payload: body, qos, retain, dup: false, messageId: 1, properties }
      const plainBytes = PLAIN_OVERHEAD_BYTES + Buffer.byteLength(topic) + payload.length
      const isPlain = given === undefined && plainBytes <= Math.min(PLAIN_PACKET_BYTES, limits.maximumPacketSize)
      assertPublishable(limits, { qos, retain, packetBytes: isPlain ? plainBytes : encode(packet, protocolVersion) })
      return exchange<Delivery>({ state: 'lost' }, (settle) => {
        let id: number | undefined
        const ack = qos === 0 ? undefined : pendingAck(qos)
        client.publish(topic, body, { qos, retain, ...(protocolVersion === 5 && { properties }) }, (err) => {
          const code = (err as { code?: unknown } | null | undefined)?.code
          if (id !== undefined) pending.delete(id)
          if (isBeyondBelief) return // settled as lost when the stream has closed
          if (typeof code === 'number') {
            // A broker that refuses what it had taken before proves nothing.
            settle(ack?.next === 'pubcomp' ? { state: 'lost' } : { state: 'refused', reasonCode: code })
          } else if (!err) settle(ack ? { state: 'acknowledged', reasonCode: ack.reasonCode } : { state: 'sent' })
          else if (closed) settle({ state: 'lost' })
          // Settled when the stream has closed, so that `ended` comes first. Not `client.end`: mqtt.js may be half through
          // its list of callbacks, and ending it from one of them makes it throw at the next, out of a timer.
          else link.close()
        })
        if (!ack) return
        if (lastInboundMs >= askedMs) askedMs = clock.monotonic()
        id = client.getLastMessageId()
        pending.set(id, ack)
      })
    },

    subscribe(filter, qos) {
      const packet: Packet = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos }] }
      assertSubscribable(limits, filter, encode(packet, protocolVersion))
      return exchange<number | null>(null, (settle) => {
        client.subscribe(filter, { qos }, (_err, _granted, suback) => {
          const code: unknown = suback?.granted[0]
          settle(typeof code === 'number' ? code : null)
        })
      })
    },

    unsubscribe(filter) {
      return exchange<boolean>(false, (settle) => client.unsubscribe(filter, {}, (err) => settle(!err)))
    },

    onMessage(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    onEnd(listener) {
      if (closed) listener()
      else unsettled.add(listener)
      return () => unsettled.delete(listener)
    },

    async end() {
      if (closed) return
      client.end(false)
      await withDeadline(ended, clock.monotonic() + GOODBYE_MS, clock)
      destroy()
    },

    destroy,
  }
}
