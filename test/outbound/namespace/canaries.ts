import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'

export interface Canaries {
  /** Addresses and ports that were connected to, in their order. */
  readonly visits: string[]
  close(): void
}

/** Listens on every address of this network at the given ports, and writes down who is visited. */
export async function startCanaries(ports: readonly number[]): Promise<Canaries> {
  const visits: string[] = []
  const sockets = new Set<Socket>()
  const servers: Server[] = []
  for (const port of ports) {
    const server = createServer((socket) => {
      visits.push(`${socket.localAddress?.replace(/^::ffff:(?=\d+\.)/, '')} ${port}`)
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
      socket.end()
    }).listen(port, '::')
    servers.push(server)
    await once(server, 'listening')
  }
  return {
    visits,
    close() {
      for (const socket of sockets) socket.destroy()
      for (const server of servers) server.close()
    },
  }
}
