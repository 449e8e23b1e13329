import type { AuditEvent, Caller } from '../audit/audit.ts'
import type { StoredIntegration } from './integration.ts'

/** What the audit log says of any of them. */
type Named = Pick<StoredIntegration, 'id' | 'name' | 'credentialId' | 'revision'>

function eventOf(caller: Caller, fact: string, integration: Named, detail: AuditEvent['detail']): AuditEvent {
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
      revision: integration.revision,
      ...detail,
    },
  }
}

/** What the audit log says of a change; of guards it names the sections. */
export function changeEvent(
  caller: Caller,
  fact: 'create' | 'update',
  integration: StoredIntegration,
  extra: AuditEvent['detail'] = {},
): AuditEvent {
  return eventOf(caller, fact, integration, {
    allowed_operations: [...integration.allowedOperations].join(','),
    policy_id: integration.policyId,
    guards: integration.guards && Object.keys(integration.guards).join(','),
    ...extra,
  })
}

/** What the audit log says of an integration that is gone. */
export const deleteEvent = (caller: Caller, integration: Named): AuditEvent =>
  eventOf(caller, 'delete', integration, {})
