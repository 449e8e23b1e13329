import { AppError } from '../core/errors.ts'

/** The one answer for a broker that was not reached, whatever the reason: name, route, refusal, silence, no TLS. */
export function unreachable(cause?: unknown): AppError {
  return new AppError('broker.unreachable', 'The broker could not be reached.', { cause, retryAfterS: 1 })
}

/** A refusal that the broker or its certificate gave; `reason` is a name of ours or of OpenSSL, never the broker's text. */
export function rejected(message: string, reason: string, reasonCode: number | null = null, cause?: unknown): AppError {
  return new AppError('broker.rejected', message, { details: { reason_code: reasonCode, reason }, cause })
}

/**
 * TLS alerts by which a broker refuses the certificate of its client, or the lack of one (RFC 8446 §6.2), in the names of
 * OpenSSL before and since 3.5.
 */
const CLIENT_CERTIFICATE_ALERT =
  /^ERR_SSL_(?:SSL\/TLS|SSLV3|TLSV1|TLSV13)_ALERT_((?:BAD_|UNSUPPORTED_)?CERTIFICATE(?:_REVOKED|_EXPIRED|_UNKNOWN|_REQUIRED)?|UNKNOWN_CA|ACCESS_DENIED)$/

/** The refusal behind an error of a TLS stream, when the broker refused our certificate; it may come after the handshake. */
export function clientCertificateRefusal(err: unknown): AppError | undefined {
  const code = (err as { code?: unknown } | null)?.code
  const alert = typeof code === 'string' ? CLIENT_CERTIFICATE_ALERT.exec(code)?.[1] : undefined
  if (alert === undefined) return undefined
  return rejected('The broker refused the client certificate, or misses one.', `CLIENT_${alert}`, null, err)
}
