import { isIP } from 'node:net'
import { AppError } from '../core/errors.ts'

export const protocols = ['mqtt', 'mqtts', 'ws', 'wss'] as const
export type Protocol = (typeof protocols)[number]

/** One place where a broker is reached, as a credential spells it: not yet judged. */
export interface BrokerHost {
  readonly hostname: unknown
  readonly port: unknown
}

export interface Destination {
  readonly hostname: string
  readonly port: number
  readonly protocol: Protocol
}

/** One label of a DNS name in ASCII; names in other scripts are written as `xn--…`. */
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i

/** What `getaddrinfo` reads as an address although it is no canonical one: `127.1`, `0x7f000001`, `2130706433`. */
const NUMERIC = /^(0x[0-9a-f]*|[0-9]+)$/i

/** Names by which clouds serve credentials to whoever asks. */
const METADATA_NAMES = new Set(['metadata', 'metadata.google.internal', 'metadata.goog', 'instance-data'])

/** System ports on which brokers do listen; every other one below 1024 belongs to another service. */
const SYSTEM_PORTS: Readonly<Record<Protocol, readonly number[]>> = { mqtt: [], mqtts: [443], ws: [80], wss: [443] }

/** Ports of services that are no broker and that answer whoever reaches them. */
const OTHER_SERVICES: ReadonlySet<number> = new Set([
  1433, 1521, 2049, 2181, 2375, 2376, 2377, 2379, 2380, 3306, 3389, 4243, 5432, 5672, 5984, 5985, 6379, 6443, 8500,
  8600, 9042, 9092, 9200, 9300, 10250, 10255, 11211, 15672, 27017, 27018,
])

/** The one answer for every host that must not be dialled, whatever its address is. */
export function notAllowed(): AppError {
  return new AppError(
    'destination.not_allowed',
    'This destination is not allowed. A broker on a private or loopback address needs its network in OUTBOUND_ALLOW, which the operator sets.',
  )
}

/** It says nothing about any address: whoever asks knows the port. */
function portNotAllowed(protocol: Protocol): AppError {
  const known = SYSTEM_PORTS[protocol].map((port) => ` but ${port}`).join('')
  return new AppError(
    'destination.not_allowed',
    `port: ${protocol} is not spoken at a port below 1024${known}, nor at one that is known for another service.`,
    { details: { member: 'port' } },
  )
}

function invalid(member: string, rule: string): AppError {
  return new AppError('request.invalid', `${member}: ${rule}.`, { details: { member } })
}

/**
 * Judges how a host is named, before it is resolved; lower case afterwards.
 *
 * @throws {AppError} `request.invalid` for what is no host, `destination.not_allowed` for what must not be dialled
 */
export function parseServiceHost(hostname: unknown): string {
  const rule = 'must be a DNS name or an IP address, without scheme, port, brackets, spaces or a dot at its end'
  if (typeof hostname !== 'string') throw invalid('hostname', rule)
  if (isIP(hostname) !== 0 && !hostname.includes('%')) return hostname
  const labels = hostname.split('.')
  if (hostname.length > 253 || !labels.every((label) => LABEL.test(label))) throw invalid('hostname', rule)
  if (NUMERIC.test(labels.at(-1) ?? '')) throw notAllowed()
  if (METADATA_NAMES.has(hostname.toLowerCase())) throw notAllowed()
  return hostname.toLowerCase()
}

/** The addresses of a name below `localhost`, which are known without asking (RFC 6761 §6.3); none for every other name. */
export function localhostAddresses(hostname: string): readonly string[] {
  return hostname === 'localhost' || hostname.endsWith('.localhost') ? ['127.0.0.1', '::1'] : []
}

/**
 * Judges the port of an HTTP service that others name: 443, or one from 1024 that is not known for another service.
 *
 * @throws {AppError} `destination.not_allowed`
 */
export function parseServicePort(port: number): number {
  if (port < 1024 ? port !== 443 : OTHER_SERVICES.has(port)) throw notAllowed()
  return port
}

function parsePort(port: unknown): number {
  const value = typeof port === 'string' && /^[1-9][0-9]{0,4}$/.test(port) ? Number(port) : port
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65_535) {
    throw invalid('port', 'must be an integer from 1 to 65535')
  }
  return value
}

/**
 * Judges how a broker is named, before any name is resolved: the spelling of the host, and the port policy (system ports
 * only where brokers use them, well-known ports of other services never).
 *
 * @throws {AppError} `request.invalid` for what is no host or no port, `destination.not_allowed` for what must not be dialled
 */
export function parseDestination(input: { hostname: unknown; port: unknown; protocol: Protocol }): Destination {
  const hostname = parseServiceHost(input.hostname)
  const port = parsePort(input.port)
  if (port < 1024 ? !SYSTEM_PORTS[input.protocol].includes(port) : OTHER_SERVICES.has(port)) {
    throw portNotAllowed(input.protocol)
  }
  return { hostname, port, protocol: input.protocol }
}

/**
 * Judges every host of a broker; one that must not be dialled refuses them all.
 *
 * @throws {AppError} as `parseDestination` does; the message names the place in the list where there is more than one
 */
export function parseHosts(hosts: readonly BrokerHost[], protocol: Protocol): readonly Destination[] {
  return hosts.map(({ hostname, port }, i) => {
    try {
      return parseDestination({ hostname, port, protocol })
    } catch (err) {
      const member = err instanceof AppError ? err.details?.['member'] : undefined
      if (hosts.length === 1 || !(err instanceof AppError) || typeof member !== 'string') throw err
      throw new AppError(err.code, `hosts[${i}].${err.message}`, { details: { member: `hosts[${i}].${member}` } })
    }
  })
}
