import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket, type TLSSocketOptions } from 'node:tls'
import { Secret } from '#src/core/secret.ts'
import type { ConnectionOptions } from '#src/db/pool.ts'

/** A network between a pool and its server that can fail in three ways. */
export interface FaultyProxy {
  connection: ConnectionOptions
  port: number
  /** Keeps connections, and accepts new ones, but passes nothing on. */
  hang(): void
  /** Ends every connection and refuses new ones. */
  cut(): void
  restore(): Promise<void>
  close(): Promise<void>
  /** The first bytes that each client sent after any TLS handshake. */
  readonly heard: Buffer[]
}

function upstreamOf(connection: ConnectionOptions): { path: string } | { host: string; port: number } {
  if (connection.connectionString) {
    const url = new URL(connection.connectionString.reveal())
    const socket = url.searchParams.get('host')
    const port = Number(url.port || 5432)
    return socket?.startsWith('/') ? { path: `${socket}/.s.PGSQL.${port}` } : { host: url.hostname, port }
  }
  return { path: `${connection.host}/.s.PGSQL.${connection.port}` }
}

function through(connection: ConnectionOptions, port: number): ConnectionOptions {
  if (!connection.connectionString) return { ...connection, host: '127.0.0.1', port }
  const url = new URL(connection.connectionString.reveal())
  url.searchParams.delete('host')
  url.hostname = '127.0.0.1'
  url.port = String(port)
  return { connectionString: new Secret(url.href) }
}

/** Answers the SSLRequest of a PostgreSQL client: `S` and a handshake with `tls`, or `N`. */
async function greet(socket: Socket, tls: TLSSocketOptions | 'refuse'): Promise<Duplex> {
  const [request] = (await once(socket, 'data')) as [Buffer]
  if (request.length !== 8) throw new Error('No SSLRequest came first.')
  socket.pause()
  if (tls === 'refuse') {
    socket.write('N')
    return socket
  }
  socket.write('S')
  const secured = new TLSSocket(socket, { isServer: true, ...tls })
  await once(secured, 'secure')
  return secured
}

/** Starts a TCP proxy in front of the server of `connection`; with `tls` it asks clients for TLS as PostgreSQL does. */
export async function startProxy(
  connection: ConnectionOptions,
  tls?: TLSSocketOptions | 'refuse',
): Promise<FaultyProxy> {
  const sockets = new Set<Socket>()
  const heard: Buffer[] = []
  let hanging = false

  async function serve(socket: Socket): Promise<void> {
    sockets.add(socket)
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
    const client = tls ? await greet(socket, tls) : socket
    client.on('error', () => socket.destroy())
    const upstream = connect(upstreamOf(connection))
    upstream.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.on('close', () => upstream.destroy())
    client.once('data', (bytes: Buffer) => heard.push(bytes))
    client.on('data', (bytes: Buffer) => hanging || upstream.write(bytes))
    client.resume()
    upstream.on('data', (bytes) => hanging || client.write(bytes))
  }

  const listen = async (port: number): Promise<Server> => {
    const server = createServer((socket) => void serve(socket).catch(() => socket.destroy()))
    await once(server.listen(port, '127.0.0.1'), 'listening')
    return server
  }
  let server = await listen(0)
  const { port } = server.address() as AddressInfo
  const cut = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }

  return {
    connection: through(connection, port),
    port,
    heard,
    hang() {
      hanging = true
    },
    cut,
    async restore() {
      hanging = false
      for (const socket of sockets) socket.destroy()
      if (!server.listening) server = await listen(port)
    },
    async close() {
      cut()
    },
  }
}
