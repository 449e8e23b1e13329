import { utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { IntegrationConfig } from '../integrations/config-schema.ts'
import type { Protocol } from '../outbound/destination.ts'
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

/** `mqtts` on port 8883 and wherever a certificate is given; a port in another spelling is refused by the dialler. */
function defaultProtocol(port: unknown, hasCertificate: boolean): Protocol {
  return hasCertificate || port === 8883 || port === '8883' ? 'mqtts' : 'mqtt'
}

/**
 * Reads a broker credential (`hostname`, `port`, `username?`, `password?`, `client_cert?`, `client_key?`, `ca_cert?`)
 * together with the integration's settings. Host and port are judged by the dialler.
 *
 * @throws {AppError} `integration.invalid`, naming the member and never its value
 */
export function parseBrokerCredential(
  values: Readonly<Record<string, unknown>>,
  config: IntegrationConfig,
): { target: DialTarget; login: BrokerLogin } {
  const [username, password] = [optionalText(values, 'username'), optionalText(values, 'password')]
  const [certificate, key] = [optionalText(values, 'client_cert'), optionalText(values, 'client_key')]
  const caCert = optionalText(values, 'ca_cert')
  if ((certificate === undefined) !== (key === undefined))
    throw invalid('client_key', 'and client_cert need each other')
  if (password !== undefined && username === undefined) throw invalid('username', 'is needed with a password')
  const { serverName, alpn, minVersion, requirePqc } = config.tls
  const { hostname, port } = values
  const protocol = config.protocol ?? defaultProtocol(port, certificate !== undefined || caCert !== undefined)
  if (requirePqc && (protocol === 'mqtt' || protocol === 'ws'))
    throw invalid('protocol', 'must be mqtts or wss with require_pqc')
  const client = certificate !== undefined && key !== undefined ? { certificate, key: new Secret(key) } : undefined
  return {
    target: {
      hostname,
      port,
      protocol,
      wsPath: config.wsPath,
      tls: {
        serverName,
        alpn,
        minVersion,
        requirePqc,
        caCert,
        client,
      },
    },
    login: { username, password: password === undefined ? undefined : new Secret<Uint8Array>(utf8(password)) },
  }
}
