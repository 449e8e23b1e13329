import { randomBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { classifyAddress } from '#src/outbound/classify-address.ts'
import { findMosquitto, startMosquitto } from '#test/support/mosquitto.ts'

export interface Broker {
  /** For people: what it is and where. */
  words: string
  protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  /** What goes into the vault. */
  credential: { hostname: string; port: number; username?: string; password?: string }
  stop(): Promise<void>
}

const protocols = ['mqtt', 'mqtts', 'ws', 'wss'] as const

/** Takes a broker that runs already: `mqtt://name:password@host:port`, and `mqtts`, `ws`, `wss`. It is left as it was. */
export function givenBroker(text: string): Broker {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const protocol = protocols.find((name) => url?.protocol === `${name}:`)
  if (url === undefined || protocol === undefined)
    throw new Error(`--broker ${text}: not mqtt://, mqtts://, ws:// or wss://`)
  const defaultPort = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 }[protocol]
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1') // a URL writes IPv6 in brackets, a credential does not
  const credential: Broker['credential'] = { hostname, port: Number(url.port) || defaultPort }
  if (url.username !== '') credential.username = decodeURIComponent(url.username)
  if (url.password !== '') credential.password = decodeURIComponent(url.password)
  return { words: `${url.host}, as --broker says`, protocol, credential, stop: async () => {} }
}

/** Starts Mosquitto where it is installed, else aedes, on a free loopback port with a name and a password. */
export async function startBroker(find = findMosquitto): Promise<Broker> {
  if (find() !== undefined) return startOwnMosquitto()
  const broker = await startAedes()
  return { ...broker, words: `${broker.words}, because Mosquitto is not installed` }
}

/**
 * Looks up which private addresses the broker has, as ranges that hold nothing else: `/32`, `/128`. None for a name without
 * an address; the connection says so later.
 */
export async function privateRangesOf({ credential }: Broker): Promise<string[]> {
  const found = await lookup(credential.hostname, { all: true }).catch((err: NodeJS.ErrnoException) => {
    if (err.syscall !== 'getaddrinfo') throw err
    return []
  })
  return found
    .filter(({ address }) => classifyAddress(address) === 'private')
    .map(({ address, family }) => `${address}/${family === 6 ? 128 : 32}`)
}

const account = () => ({ username: 'quickstart', password: randomBytes(18).toString('base64url') })

async function startOwnMosquitto(): Promise<Broker> {
  const { username, password } = account()
  const broker = await startMosquitto({ users: { [username]: password }, settings: ['max_inflight_messages 1000'] })
  const port = broker.ports.tcp
  const credential = { hostname: '127.0.0.1', port, username, password }
  return { words: `Mosquitto on 127.0.0.1:${port}`, protocol: 'mqtt', credential, stop: () => broker.stop() }
}

/** Starts aedes, a broker from npm that speaks MQTT 5. */
export async function startAedes(): Promise<Broker> {
  const { username, password } = account()
  const aedes = await Aedes.createBroker({
    authenticate: (_client, name, given, done) => done(null, name === username && given?.toString() === password),
  })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    aedes.handle(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    words: `aedes on 127.0.0.1:${port}`,
    protocol: 'mqtt',
    credential: { hostname: '127.0.0.1', port, username, password },
    async stop() {
      await new Promise<void>((resolve) => aedes.close(resolve))
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}
