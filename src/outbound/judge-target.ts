import { isIP } from 'node:net'
import type { SecureContext } from 'node:tls'
import { type Destination, localhostAddresses, notAllowed, parseHosts } from './destination.ts'
import type { DialTarget } from './dial.ts'
import type { IsDialable } from './resolve-host.ts'
import { createTlsContext } from './tls-link.ts'

/** A target whose hosts, ports, literal addresses and certificates are in order; of its names nothing is known yet. */
export interface JudgedTarget {
  readonly destinations: readonly Destination[]
  /** For `mqtts` and `wss`. */
  readonly context: SecureContext | undefined
}

/**
 * Judges all of a target that can be judged without asking anybody. One host that must not be dialled refuses them all.
 *
 * @throws {AppError} `request.invalid`, `destination.not_allowed`; `integration.invalid` for what is no usable PEM
 */
export function judgeTarget({ hosts, protocol, tls }: DialTarget, isDialable: IsDialable): JudgedTarget {
  const destinations = parseHosts(hosts, protocol)
  const isDenied = ({ hostname, port }: Destination) => {
    const known = isIP(hostname) === 0 ? localhostAddresses(hostname) : [hostname]
    return known.length > 0 && !known.some((address) => isDialable(address, port))
  }
  if (destinations.some(isDenied)) throw notAllowed()
  const isEncrypted = protocol === 'mqtts' || protocol === 'wss'
  return { destinations, context: isEncrypted ? createTlsContext(tls) : undefined }
}
