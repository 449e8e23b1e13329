import { readFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
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
}

export interface Listening {
  url: string
  port: number
  /** No new connections; idle ones are closed at once, busy ones as they finish, the rest cut after ten seconds. */
  close(): Promise<void>
}

/** Milliseconds that requests in flight get when the server stops. */
const DRAIN_MS = 10_000

/** Connections at once; more are closed as they come. */
const MAX_CONNECTIONS = 8192
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

async function createServer({ certFile, keyFile }: ListenOptions, listener: RequestListener): Promise<Server> {
  if (certFile === undefined || keyFile === undefined) return createHttpServer(limits, listener)
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
  return createHttpsServer({ ...limits, cert, key }, listener)
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

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const cut = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
  server.closeIdleConnections()
  await closed
  clearInterval(idle)
  clearTimeout(cut)
}

/** Starts to listen; `port` 0 takes any free one. */
export async function listen(options: ListenOptions, listener: RequestListener): Promise<Listening> {
  const server = await createServer(options, listener)
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(SILENCE_MS, (socket) => socket.destroy())
  server.on('clientError', refuseMalformed)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { address, port, family } = server.address() as AddressInfo
  const scheme = options.certFile === undefined ? 'http' : 'https'
  return { url: `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`, port, close: () => stop(server) }
}
