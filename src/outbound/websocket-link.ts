import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocket } from 'ws'
import type { Destination } from './destination.ts'
import { clientCertificateRefusal, unreachable } from './dial-errors.ts'

/** Larger than any packet that the packet guard accepts (8.1 MiB); it judges more closely. */
const MAX_FRAME_BYTES = 9 * 1024 * 1024

/**
 * Upgrades a connected socket to a WebSocket that carries MQTT, as a stream of bytes. Redirects are not followed,
 * compression is off, the subprotocol must be `mqtt`.
 *
 * @see OASIS MQTT 5.0 §6
 * @throws {AppError} `broker.unreachable`; `broker.rejected` when the broker wants another client certificate
 */
export async function startWebSocket(
  socket: Socket,
  destination: Destination,
  path: string,
  signal: AbortSignal,
): Promise<Duplex> {
  const { hostname, port, protocol } = destination
  const host = hostname.includes(':') ? `[${hostname}]` : hostname
  const webSocket = new WebSocket(`${protocol}://${host}:${port}${path}`, ['mqtt'], {
    createConnection: () => socket,
    followRedirects: false,
    perMessageDeflate: false,
    maxPayload: MAX_FRAME_BYTES,
  })
  const stop = () => webSocket.terminate()
  signal.addEventListener('abort', stop)
  try {
    await new Promise<void>((resolve, reject) => {
      webSocket.on('error', reject) // stays, so that a late error has a listener
      webSocket.once('open', resolve)
      webSocket.once('close', () => reject(new Error('closed before the upgrade')))
    })
  } catch (err) {
    webSocket.terminate()
    throw clientCertificateRefusal(err) ?? unreachable(err)
  } finally {
    signal.removeEventListener('abort', stop)
  }
  return createWebSocketStream(webSocket)
}
