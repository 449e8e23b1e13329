import { utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { IntegrationConfig } from '../integrations/config-schema.ts'
import type { BrokerHost, Protocol } from '../outbound/destination.ts'
import type { DialTarget } from '../outbound/dial.ts'
import { utf8Length } from '../policy/utf8-length.ts'

export interface BrokerLogin {
  readonly username: string | undefined
  readonly password: Secret<Uint8Array> | undefined
}

/** MQTT carries both as strings of at most 65,535 bytes (OASIS MQTT 5.0 §3.1.3). */
const MAX_BYTES = 65_535

function invalid(member: string, rule: string): AppError {
  return new AppError('integration.invalid', `The credential is not usable: ${member} ${rule}.`, {
    details: { member },
  })
}

function optionalText(values: Readonly<Record<string, unknown>>, member: string): string | undefined {
  const value = values[member]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw invalid(member, 'must be text')
  if (!value.isWellFormed() || value.includes('\0') || utf8Length(value) > MAX_BYTES) {
    throw invalid(member, `must be Unicode without NUL, of at most ${MAX_BYTES} bytes`)
  }
  return value
}

const MAX_HOSTS = 8

/** One `hostname` and `port`, or `hosts`, a list of such pairs; what they name is judged by the dialler. */
function hostsOf({ hostname, port, hosts }: Readonly<Record<string, unknown>>): readonly BrokerHost[] {
  if (hosts === undefined || hosts === null) return [{ hostname, port }]
  if (hostname !== undefined || port !== undefined) throw invalid('hosts', 'stands in place of hostname and port')
  if (!Array.isArray(hosts) || hosts.length < 1 || hosts.length > MAX_HOSTS) {
    throw invalid('hosts', `must be a list of 1 to ${MAX_HOSTS}`)
  }
  return hosts.map((host: unknown, i) => {
    const member = `hosts[${i}]`
    if (typeof host !== 'object' || host === null) throw invalid(member, 'must have a hostname and a port')
    const stray = Object.keys(host).find((name) => name !== 'hostname' && name !== 'port')
    if (stray !== undefined) throw invalid(member, 'may have hostname and port, and nothing else')
    return { hostname: (host as BrokerHost).hostname, port: (host as BrokerHost).port }
  })
}

/** `mqtts` where a port is 8883 or a certificate is given; a port in another spelling is refused by the dialler. */
function defaultProtocol(hosts: readonly BrokerHost[], hasCertificate: boolean): Protocol {
  return hasCertificate || hosts.some(({ port }) => port === 8883 || port === '8883') ? 'mqtts' : 'mqtt'
}

/** Members of a credential that are no secrets, and that decide where and how its broker is reached. */
export const TARGET_MEMBERS: ReadonlySet<string> = new Set(['hostname', 'port', 'hosts', 'ca_cert', 'client_cert'])

/**
 * Reads where and how a broker is reached; of the credential it needs {@link TARGET_MEMBERS} only.
 *
 * @throws {AppError} `integration.invalid`, naming the member and never its value
 */
export function parseTarget(
  values: Readonly<Record<string, unknown>>,
  config: IntegrationConfig,
  client?: DialTarget['tls']['client'],
): DialTarget {
  const caCert = optionalText(values, 'ca_cert')
  const hasCertificate = caCert !== undefined || optionalText(values, 'client_cert') !== undefined
  const { serverName, alpn, minVersion, requirePqc } = config.tls
  const hosts = hostsOf(values)
  const protocol = config.protocol ?? defaultProtocol(hosts, hasCertificate)
  if (requirePqc && (protocol === 'mqtt' || protocol === 'ws')) {
    throw invalid('protocol', 'must be mqtts or wss with require_pqc')
  }
  return { hosts, protocol, wsPath: config.wsPath, tls: { serverName, alpn, minVersion, requirePqc, caCert, client } }
}

/**
 * Reads a broker credential (`hostname`, `port` or `hosts`; `username?`, `password?`, `client_cert?`, `client_key?`,
 * `ca_cert?`) together with the integration's settings. Hosts and ports are judged by the dialler.
 *
 * @throws {AppError} `integration.invalid`, naming the member and never its value
 */
export function parseBrokerCredential(
  values: Readonly<Record<string, unknown>>,
  config: IntegrationConfig,
): { target: DialTarget; login: BrokerLogin } {
  const [username, password] = [optionalText(values, 'username'), optionalText(values, 'password')]
  const [certificate, key] = [optionalText(values, 'client_cert'), optionalText(values, 'client_key')]
  if ((certificate === undefined) !== (key === undefined))
    throw invalid('client_key', 'and client_cert need each other')
  if (password !== undefined && username === undefined) throw invalid('username', 'is needed with a password')
  const client = certificate !== undefined && key !== undefined ? { certificate, key: new Secret(key) } : undefined
  return {
    target: parseTarget(values, config, client),
    login: { username, password: password === undefined ? undefined : new Secret<Uint8Array>(utf8(password)) },
  }
}
