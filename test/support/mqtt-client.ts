import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'

type Cmd = Packet['cmd']
type PacketOf<C extends Cmd> = Extract<Packet, { cmd: C }>

export interface MqttLogin {
  readonly clientId: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Default 5. */
  readonly version?: 4 | 5
  readonly will?: { readonly topic: string; readonly payload: string }
}

export interface MqttMessage {
  readonly topic: string
  readonly payload: string
}

/** A client that shows what a broker answers, packet by packet, and shares nothing with `src/`. */
export interface MqttClient {
  /** Return code or reason code of CONNACK; `closed`: the broker ended the connection without one. */
  readonly connected: number | 'closed'
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>
  readonly isClosed: boolean
  /** What was delivered so far. */
  readonly messages: readonly MqttMessage[]
  /** Publishes at QoS 1; resolves with the reason code of PUBACK, 0 for each that means success, or `closed`. */
  publish(topic: string, payload: string, options?: { retain?: boolean }): Promise<number | 'closed'>
  /** Resolves with one code for each filter, or `closed`. */
  subscribe(...filters: string[]): Promise<readonly number[] | 'closed'>
  /** Resolves when so many messages were delivered, with all of them. */
  delivered(count: number): Promise<readonly MqttMessage[]>
  /** Round trip of a PINGREQ: whatever the broker sent before has arrived by then. */
  ping(): Promise<void>
  /** Says goodbye, so that no will fires. */
  end(): Promise<void>
  /** Breaks the connection off. */
  drop(): void
}

/** Connects to a broker on loopback and resolves when it has answered, whatever it said. */
export async function connectMqtt(port: number, login: MqttLogin): Promise<MqttClient> {
  const { version = 5, clientId, username, password, will } = login
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {}) // 'close' follows
  let isClosed = false
  let lastId = 0
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isClosed = true
      resolve()
    })
  })
  const messages: MqttMessage[] = []
  const reading = parser({ protocolVersion: version })
  socket.on('data', (chunk: Buffer) => reading.parse(chunk))
  reading.on('packet', (packet) => {
    if (packet.cmd !== 'publish') return
    if (packet.qos === 1) send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
    messages.push({ topic: packet.topic, payload: packet.payload.toString() })
    reading.emit('message')
  })

  const send = (packet: Packet) => socket.write(generate(packet, { protocolVersion: version }))
  function next<C extends Cmd>(cmd: C, messageId?: number): Promise<PacketOf<C> | 'closed'> {
    const found = new Promise<PacketOf<C>>((resolve) => {
      const look = (packet: Packet) => {
        if (packet.cmd !== cmd || (messageId !== undefined && packet.messageId !== messageId)) return
        reading.off('packet', look)
        resolve(packet as PacketOf<C>)
      }
      reading.on('packet', look)
    })
    return Promise.race([found, closed.then(() => 'closed' as const)])
  }

  const hello: IConnectPacket = {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clean: true,
    clientId,
    keepalive: 0,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: Buffer.from(password) }),
    ...(will && { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1, retain: false } }),
  }
  const answer = next('connack')
  socket.once('connect', () => send(hello))
  const connack = await answer

  return {
    connected: connack === 'closed' ? 'closed' : ((version === 5 ? connack.reasonCode : connack.returnCode) ?? 0),
    closed,
    get isClosed() {
      return isClosed
    },
    messages,
    async publish(topic, payload, { retain = false } = {}) {
      const messageId = ++lastId
      const puback = next('puback', messageId)
      send({ cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, dup: false, retain, messageId })
      const got = await puback
      if (got === 'closed') return got
      const { reasonCode = 0 } = got // none under MQTT 3.1.1
      return reasonCode < 0x80 ? 0 : reasonCode
    },
    async subscribe(...filters) {
      const messageId = ++lastId
      const suback = next('suback', messageId)
      send({ cmd: 'subscribe', messageId, subscriptions: filters.map((topic) => ({ topic, qos: 1 as const })) })
      const got = await suback
      return got === 'closed' ? 'closed' : (got.granted as number[])
    },
    async delivered(count) {
      while (messages.length < count) {
        const got = await Promise.race([once(reading, 'message'), closed.then(() => 'closed')])
        if (got === 'closed') throw new Error(`closed after ${messages.length} of ${count} messages`)
      }
      return [...messages]
    },
    async ping() {
      const pingresp = next('pingresp')
      send({ cmd: 'pingreq' })
      if ((await pingresp) === 'closed') throw new Error('closed')
    },
    async end() {
      if (!isClosed) socket.end(generate({ cmd: 'disconnect' }, { protocolVersion: version }))
      await closed
    },
    drop() {
      socket.resetAndDestroy()
    },
  }
}
