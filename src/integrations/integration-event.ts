import type { AuditEvent, Caller } from '../audit/audit.ts'
import type { StoredIntegration } from './integration.ts'

export type Fact = 'create' | 'update' | 'delete'

/** What the audit log says of a change; of guards it names the sections. */
export function changeEvent(
  caller: Caller,
  fact: Fact,
  integration: StoredIntegration,
  extra: AuditEvent['detail'],
): AuditEvent {
  return {
    tenantId: caller.tenantId,
    action: `integrations.${fact}`,
    outcome: 'success',
    actor: caller.actor,
    object: { kind: 'integration', id: integration.id },
    requestId: caller.requestId,
    detail: {
      name: integration.name,
      credential_id: integration.credentialId,
      ...(fact !== 'delete' && {
        allowed_operations: [...integration.allowedOperations].join(','),
        policy_id: integration.policyId,
        guards: integration.guards && Object.keys(integration.guards).join(','),
      }),
      revision: integration.revision,
      ...extra,
    },
  }
}
