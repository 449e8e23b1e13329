import { isIP } from 'node:net'
import { AppError } from '../core/errors.ts'
import { parseServiceHost, parseServicePort } from './destination.ts'
import { RequestFailure } from './request-failure.ts'

export interface HttpTarget {
  readonly isEncrypted: boolean
  /** A DNS name in lower case, or an address in its canonical spelling without brackets. */
  readonly hostname: string
  readonly port: number
  /** Path and query, as a request line carries them. */
  readonly path: string
}

/** Longest URL that is asked for, in characters. */
const MAX_URL = 8_192

/**
 * Reads and judges the URL of a service, before any name is resolved. One that nobody of ours wrote (`trusted` false) must be
 * `https`, at 443 or at a port from 1024 that is not known for another service.
 *
 * @throws {RequestFailure} `invalid` for what is no such URL, `not-allowed` for what must not be asked
 */
export function parseHttpTarget(url: string, trusted: boolean): HttpTarget {
  if (url.length > MAX_URL) throw new RequestFailure('invalid', `a URL has at most ${MAX_URL} characters`)
  const parsed = URL.parse(url)
  if (parsed === null) throw new RequestFailure('invalid', 'not a URL')
  const { protocol, username, password, pathname, search } = parsed
  if (protocol !== 'https:' && protocol !== 'http:')
    throw new RequestFailure('invalid', 'a URL begins with https or http')
  if (username !== '' || password !== '') throw new RequestFailure('invalid', 'a URL holds no user and no password')
  const isEncrypted = protocol === 'https:'
  if (!isEncrypted && !trusted)
    throw new RequestFailure('not-allowed', 'http is spoken only where the operator says so')
  // The parser has turned 127.1, 0x7f000001 and their like into addresses.
  const literal = parsed.hostname.startsWith('[') ? parsed.hostname.slice(1, -1) : parsed.hostname
  const port = parsed.port === '' ? (isEncrypted ? 443 : 80) : Number(parsed.port)
  try {
    const hostname = isIP(literal) === 0 ? parseServiceHost(literal) : literal
    return { isEncrypted, hostname, port: trusted ? port : parseServicePort(port), path: `${pathname}${search}` }
  } catch (err) {
    if (!(err instanceof AppError)) throw err
    throw new RequestFailure(
      err.code === 'request.invalid' ? 'invalid' : 'not-allowed',
      'the host or the port of the URL',
    )
  }
}
