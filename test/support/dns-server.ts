import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, isIP, type Socket } from 'node:net'

/** One answer of a name, to whichever of the two address types is asked for. */
export interface DnsReply {
  /** IPv4 and IPv6 addresses. */
  readonly addresses?: readonly string[]
  /** Names that lead to them, in their order. */
  readonly cnames?: readonly string[]
  /** Absent: no error. */
  readonly error?: 'SERVFAIL' | 'NXDOMAIN' | 'REFUSED'
  /** Before it is sent; `'never'`: it is not. */
  readonly delayMs?: number | 'never'
  /** Applies to this type of question only; the other one gets an answer without addresses. */
  readonly only?: 'A' | 'AAAA'
}

export interface DnsQuestion {
  readonly name: string
  readonly type: 'A' | 'AAAA' | 'other'
}

export interface DnsServer {
  /** As `Resolver.setServers` takes it. */
  readonly server: string
  /** In the order of asking; over UDP and TCP alike. */
  readonly questions: readonly DnsQuestion[]
  /** How often an address of the name was asked for, the two types counted as one. */
  asked(name: string): number
  stop(): Promise<void>
}

export interface DnsServerOptions {
  /** Answers in their order, the last one repeated; each type of question counts for itself. */
  readonly names?: Readonly<Record<string, DnsReply | readonly DnsReply[]>>
  /** For names that are not listed; `undefined`: NXDOMAIN. */
  readonly other?: (name: string, type: DnsQuestion['type']) => DnsReply | undefined
  readonly address?: string
  readonly port?: number
}

const TYPES = { A: 1, CNAME: 5, AAAA: 28 } as const
const ERRORS = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const
/** A longer answer is cut, and asked for again over TCP (RFC 1035 §4.2.1). */
const MAX_UDP_BYTES = 512

function nameBytes(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(label, 'latin1'))
  return Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), label]), Buffer.of(0)])
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number))
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1) // without an IPv4 tail
  const [left = [], right = []] = canonical.split('::').map((text) => text.split(':').filter((group) => group !== ''))
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex')
}

/** A record with a life of zero: nobody may keep it. */
function record(name: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(type, 0)
  fixed.writeUInt16BE(1, 2)
  fixed.writeUInt16BE(data.length, 8)
  return Buffer.concat([nameBytes(name), fixed, data])
}

function parseQuestion(query: Buffer): DnsQuestion & { end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const code = query.readUInt16BE(at + 1)
  const type = code === TYPES.A ? 'A' : code === TYPES.AAAA ? 'AAAA' : 'other'
  return { name: labels.join('.').toLowerCase(), type, end: at + 5 }
}

function encodeReply(query: Buffer, { name, type, end }: ReturnType<typeof parseQuestion>, reply: DnsReply): Buffer {
  const records: Buffer[] = []
  const applies = reply.error === undefined && (reply.only === undefined || reply.only === type)
  let owner = name
  for (const next of (applies && reply.cnames) || []) {
    records.push(record(owner, TYPES.CNAME, nameBytes(next)))
    owner = next
  }
  const family = type === 'A' ? 4 : type === 'AAAA' ? 6 : 0
  for (const address of (applies && reply.addresses) || []) {
    if (isIP(address) === family && type !== 'other') records.push(record(owner, TYPES[type], addressBytes(address)))
  }
  const header = Buffer.alloc(12)
  query.copy(header, 0, 0, 2)
  const failed = reply.error !== undefined && (reply.only === undefined || reply.only === type)
  header.writeUInt16BE(0x8180 | (failed && reply.error ? ERRORS[reply.error] : 0), 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(records.length, 6)
  return Buffer.concat([header, query.subarray(12, end), ...records])
}

/** The header and the question alone, marked as cut. */
function truncated(reply: Buffer, end: number): Buffer {
  const cut = Buffer.from(reply.subarray(0, end))
  cut.writeUInt16BE(cut.readUInt16BE(2) | 0x0200, 2)
  cut.writeUInt16BE(0, 6)
  return cut
}

/** Starts a name server that says what a test tells it, over UDP and TCP on one port. */
export async function startDnsServer(options: DnsServerOptions = {}): Promise<DnsServer> {
  const { names = {}, other = () => undefined, address = '127.0.0.1', port = 0 } = options
  const questions: DnsQuestion[] = []
  const timers = new Set<NodeJS.Timeout>()
  const sockets = new Set<Socket>()

  /** The reply to what was asked last. */
  function replyTo({ name, type }: DnsQuestion): DnsReply {
    const listed = Object.hasOwn(names, name) ? names[name] : other(name, type)
    const replies = listed === undefined ? [] : [listed].flat()
    const asked = questions.filter((question) => question.name === name && question.type === type).length
    return replies[Math.min(asked, replies.length) - 1] ?? { error: 'NXDOMAIN' }
  }

  function answer(query: Buffer, send: (reply: Buffer, end: number) => void, isAgain: boolean): void {
    const question = parseQuestion(query)
    if (!isAgain) questions.push({ name: question.name, type: question.type })
    const reply = replyTo(question)
    if (reply.delayMs === 'never') return
    const timer = setTimeout(() => {
      timers.delete(timer)
      send(encodeReply(query, question, reply), question.end)
    }, reply.delayMs ?? 0)
    timers.add(timer)
  }

  const tcp = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let pending = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const length = pending.readUInt16BE(0)
        const query = pending.subarray(2, 2 + length)
        const send = (reply: Buffer) => {
          const prefix = Buffer.alloc(2)
          prefix.writeUInt16BE(reply.length)
          if (!socket.destroyed) socket.write(Buffer.concat([prefix, reply]))
        }
        answer(Buffer.from(query), send, true)
        pending = pending.subarray(2 + length)
      }
    })
  }).listen(port, address)
  await once(tcp, 'listening')
  const bound = (tcp.address() as AddressInfo).port

  const udp = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4')
  udp.on('message', (query, peer) => {
    const send = (reply: Buffer, end: number) => {
      const fits = reply.length <= MAX_UDP_BYTES
      udp.send(fits ? reply : truncated(reply, end), peer.port, peer.address)
    }
    answer(query, send, false)
  })
  udp.bind(bound, address)
  await once(udp, 'listening')

  return {
    server: `${address}:${bound}`,
    questions,
    asked(name) {
      const count = (type: DnsQuestion['type']) =>
        questions.filter((question) => question.name === name && question.type === type).length
      return Math.max(count('A'), count('AAAA'))
    },
    async stop() {
      for (const timer of timers) clearTimeout(timer)
      for (const socket of sockets) socket.destroy()
      udp.close()
      await new Promise((resolve) => tcp.close(resolve))
    },
  }
}
