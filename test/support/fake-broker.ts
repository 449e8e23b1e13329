import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { generate, type IConnackPacket, type IConnectPacket, type Packet, parser } from 'mqtt-packet'

type Cmd = Packet['cmd']
type PacketOf<C extends Cmd> = Extract<Packet, { cmd: C }>

export interface FakeConnection {
  /** Counted from 0. */
  readonly index: number
  readonly socket: Socket
  readonly connect: IConnectPacket | undefined
  send(packet: Packet): void
  /** Writes bytes that need not be MQTT. */
  write(bytes: Uint8Array): void
  close(): void
}

/** One line of the broker's own log. `raw`: bytes that are written as they are, `end`: the connection has closed. */
export interface LogEntry {
  /** As of `performance.now()`. */
  readonly atMs: number
  readonly connection: number
  readonly direction: 'in' | 'out'
  readonly packet: Packet | { readonly cmd: 'raw' | 'end' }
}

/** What a broker does with one kind of packet instead of answering as it should. */
export type Misbehaviour = { [C in Cmd]?: (packet: PacketOf<C>, connection: FakeConnection) => void }

export interface FakeBroker {
  readonly port: number
  /** Every packet that came in, in order. */
  readonly packets: readonly Packet[]
  /** All bytes that came in, whatever they are. */
  readonly bytes: Buffer[]
  readonly connections: readonly FakeConnection[]
  /** What came in and what was answered, in order. */
  readonly log: readonly LogEntry[]
  /** The log as words, such as `0 < publish` and `0 > puback`, without connects, pings and ends. */
  exchange(): string[]
  packetsOf<C extends Cmd>(cmd: C): PacketOf<C>[]
  /** Resolves once `count` packets of this kind came; rejects after a minute, and says how many did. */
  received(cmd: Cmd, count?: number): Promise<void>
  /** From now on it answers every packet as MQTT asks. */
  mend(): void
  stop(): Promise<void>
}

export interface FakeBrokerOptions {
  readonly misbehave?: Misbehaviour
  /** Properties of CONNACK, for MQTT 5. */
  readonly connack?: IConnackPacket['properties']
  /** Before a packet of the client has come. */
  readonly onAccept?: (connection: FakeConnection) => void
  /** Speaks TLS with this certificate, both as PEM. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** `false`: keeps no packets, bytes and log, for those who send a hundred thousand. */
  readonly keep?: boolean
  /** Default: one that is free. */
  readonly port?: number
}

/** A packet that does not come is a failure with a name, and not a test that hangs. */
const RECEIVED_MS = 60_000

function answer(packet: Packet, connection: FakeConnection, { connack }: FakeBrokerOptions): void {
  const { messageId = 0 } = packet
  if (packet.cmd === 'connect') {
    const granted = { cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 } as const
    connection.send(packet.protocolVersion === 5 && connack ? { ...granted, properties: connack } : granted)
  } else if (packet.cmd === 'publish' && packet.qos === 1) connection.send({ cmd: 'puback', messageId })
  else if (packet.cmd === 'publish' && packet.qos === 2) connection.send({ cmd: 'pubrec', messageId })
  else if (packet.cmd === 'pubrel') connection.send({ cmd: 'pubcomp', messageId })
  else if (packet.cmd === 'subscribe') {
    connection.send({ cmd: 'suback', messageId, granted: packet.subscriptions.map(({ qos }) => qos) })
  } else if (packet.cmd === 'unsubscribe') {
    connection.send({ cmd: 'unsuback', messageId, granted: packet.unsubscriptions.map(() => 0) })
  } else if (packet.cmd === 'pingreq') connection.send({ cmd: 'pingresp' })
}

/** Starts a broker on loopback that answers every packet as MQTT asks, but for those that `misbehave` takes over. */
export async function startFakeBroker(options: FakeBrokerOptions = {}): Promise<FakeBroker> {
  const packets: Packet[] = []
  const bytes: Buffer[] = []
  const connections: FakeConnection[] = []
  const log: LogEntry[] = []
  const waiting = new Set<() => void>()
  const { keep = true } = options
  let mended = false

  const accept = (socket: Socket) => {
    let connect: IConnectPacket | undefined
    const version = () => connect?.protocolVersion ?? 4
    const index = connections.length
    const note = (direction: 'in' | 'out', packet: LogEntry['packet']) => {
      if (keep) log.push({ atMs: performance.now(), connection: index, direction, packet })
    }
    const connection: FakeConnection = {
      index,
      socket,
      get connect() {
        return connect
      },
      send(packet) {
        note('out', packet)
        socket.write(generate(packet, { protocolVersion: version() }))
      },
      write(raw) {
        note('out', { cmd: 'raw' })
        socket.write(raw)
      },
      close: () => void socket.destroy(),
    }
    connections.push(connection)
    const decoder = parser({ protocolVersion: 4 })
    decoder.on('packet', (packet) => {
      if (keep) packets.push(packet)
      note('in', packet)
      if (packet.cmd === 'connect') connect = packet
      const own = (mended ? undefined : options.misbehave?.[packet.cmd]) as
        | ((packet: Packet, connection: FakeConnection) => void)
        | undefined
      if (own) own(packet, connection)
      else answer(packet, connection, options)
      for (const check of waiting) check()
    })
    decoder.on('error', () => socket.destroy())
    socket.on('error', () => {}) // a reset is one of the things that are tested
    socket.on('close', () => note('in', { cmd: 'end' }))
    socket.on('data', (chunk: Buffer) => {
      if (keep) bytes.push(chunk)
      decoder.parse(chunk)
    })
    if (!mended) options.onAccept?.(connection)
  }
  const raw = new Set<Socket>() // of TLS too: a handshake that never ends is a connection
  const server = options.tls ? createTlsServer(options.tls, accept) : createServer(accept)
  server.on('connection', (socket: Socket) => raw.add(socket.once('close', () => raw.delete(socket))))
  server.on('tlsClientError', () => {}) // a client that hangs up in the handshake
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    packets,
    bytes,
    connections,
    log,
    exchange: () =>
      log
        .filter(({ packet }) => !/^(connect|connack|pingreq|pingresp|end)$/.test(packet.cmd))
        .map(({ connection, direction, packet }) => `${connection} ${direction === 'in' ? '<' : '>'} ${packet.cmd}`),
    packetsOf: <C extends Cmd>(cmd: C) => packets.filter((packet): packet is PacketOf<C> => packet.cmd === cmd),
    received: (cmd, count = 1) =>
      new Promise((resolve, reject) => {
        const came = () => packets.filter((packet) => packet.cmd === cmd).length
        const timer = setTimeout(() => {
          waiting.delete(check)
          reject(new Error(`the broker waits for ${count} ${cmd}, and got ${came()}`))
        }, RECEIVED_MS).unref()
        const check = () => {
          if (came() < count) return
          waiting.delete(check)
          clearTimeout(timer)
          resolve()
        }
        waiting.add(check)
        check()
      }),
    mend() {
      mended = true
    },
    async stop() {
      for (const socket of raw) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
