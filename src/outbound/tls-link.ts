import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { isIP, type Socket } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { AppError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'
import { clientCertificateRefusal, rejected, unreachable } from './dial-errors.ts'
import { postureOf } from './posture.ts'

/** Everything that decides how TLS is spoken; there is no way to accept a certificate that does not verify. */
export interface TlsTarget {
  /** Name that is sent and that the certificate must bear; absent: the host. */
  readonly serverName: string | undefined
  readonly alpn: readonly string[]
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly requirePqc: boolean
  /** PEM; replaces the public authorities. */
  readonly caCert: string | undefined
  readonly client: { readonly certificate: string; readonly key: Secret<string> } | undefined
}

/**
 * Reads certificates and keys, before anything is dialled: what is wrong with them must not depend on who answers there.
 *
 * @throws {AppError} `integration.invalid` for what is no usable PEM
 */
export function createTlsContext({ caCert, client, minVersion }: TlsTarget): SecureContext {
  try {
    if (caCert !== undefined) new X509Certificate(caCert) // the context below ignores what is no certificate
    return createSecureContext({
      minVersion,
      ...(caCert !== undefined && { ca: caCert }),
      ...(client && { cert: client.certificate, key: client.key.reveal() }),
    })
  } catch (err) {
    throw new AppError(
      'integration.invalid',
      'ca_cert, client_cert or client_key of the credential is not usable PEM.',
      {
        cause: err,
      },
    )
  }
}

/** Texts of OpenSSL for which Node has no name, with those that OpenSSL gives them (`X509_verify_cert_error_string`). */
const UNNAMED: ReadonlyMap<string, string> = new Map([
  ['EE certificate key too weak', 'EE_KEY_TOO_SMALL'],
  ['CA certificate key too weak', 'CA_KEY_TOO_SMALL'],
  ['CA signature digest algorithm too weak', 'CA_MD_TOO_WEAK'],
])

function failure(socket: TLSSocket, err: unknown): AppError {
  // Set by Node, as a code, only when the chain or the name did not verify; the declared type is wrong.
  const refused = socket.authorizationError as unknown
  if (typeof refused === 'string') {
    const reason = (refused === 'UNSPECIFIED' && UNNAMED.get((err as Error).message)) || refused
    return rejected("The broker's certificate was refused.", reason, null, err)
  }
  return clientCertificateRefusal(err) ?? unreachable(err)
}

/**
 * Speaks TLS over a connected socket and resolves only when chain and name have verified.
 *
 * @throws {AppError} `broker.rejected` for a certificate that was refused, by either side, and for a classical key exchange
 * where a post-quantum one is required; `broker.unreachable` when no TLS was spoken
 */
export async function startTls(
  raw: Socket,
  hostname: string,
  { target, context }: { target: TlsTarget; context: SecureContext },
  signal: AbortSignal,
): Promise<TLSSocket> {
  const name = target.serverName ?? hostname
  const socket = connect({
    socket: raw,
    host: name, // what the certificate is compared with
    ...(isIP(name) === 0 && { servername: name }), // RFC 6066 §3: never an address
    secureContext: context,
    minVersion: target.minVersion,
    ...(target.alpn.length > 0 && { ALPNProtocols: [...target.alpn] }),
  })
  socket.on('error', () => {}) // whoever holds the stream hears it too; a late one must not end the process
  try {
    await once(socket, 'secureConnect', { signal })
  } catch (err) {
    socket.destroy()
    throw failure(socket, err)
  }
  if (!socket.encrypted || !socket.authorized) {
    socket.destroy()
    throw unreachable(new Error('the handshake ended without a verified peer'))
  }
  const { group, post_quantum: postQuantum } = postureOf(socket)
  if (target.requirePqc && !postQuantum) {
    socket.destroy()
    throw rejected(
      'The broker agreed on a classical key exchange, and require_pqc asks for a post-quantum one.',
      `post_quantum_required: ${group ?? 'unknown group'}`,
    )
  }
  return socket
}
