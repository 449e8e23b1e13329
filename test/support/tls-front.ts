import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Identity } from './certificates.ts'

/** TLS in front of a plain broker, with a certificate that can be changed. */
export interface TlsFront {
  readonly port: number
  /** TCP connections that came, whatever became of them. */
  readonly accepted: number
  /** How handshakes ended as this side saw them: `done`, which a client that refuses may let happen, or the code of the failure. */
  readonly handshakes: readonly string[]
  present(identity: Identity): void
  stop(): Promise<void>
}

const optionsOf = ({ certificate, key }: Identity): TlsOptions => ({
  cert: certificate,
  key,
  ciphers: 'DEFAULT@SECLEVEL=0', // it must be able to present what the other side is to refuse
})

export async function startTlsFront(toPort: number, identity: Identity): Promise<TlsFront> {
  const sockets = new Set<TLSSocket>()
  const handshakes: string[] = []
  let accepted = 0
  const server = createServer(optionsOf(identity), (socket) => {
    handshakes.push('done')
    sockets.add(socket)
    const behind = connect(toPort, '127.0.0.1')
    for (const end of [socket, behind]) end.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      behind.destroy()
    })
    behind.on('close', () => socket.destroy())
    socket.pipe(behind).pipe(socket)
  }).listen(0, '127.0.0.1')
  server.on('connection', () => accepted++)
  server.on('tlsClientError', (err: NodeJS.ErrnoException) => handshakes.push(err.code ?? err.message))
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    handshakes,
    get accepted() {
      return accepted
    },
    present: (next) => server.setSecureContext(optionsOf(next)),
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
