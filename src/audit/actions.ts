import type { AuditEvent } from './audit.ts'

const publish = ['topic', 'qos', 'retain', 'payload_bytes', 'response_topic'] as const
const decided = ['policy_id', 'policy_revision', 'policy_reason', 'rule', 'pattern', 'decision_us'] as const
const guarded = [
  'guard',
  'guard_class',
  'tags',
  'rule_ids',
  'reason',
  'limit',
  'severity',
  'forwarded_qos',
  'forwarded_retain',
  'refused',
] as const
const failure = ['code', 'status', 'reason_code', 'reason'] as const
const link = ['plaintext', 'tls_version', 'cipher', 'group', 'post_quantum'] as const
const vaultEntry = ['credential_type', 'version', 'split_custody'] as const
const integration = ['name', 'credential_id', 'allowed_operations', 'policy_id', 'guards', 'revision'] as const
const recipient = ['api_key_id', 'name', 'custody', 'suite', 'kem_key_id', 'mac_key_id', 'replaced_id'] as const
const storedPolicy = ['name', 'version', 'revision', 'sha256', 'rules', 'active', 'changed'] as const
const deploymentKey = ['purpose', 'state', 'kms_key_id', 'replaced_id', 'api_keys', 'forced', 'expires_at'] as const
const apiKey = ['name', 'role', 'scopes', 'expires_at', 'allowed_addresses'] as const

/**
 * Every action with the members that its `detail` may have. A new capability adds its lines here. What ends in `.intent`
 * is closed by the same name with `.outcome`, under the same message id (or, where there is none, request id).
 */
