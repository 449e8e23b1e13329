import type { Identity } from '../policy/identity.ts'
import type { Principal } from '../tenants/principal.ts'

/** A REST caller as policies see it. A key's display name is never identity, and it is in no groups. */
export function identityOf({ keyId, tenantId, role, scopes }: Principal, address: string, tls: boolean): Identity {
  return {
    clientId: keyId,
    sub: keyId,
    type: 'service',
    auth: 'apikey',
    org: tenantId,
    roles: [role],
    scopes: [...scopes],
    groups: [],
    ...(address !== '' && { ip: address }),
    tls,
    listener: 'http',
  }
}
