import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

export interface Recorded {
  /** The request line and the headers as they came, without the empty line. */
  readonly head: string
  readonly path: string
  readonly body: string
}

/** What the double does with a request: a status with a body, or nothing at all. */
export type Answer = { readonly status: number; readonly body?: string } | 'hang' | 'reset'

export interface HookDouble {
  readonly port: number
  readonly requests: readonly Recorded[]
  /** Decides about every request from now on. */
  answer: (request: Recorded) => Answer
  /** Resolves with the next request as it comes. */
  next(): Promise<Recorded>
  /** Forgets what was recorded and returns it. */
  take(): Recorded[]
  stop(): Promise<void>
}

/** A service that records each request byte for byte and answers what a test says. Keeps connections alive. */
export async function startHookDouble(): Promise<HookDouble> {
  const requests: Recorded[] = []
  const sockets = new Set<Socket>()
  let comes = Promise.withResolvers<Recorded>()

  /** Reads one request from the start of what has come; answers how many bytes it took, 0 when it is not whole. */
  function readOne(socket: Socket, bytes: Buffer): number {
    const headEnd = bytes.indexOf('\r\n\r\n')
    if (headEnd < 0) return 0
    const head = bytes.toString('latin1', 0, headEnd)
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0)
    const end = headEnd + 4 + length
    if (bytes.length < end) return 0
    const request = { head, path: head.split(' ')[1] ?? '', body: bytes.toString('utf8', headEnd + 4, end) }
    requests.push(request)
    comes.resolve(request)
    comes = Promise.withResolvers<Recorded>()
    const answer = double.answer(request)
    if (answer === 'reset') socket.resetAndDestroy()
    else if (answer !== 'hang') {
      const { status, body = '' } = answer
      socket.write(`HTTP/1.1 ${status} -\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
    }
    return end
  }

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      for (let taken = readOne(socket, bytes); taken > 0; taken = readOne(socket, bytes)) bytes = bytes.subarray(taken)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  const double: HookDouble = {
    port: (server.address() as AddressInfo).port,
    requests,
    answer: () => ({ status: 200 }),
    next: () => comes.promise,
    take: () => requests.splice(0),
    async stop() {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
  return double
}
