import { readFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

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
