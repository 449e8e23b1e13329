import type { Integration } from '../integrations/integration.ts'

/** Names an integration among those of all tenants. */
export function groupOf({ tenantId, id }: Pick<Integration, 'tenantId' | 'id'>): string {
  return `${tenantId}/${id}`
}

/** Written once for each configuration that is in use: every publish asks. */
const settingsTexts = new WeakMap<Integration['config'], string>()

function settingsOf({ config }: Integration): string {
  const known = settingsTexts.get(config)
  if (known !== undefined) return known
  const { protocol, protocolVersion, tls, wsPath, clientIdPrefix, keepaliveS, limits } = config
  const settings = [protocol ?? null, protocolVersion, tls, wsPath, clientIdPrefix, keepaliveS, limits.maxInFlight]
  const text = JSON.stringify(settings)
  settingsTexts.set(config, text)
  return text
}

/** What connections must agree in to be shared: tenant, integration, credential with its version, and settings. */
export function keyOf(integration: Integration, version: number): string {
  return `${groupOf(integration)}/${integration.credentialId}/${version}/${settingsOf(integration)}`
}
