import type { ErrorCode } from '../core/errors.ts'
import type { LocalErrorCode } from '../sdk/index.ts'

/** 0 is success. */
export const exit = { ok: 0, failed: 1, misuse: 2, unknown: 3, later: 4 } as const

type ExitCode = (typeof exit)[keyof typeof exit]
const { failed, unknown, later } = exit

/** Exit code of each failure whose outcome is known; with an unknown outcome it is always 3. */
const exitCodes = {
  'request.invalid': failed,
  'request.too_large': failed,
  'request.unsupported_media': failed,
  'request.timeout': later,
  'route.not_found': failed,
  'route.method_not_allowed': failed,
  'auth.unauthenticated': failed,
  'auth.forbidden': failed,
  'operation.not_allowed': failed,
  'policy.denied': failed,
  'policy.invalid': failed,
  'guard.refused': failed,
  'destination.not_allowed': failed,
  'object.not_found': failed,
  'object.in_use': failed,
  'idempotency.running': later,
  'idempotency.mismatch': failed,
  'precondition.required': failed,
  'precondition.failed': failed,
  'credential.expired': failed,
  'custody.required': failed,
  'custody.rejected': failed,
  'integration.invalid': failed,
  'integration.locked': failed,
  'quota.exceeded': failed,
  'rate.limited': later,
  'server.busy': later,
  'broker.rejected': failed,
  'broker.unreachable': later,
  'broker.busy': later,
  'signer.busy': later,
  'vault.unavailable': later,
  'kms.unavailable': later,
  'database.unavailable': later,
  'audit.unavailable': later,
  'outcome.unknown': unknown,
  'envelope.rejected': failed,
  'envelope.stale': failed,
  'envelope.replay': failed,
  'envelope.mismatch': failed,
  'envelope.issuer_unknown': failed,
  'envelope.not_ours': failed,
  'recipient.required': failed,
  internal: failed,
  unprotected: unknown,
  network: later,
  timeout: later,
  aborted: failed,
  'answer.invalid': failed,
  'answer.too_large': failed,
} as const satisfies Record<ErrorCode | LocalErrorCode, ExitCode>

function isListed(code: string): code is keyof typeof exitCodes {
  return Object.hasOwn(exitCodes, code)
}

/** Judges a failure, of a call or here: 3 when the operation may have run, 4 when trying again later makes sense, else 1. */
export function exitCodeOf({ code, outcome }: { code: string; outcome?: string }): ExitCode {
  if (outcome === 'unknown') return unknown
  if (isListed(code)) return exitCodes[code]
  return outcome === 'unavailable' ? later : failed
}
