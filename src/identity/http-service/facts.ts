import { connectionFacts } from '../connection-facts.ts'
import type { Credentials, Verdict } from '../provider.ts'
import type { ClientCertificate } from './client-certificate.ts'
import type { Facts, Placeholder } from './template.ts'

const NO_CREDENTIALS = { outcome: 'skip', reason: 'no-credentials' } as const

/** MQTT passwords are bytes; what is no UTF-8 has no text, and a replaced byte would make two passwords one. */
function passwordText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function factOf(name: Placeholder, credentials: Credentials, certificate: ClientCertificate): string | undefined {
  const { username, password, bearer } = credentials
  const { clientId, ip, listener, protocol } = connectionFacts(credentials)
  switch (name) {
    case 'clientId':
      return clientId
    case 'username':
      return username
    case 'password':
      return password && passwordText(password.reveal())
    case 'passwordBase64':
      return password && Buffer.from(password.reveal()).toString('base64')
    case 'token':
      return bearer?.reveal()
    case 'commonName':
      return certificate.commonName
    case 'ip':
      return ip
    case 'listener':
      return listener
    case 'protocol':
      return protocol?.toString()
  }
}

/** What the templates of a provider name. */
export interface Wanted {
  readonly all: ReadonlySet<Placeholder>
  /** Without these there is no question to ask. */
  readonly required: ReadonlySet<Placeholder>
}

/**
 * Takes from the credentials what the templates name. A client that shows no credential at all is skipped and nobody is
 * asked; so is one that lacks what the templates need. A password that is no text, or a name with half a character in it,
 * cannot be conveyed as it is, and is refused rather than changed.
 */
export function factsOf(
  credentials: Credentials,
  wanted: Wanted,
  certificate: ClientCertificate,
): { readonly facts: Facts } | Verdict {
  const { username = '', password, bearer, certificates = [] } = credentials
  const shows =
    username !== '' || (password?.reveal().length ?? 0) > 0 || bearer !== undefined || certificates.length > 0
  if (!shows) return NO_CREDENTIALS
  const facts: Partial<Record<Placeholder, string>> = {}
  for (const name of wanted.all) {
    const value = factOf(name, credentials, certificate)
    if (value === undefined) {
      if (name === 'password' && password !== undefined) return { outcome: 'refuse', reason: 'wrong-password' }
      if (wanted.required.has(name)) return NO_CREDENTIALS
      continue
    }
    if (!value.isWellFormed()) {
      return { outcome: 'refuse', reason: name === 'clientId' ? 'client-id-invalid' : 'unknown-user' }
    }
    facts[name] = value
  }
  return { facts }
}