export const actions = {
  'proxy.publish.intent': [...publish, ...decided, ...guarded, 'deadline_ms', 'dry_run', 'items', 'credential_version'],
  'proxy.publish.outcome': [
    ...publish,
    ...decided,
    ...guarded,
    ...failure,
    'outcome',
    'no_subscribers',
    'duration_ms',
    'items',
    'item_outcomes',
    'swept',
    'client_gone',
  ],
  'proxy.publish.late': ['topic', 'outcome', 'reason_code'],
  'proxy.publish.denied': [...publish, ...decided, ...guarded],
  'proxy.subscribe.intent': [
    ...decided,
    ...guarded,
    'topic',
    'qos',
    'max_messages',
    'max_bytes',
    'wait_ms',
    'deadline_ms',
    'dry_run',
    'credential_version',
  ],
  'proxy.subscribe.outcome': [
    ...decided,
    ...guarded,
    ...failure,
    'topic',
    'qos',
    'outcome',
    'granted_qos',
    'messages',
    'bytes',
    'truncated',
    'duration_ms',
    'swept',
  ],
  'proxy.subscribe.denied': [...decided, ...guarded, 'topic', 'qos'],
  'proxy.delivery': [...decided, ...guarded, 'topic', 'messages', 'bytes'],
  'vault.seal': [...vaultEntry, 'name', 'record_sha384', 'ttl_days', 'expires_at'],
  'vault.unseal': [...vaultEntry, 'code'],
  'vault.rotate': [...vaultEntry, 'record_sha384', 'new_values', 'new_share', 'expires_at', 'code'],
  'vault.delete': vaultEntry,
  'vault.reencrypt': ['version', 'current', 'previous_sha384', 'record_sha384', 'vault_key_id'],
  'vault.rewrap': ['version', 'current', 'previous_sha384', 'record_sha384', 'kms_key_id'],
  'integrations.create': integration,
  'integrations.update': [...integration, 'changed'],
  'integrations.delete': ['name', 'credential_id', 'revision'],
  'integrations.test': [...failure, ...link, 'duration_ms'],
  'integrations.unlock': ['credential_id', 'credential_version', 'ttl_s', 'code'],
  'integrations.lock': ['credential_id', 'credential_version', 'reason'],
  'policies.create': storedPolicy,
  'policies.update': storedPolicy,
  'policies.activate': storedPolicy,
  'policies.delete': storedPolicy,
  'policy.decision': [
    'action',
    'topic',
    'qos',
    'retain',
    'share',
    'decision',
    'reason',
    'rule',
    'pattern',
    'policy_id',
    'policy_revision',
    'client_id',
    'username',
    'sub',
    'org',
    'ip',
    'listener',
    'protocol',
    'auth',
    'duration_us',
    'sampled',
  ],
  'broker_auth.summary': ['hook', 'question', 'answer', 'count', 'minute'],
  'api_keys.create': apiKey,
  'api_keys.revoke': apiKey,
  'api_keys.redigest': ['pepper_id', 'replaced_id'],
  'keys.create': deploymentKey,
  'keys.publish': deploymentKey,
  'keys.activate': deploymentKey,
  'keys.retire': deploymentKey,
  'keys.revoke': deploymentKey,
  'keys.destroy': deploymentKey,
  'keys.root_offline': deploymentKey,
  'keys.root_online': deploymentKey,
  'keys.sign_document': deploymentKey,
  'tenants.create': ['name', 'sandbox'],
  'tenants.update': ['envelope_versions', 'rate_limit'],
  'recipients.enroll': recipient,
  'recipients.confirm': recipient,
  'recipients.revoke': recipient,
  'encryption.decrypt': ['op', 'rid', 'issuer_key_id', 'recipient_id', 'code'],
  'encryption.encrypt': ['kem_key_id', 'bytes'],
  'encryption.sign': ['key_id', 'bytes'],
  'encryption.verify': ['key_id', 'bytes', 'valid'],
  'tenant_keys.create': ['purpose'],
  'tenant_keys.rotate': ['purpose', 'retired_key_id'],
  'tenant_keys.destroy': ['purpose'],
  'keys.rewrap': ['purpose', 'kms_key_id'],
  'kms.rewrap': ['kms_key_id'],
  'kms.remove_key': ['kms_key_id'],
  'tenant_keys.export': ['purpose'],
  'clients.block': ['type', 'blocked', 'expires_at'],
  'clients.unblock': ['type', 'blocked', 'expires_at'],
  'clients.clear_unauthorised': ['client_id', 'count'],
  'request.refused': ['operation', 'code', 'status'],
  'auth.refused_summary': ['source', 'count', 'minute'],
  'request.limited_summary': ['code', 'count', 'minute'],
} as const satisfies Readonly<Record<string, readonly string[]>>

export type AuditAction = keyof typeof actions

/**
 * Checks an event against the table.
 *
 * @throws {TypeError} for an action or a member that the table does not have, a number that JSON cannot carry, an intent
 * without an id to close it by: mistakes of the program, whatever the caller sent
 */
export function assertKnownEvent(event: AuditEvent): void {
  const members: readonly string[] | undefined = Object.hasOwn(actions, event.action)
    ? actions[event.action as AuditAction]
    : undefined
  if (!members) throw new TypeError(`audit: no action ${JSON.stringify(event.action)} in the table`)
  for (const [name, value] of Object.entries(event.detail ?? {})) {
    if (!members.includes(name)) throw new TypeError(`audit: ${event.action} has no detail ${JSON.stringify(name)}`)
    if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`audit: ${name} is not finite`)
  }
  if (isIntent(event.action) && correlationOf(event) === undefined) {
    throw new TypeError(`audit: ${event.action} needs a message id or a request id`)
  }
}

/** Reports whether an action announces something that a later row must close. */
export function isIntent(action: string): boolean {
  return action.endsWith('.intent')
}

/** The action that closes an intent. */
export function outcomeOf(intent: string): string {
  return intent.replace(/\.intent$/, '.outcome')
}

/** The id that an intent and its outcome share. */
export function correlationOf(event: Pick<AuditEvent, 'messageId' | 'requestId'>): string | undefined {
  return event.messageId ?? event.requestId
}
