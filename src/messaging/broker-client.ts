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
import { createPacketGuard } from './packet-guard.ts'
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
const INBOUND_IN_FLIGHT = 256
const GOODBYE_MS = 1000
const MESSAGE_ID_PROPERTY = 'sealwire-message-id'

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
  const invalid = (cause?: unknown) => new AppError('request.invalid', 'This cannot be said in MQTT.', { cause })
  let bytes: Buffer
  try {
    bytes = generate(packet, { protocolVersion })
  } catch (err) {
    throw invalid(err)
  }
  if (!isWhole(bytes)) throw invalid()
  return bytes.length
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
  const unsettled = new Set<() => void>()
  const reasons = new Map<number, number>()
  const listeners = new Set<(message: IncomingMessage) => void>()

  const guard = createPacketGuard(MAX_INBOUND_PACKET_BYTES)
  stream.on('error', () => {}) // 'close' follows and settles everything
  stream.on('data', (chunk: Uint8Array) => {
    lastInboundMs = clock.monotonic()
    if (!guard(chunk)) link.close()
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
    })
  })
  const watchdog = setInterval(() => {
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

  client.on('packetreceive', (packet) => {
    if ((packet.cmd === 'puback' || packet.cmd === 'pubrec') && packet.messageId !== undefined && packet.reasonCode) {
      reasons.set(packet.messageId, packet.reasonCode)
    }
  })
  client.on('message', (topic, payload, packet) => {
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
    get lastInboundMs() {
      return lastInboundMs
    },

    publish({ topic, payload, qos, retain, messageId }) {
      const body = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
      const properties = protocolVersion === 5 ? { userProperties: { [MESSAGE_ID_PROPERTY]: messageId } } : {}
      const packet: Packet = { cmd: 'publish', topic, payload: body, qos, retain, dup: false, messageId: 1, properties }
      assertPublishable(limits, { qos, retain, packetBytes: encode(packet, protocolVersion) })
      return exchange<Delivery>({ state: 'lost' }, (settle) => {
        let id: number | undefined
        client.publish(topic, body, { qos, retain, ...(protocolVersion === 5 && { properties }) }, (err) => {
          const code = (err as { code?: unknown } | null | undefined)?.code
          const reasonCode = id === undefined ? 0 : (reasons.get(id) ?? 0)
          if (id !== undefined) reasons.delete(id)
          if (typeof code === 'number') settle({ state: 'refused', reasonCode: code })
          else if (!err) settle(qos === 0 ? { state: 'sent' } : { state: 'acknowledged', reasonCode })
          else if (closed) settle({ state: 'lost' })
          else destroy() // settled when the stream has closed, so that `ended` comes first
        })
        if (qos === 0) return
        id = client.getLastMessageId()
        reasons.delete(id) // of an acknowledgement that nobody asked for
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

    async end() {
      if (closed) return
      client.end(false)
      await withDeadline(ended, clock.monotonic() + GOODBYE_MS, clock)
      destroy()
    },

    destroy,
  }
}
