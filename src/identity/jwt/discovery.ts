import { DocumentFault, readDocument, shownUrl } from './key-set.ts'

/** Where an issuer publishes what it is (OpenID Connect Discovery 1.0 §4). */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
}

/**
 * Finds the address of the keys in a discovery document. It must be of this very issuer (§4.3), and its keys at the same scheme,
 * host and port: a document is believed about its own house only. For an issuer whose keys are elsewhere, name `jwks_uri`.
 *
 * @throws {DocumentFault}
 */
export function readDiscovery(bytes: Uint8Array, issuer: string): string {
  const document = readDocument(bytes, 'the discovery document')
  const named = document['issuer']
  if (typeof named !== 'string') throw new DocumentFault('the discovery document names no issuer')
  if (named !== issuer)
    throw new DocumentFault(
      `the discovery document is of another issuer, ${JSON.stringify(named.slice(0, 256))}; write \`issuer\` as it does if that is meant`,
    )
  const uri = document['jwks_uri']
  const parsed = typeof uri === 'string' ? URL.parse(uri) : null
  if (parsed === null) throw new DocumentFault('the discovery document has no jwks_uri')
  if (parsed.origin !== URL.parse(issuer)?.origin)
    throw new DocumentFault(
      `the discovery document names keys at another host, ${shownUrl(parsed.href)}; write that as \`jwks_uri\`, without \`discovery\`, if it is theirs`,
    )
  return parsed.href
}
