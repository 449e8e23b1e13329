import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** Many brokers on loopback addresses of their own, all on one port, that acknowledge what they are sent. */
export interface BrokerFarm {
  readonly hosts: readonly string[]
  readonly port: number
  /** Times (`performance.now()`) at which a connection arrived, also while down. */
  readonly arrivals: number[]
  /** Connections that are logged in. */
  readonly sessions: number
  /** Messages that were acknowledged. */
  readonly acknowledged: number
  /** Client ids of all logins. */
  readonly clientIds: readonly string[]
  /** Cuts every connection, and those that come until `up` is called. */
  down(): void
  up(): void
  close(): Promise<void>
}

const CONNACK_5 = Buffer.of(0x20, 3, 0, 0, 0)
const CONNACK_4 = Buffer.of(0x20, 2, 0, 0)
const PINGRESP = Buffer.of(0xd0, 0)

export function hostOf(index: number): string {
  return `127.0.${1 + Math.floor(index / 250)}.${1 + (index % 250)}`
}

/** Splits a stream into packets (OASIS MQTT 5.0 §2.1): the first byte, and what follows the length. */
function createSplitter(onPacket: (type: number, body: Buffer) => void) {
  let rest: Buffer = Buffer.alloc(0)
  return (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      let [length, at] = [0, 1]
      for (;;) {
        const byte = rest[at]
        if (byte === undefined) return
        length += (byte & 0x7f) * 128 ** (at - 1)
        at++
        if (byte < 0x80) break
      }
      if (rest.length < at + length) return
      const [type = 0] = rest
      const body = rest.subarray(at, at + length)
      rest = rest.subarray(at + length)
      onPacket(type, body)
    }
  }
}

async function listenOn(host: string, port: number, server: Server): Promise<number> {
  server.listen(port, host)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Starts `count` brokers. What they understand is what a pool needs: CONNECT, PUBLISH at QoS 0 and 1, PINGREQ. */
export async function startBrokerFarm(count: number): Promise<BrokerFarm> {
  assert.ok(count >= 1 && count <= 62_500)
  const hosts = Array.from({ length: count }, (_, i) => hostOf(i))
  const arrivals: number[] = []
  const clientIds: string[] = []
  const open = new Set<Socket>()
  const servers: Server[] = []
  let sessions = 0
  let acknowledged = 0
  let isDown = false

  function onConnection(socket: Socket): void {
    arrivals.push(performance.now())
    socket.on('error', () => {}) // a reset is part of it
    if (isDown) {
      socket.resetAndDestroy()
      return
    }
    open.add(socket)
    let loggedIn = false
    socket.once('close', () => {
      open.delete(socket)
      if (loggedIn) sessions--
    })
    const split = createSplitter((first, body) => {
      const type = first >> 4
      if (type === 1) {
        loggedIn = true
        sessions++
        const version = body[6]
        const idAt = version === 5 ? 11 + (body[10] ?? 0) : 10 // properties of a CONNECT are shorter than 128 bytes here
        clientIds.push(body.subarray(idAt + 2, idAt + 2 + body.readUInt16BE(idAt)).toString())
        socket.write(version === 5 ? CONNACK_5 : CONNACK_4)
      } else if (type === 3) {
        acknowledged++
        const idAt = 2 + body.readUInt16BE(0)
        if ((first & 6) === 2) socket.write(Buffer.of(0x40, 2, body[idAt] ?? 0, body[idAt + 1] ?? 0))
      } else if (type === 12) socket.write(PINGRESP)
      else if (type === 14) socket.end()
    })
    socket.on('data', split)
  }

  const newServer = () => {
    const server = createServer({ noDelay: true }, onConnection)
    servers.push(server)
    return server
  }
  const port = await listenOn(hosts[0] ?? '', 0, newServer())
  for (const host of hosts.slice(1)) await listenOn(host, port, newServer())

  const cut = () => {
    for (const socket of open) socket.resetAndDestroy()
  }
  return {
    hosts,
    port,
    arrivals,
    clientIds,
    get sessions() {
      return sessions
    },
    get acknowledged() {
      return acknowledged
    },
    down() {
      isDown = true
      cut()
    },
    up() {
      isDown = false
    },
    async close() {
      cut()
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    },
  }
}

/** The most that fall into any one second. */
export function mostInASecond(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b)
  let [first, most] = [0, 0]
  for (const [last, time] of sorted.entries()) {
    while (time - (sorted[first] ?? time) >= 1_000) first++
    most = Math.max(most, last - first + 1)
  }
  return most
}
