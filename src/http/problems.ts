import type { ErrorCode, ErrorDetails } from '../core/errors.ts'

/** Status and title of every error code; forgetting one does not compile. The list in `openapi/` is made from it. */
export const problems = {
  'request.invalid': { status: 400, title: 'Invalid request' },
  'request.too_large': { status: 413, title: 'Request too large' },
  'request.unsupported_media': { status: 415, title: 'Unsupported media type' },
  'request.timeout': { status: 408, title: 'Request timed out' },
  'route.not_found': { status: 404, title: 'No such route' },
  'route.method_not_allowed': { status: 405, title: 'Method not allowed' },
  'auth.unauthenticated': { status: 401, title: 'Not authenticated' },
  'auth.forbidden': { status: 403, title: 'Scope missing' },
  'operation.not_allowed': { status: 403, title: 'Operation not allowed' },
  'policy.denied': { status: 403, title: 'Denied by policy' },
  'policy.invalid': { status: 422, title: 'Policy invalid' },
  'guard.refused': { status: 403, title: 'Refused by a guard' },
  'destination.not_allowed': { status: 403, title: 'Destination not allowed' },
  'object.not_found': { status: 404, title: 'Not found' },
  'object.in_use': { status: 409, title: 'In use' },
  'idempotency.running': { status: 409, title: 'Still running' },
  'idempotency.mismatch': { status: 422, title: 'Idempotency key used for another request' },
  'precondition.required': { status: 428, title: 'If-Match required' },
  'precondition.failed': { status: 412, title: 'If-Match is stale' },
  'credential.expired': { status: 410, title: 'Credential expired' },
  'custody.required': { status: 403, title: 'Custody key required' },
  'custody.rejected': { status: 403, title: 'Custody key rejected' },
  'integration.invalid': { status: 422, title: 'Integration invalid' },
  'integration.locked': { status: 423, title: 'Integration locked' },
  'quota.exceeded': { status: 409, title: 'Quota exceeded' },
  'rate.limited': { status: 429, title: 'Too many requests' },
  'server.busy': { status: 503, title: 'Server busy' },
  'broker.rejected': { status: 502, title: 'Broker refused' },
  'broker.unreachable': { status: 503, title: 'Broker not reached' },
  'broker.busy': { status: 503, title: 'Broker connection busy' },
  'signer.busy': { status: 503, title: 'Signer busy' },
  'vault.unavailable': { status: 503, title: 'Vault unavailable' },
  'kms.unavailable': { status: 503, title: 'Key wrapper unavailable' },
  'database.unavailable': { status: 503, title: 'Database unavailable' },
  'audit.unavailable': { status: 503, title: 'Audit unavailable' },
  'outcome.unknown': { status: 504, title: 'Outcome unknown' },
  'envelope.rejected': { status: 400, title: 'Envelope rejected' },
  'envelope.stale': { status: 400, title: 'Envelope stale' },
  'envelope.replay': { status: 400, title: 'Envelope replayed' },
  'envelope.mismatch': { status: 400, title: 'Envelope answers another request' },
  'envelope.issuer_unknown': { status: 400, title: 'Envelope issuer unknown' },
  'envelope.not_ours': { status: 409, title: 'Key is held by the client' },
  'recipient.required': { status: 409, title: 'Recipient required' },
  internal: { status: 500, title: 'Internal error' },
} as const satisfies Record<ErrorCode, { status: number; title: string }>

/** Statuses that an error can have: those of a guard follow from which one refused. */
export function statusesOf(code: ErrorCode, route: 'vault' | 'other'): readonly number[] {
  return code === 'guard.refused' ? [403, 413, 422, 429] : [statusOf(code, route)]
}

/** `details` name the guard by its section, and for `inspection` the class that was found. */
function statusOfGuard(details: ErrorDetails): number {
  if (details['guard'] === 'rate-limit') return 429
  if (details['guard'] === 'inspection') return details['class'] === 'size-limit' ? 413 : 403
  return 422
}

/** Status of an error; an expired credential is gone on vault routes and unprocessable on the others. */
export function statusOf(code: ErrorCode, route: 'vault' | 'other', details: ErrorDetails = {}): number {
  if (code === 'guard.refused') return statusOfGuard(details)
  return code === 'credential.expired' && route === 'other' ? 422 : problems[code].status
}
