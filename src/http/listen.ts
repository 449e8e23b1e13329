import { readFile } from 'node:fs/promises'
import {
  createServer as createHttpServer,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { AppError, type ErrorCode } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import { errorBody, metaOf } from './render.ts'

export interface ListenOptions {
  host: string
  port: number
  /** Paths of PEM files; with both the server speaks HTTPS only. */
  certFile?: string | undefined
  keyFile?: string | undefined
  /** PEM of authorities: clients are asked for a certificate of one of them, and may come without. Whoever needs one judges it. */
  clientAuthorities?: readonly string[] | undefined
}

export interface Listening {
  url: string
  port: number
  /** Every answer from here on closes its connection, those that are on their way included; new ones are still taken. */
  leave(): void
  /** No new connections; idle ones are closed at once, busy ones as they finish. Resolves when there is none. */
  stop(): Promise<void>
  /** As `stop`, and what is left then is cut. */
  close(): Promise<void>
}

/** Milliseconds that answers get to reach their readers before connections are cut. */
const GOODBYE_MS = 500

/** Connections at once; more are closed as they come. */
const MAX_CONNECTIONS = 8192
/**
 * Connections that the system may hold while the event loop is busy. When everybody comes back at once, after a restart or a
 * load balancer's failover, what finds no room here waits a second or more for its SYN to be sent again; Node's own 511 is less
 * than what a few hundred milliseconds bring. The system takes the smaller of this and its own limit (`net.core.somaxconn`,
 * 4,096 on Linux since 5.4).
 */
const BACKLOG = 4096
/** Longer than any operation takes: a connection on which nothing moves for so long, a reader that stopped reading included, is cut. */
const SILENCE_MS = 45_000

/** Slow and large requests end here: headers within 10 s and 16 KiB, the whole request within 30 s. */
const limits = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16_384,
  connectionsCheckingInterval: 2_000,
}

async function createServer({ certFile, keyFile, clientAuthorities }: ListenOptions): Promise<Server> {
  if (certFile === undefined || keyFile === undefined) return createHttpServer(limits)
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
  const asking = clientAuthorities && { requestCert: true, rejectUnauthorized: false, ca: [...clientAuthorities] }
  return createHttpsServer({ ...limits, handshakeTimeout: limits.headersTimeout, cert, key, ...asking })
}

/** What Node refuses before there is a request; by the code of its error, else 400. */
const malformed: Readonly<Record<string, { status: number; code: ErrorCode; text: string }>> = {
  HPE_HEADER_OVERFLOW: { status: 431, code: 'request.too_large', text: 'The headers are larger than 16 KiB.' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, code: 'request.timeout', text: 'The request did not arrive in time.' },
}

/** Answers bytes that did not become a request, in the wrapper that clients know, and closes the connection. */
function refuseMalformed(err: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) return
  const known = malformed[err.code ?? ''] ?? {
    status: 400,
    code: 'request.invalid' as const,
    text: 'Not an HTTP request.',
  }
  const nowMs = Date.now()
  const { status, code, text } = known
  const error = { ...errorBody(new AppError(code, text), 'other'), status }
  const meta = metaOf(newId('req', nowMs), nowMs)
  const body = JSON.stringify({ success: false, data: null, error, meta })
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Makes every answer of `server` the last one on its connection, once it is told to. */
function createLeave(server: Server): () => void {
  const open = new Set<ServerResponse>()
  let leaving = false
  server.on('request', (_req, res) => {
    if (leaving) res.shouldKeepAlive = false
    open.add(res)
    res.once('close', () => open.delete(res))
  })
  return () => {
    leaving = true
    for (const res of open) res.shouldKeepAlive = false
  }
}

/** Every connection, those without a TLS session yet included: Node's own list of them begins behind the handshake. */
function watchSockets(server: Server): ReadonlySet<Socket> {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return open
}

async function stopListening(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  server.closeIdleConnections()
  await closed
  clearInterval(idle)
}

/** Starts to listen; `port` 0 takes any free one. */
export async function listen(options: ListenOptions, listener: RequestListener): Promise<Listening> {
  const server = await createServer(options)
  const leave = createLeave(server)
  const sockets = watchSockets(server)
  server.on('request', listener)
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(SILENCE_MS, (socket) => socket.destroy())
  server.on('clientError', refuseMalformed)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: options.port, host: options.host, backlog: BACKLOG }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { address, port, family } = server.address() as AddressInfo
  const scheme = options.certFile === undefined ? 'http' : 'https'
  let stopped: Promise<void> | undefined
  const stop = () => (stopped ??= stopListening(server))
  return {
    url: `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    port,
    leave,
    stop,
    async close() {
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, GOODBYE_MS)
      await stop()
      clearTimeout(cut)
    },
  }
}
