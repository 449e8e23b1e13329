/** The names that clients of this API shape know, both lists of them. Only `custom_kv` has members that we read. */
export const credentialTypes = [
  'api_key',
  'password',
  'oauth2_token',
  'oauth2_client',
  'bearer_token',
  'basic_auth',
  'mtls_cert',
  'saml_assertion',
  'jwt_signing_key',
  'aws_credentials',
  'ssh_key_pair',
  'database_dsn',
  'kafka_credentials',
  'webhook_secret',
  'custom_kv',
  'certificate',
  'ssh_key',
  'oauth_token',
  'database',
  'generic',
] as const

export type CredentialType = (typeof credentialTypes)[number]

export function isCredentialType(word: string): word is CredentialType {
  return (credentialTypes as readonly string[]).includes(word)
}
