import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { generate, type IConnackPacket, type IConnectPacket, type Packet, parser } from 'mqtt-packet'

type Cmd = Packet['cmd']
type PacketOf<C extends Cmd> = Extract<Packet, { cmd: C }>

export interface FakeConnection {
  readonly socket: Socket
  readonly connect: IConnectPacket | undefined
  send(packet: Packet): void
  /** Writes bytes that need not be MQTT. */
  write(bytes: Uint8Array): void
  close(): void
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
  packetsOf<C extends Cmd>(cmd: C): PacketOf<C>[]
  /** Resolves with the next packet of this kind, or one that came already when `count` of them did. */
  received(cmd: Cmd, count?: number): Promise<void>
  stop(): Promise<void>
}

export interface FakeBrokerOptions {
  readonly misbehave?: Misbehaviour
  /** Properties of CONNACK, for MQTT 5. */
  readonly connack?: IConnackPacket['properties']
}

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
  const waiting = new Set<() => void>()

  const server = createServer((socket) => {
    let connect: IConnectPacket | undefined
    const version = () => connect?.protocolVersion ?? 4
    const connection: FakeConnection = {
      socket,
      get connect() {
        return connect
      },
      send: (packet) => void socket.write(generate(packet, { protocolVersion: version() })),
      write: (raw) => void socket.write(raw),
      close: () => void socket.destroy(),
    }
    connections.push(connection)
    const decoder = parser({ protocolVersion: 4 })
    decoder.on('packet', (packet) => {
      packets.push(packet)
      if (packet.cmd === 'connect') connect = packet
      const own = options.misbehave?.[packet.cmd] as ((packet: Packet, connection: FakeConnection) => void) | undefined
      if (own) own(packet, connection)
      else answer(packet, connection, options)
      for (const check of waiting) check()
    })
    decoder.on('error', () => socket.destroy())
    socket.on('error', () => {}) // a reset is one of the things that are tested
    socket.on('data', (chunk: Buffer) => {
      bytes.push(chunk)
      decoder.parse(chunk)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as AddressInfo).port,
    packets,
    bytes,
    connections,
    packetsOf: <C extends Cmd>(cmd: C) => packets.filter((packet): packet is PacketOf<C> => packet.cmd === cmd),
    received: (cmd, count = 1) =>
      new Promise((resolve) => {
        const check = () => {
          if (packets.filter((packet) => packet.cmd === cmd).length < count) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      }),
    async stop() {
      for (const { socket } of connections) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
