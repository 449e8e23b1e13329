import type { AuditEvent } from '../audit/audit.ts'
import { AppError, type ErrorCode } from '../core/errors.ts'
import type { Integration, Operation } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import type { Qos } from '../policy/document.ts'
import type { Identity } from '../policy/identity.ts'
import type { Access, AccessOf, Ruling } from './access.ts'

/** @throws {AppError} `operation.not_allowed`; absent and empty lists refuse everything */
export function assertOperationAllowed({ allowedOperations }: Integration, operation: Operation): void {
  if (allowedOperations.has(operation)) return
  throw new AppError(
    'operation.not_allowed',
    `This integration does not allow ${operation}: its allowed_operations do not name it.`,
    { details: { operation, allowed_operations: [...allowedOperations] } },
  )
}

/** The refusal of what policy or allow list do not allow, naming rule and reason. */
export function deniedByPolicy({ reason, rule, policy }: Ruling): AppError {
  return new AppError('policy.denied', `Denied by policy: ${reason}.`, {
    details: {
      reason,
      ...(rule !== null && { rule }),
      ...(policy && { policy_id: policy.id, policy_revision: policy.revision }),
    },
  })
}

export type AccessNow = (integration: Integration, identity: Identity, operation: Operation) => Promise<Access>

/**
 * Asks again, for work that takes a while: looks the integration up anew, and what the caller may do through it.
 *
 * Fails with `object.not_found` and `operation.not_allowed` when the integration went or changed, and with
 * `database.unavailable` when that cannot be known.
 */
export function createAccessNow(deps: { integrations: Pick<Integrations, 'find'>; accessOf: AccessOf }): AccessNow {
  return async ({ tenantId, id }, identity, operation) => {
    const integration = await deps.integrations.find(tenantId, id)
    assertOperationAllowed(integration, operation)
    return deps.accessOf(integration, identity)
  }
}

/** That a message may be written, as it was decided; a write that had to wait asks again. */
export interface Permission {
  /** When it was asked for, on the monotonic clock. */
  readonly askedMs: number
  /** @throws {AppError} when it is not allowed any more, or that cannot be known */
  renew(): Promise<void>
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'policy.denied',
  'operation.not_allowed',
  'integration.locked',
  'destination.not_allowed',
])

/** The outcome of an operation that failed after its intent: what was refused by then was denied. */
export function outcomeOfFailure(err: unknown): AuditEvent['outcome'] {
  if (!(err instanceof AppError)) return 'failure'
  if (err.code === 'outcome.unknown') return 'unknown'
  return REFUSALS.has(err.code) ? 'denied' : 'failure'
}

/** What a dry run answers: every check was made, and nothing sent. */
export interface DryRun {
  dry_run: true
  allowed: boolean
  operation: Operation | 'request'
  topic: string
  /** As they would be forwarded, or asked of the broker. */
  qos: Qos
  retain: boolean
  reason: string
  rule: string | null
  policy_id: string | null
  policy_revision: number | null
  /** What a guard would say: a refusal, or what it would only record. */
  guard: string | null
  trace: string[]
}

export function dryRunOf(
  operation: Operation,
  topic: string,
  ruling: Ruling,
  guard: { refuses: boolean; words: string } | null,
): DryRun {
  const { allowed, qos, retain, reason, rule, policy } = ruling
  return {
    dry_run: true,
    allowed: allowed && guard?.refuses !== true,
    operation,
    topic,
    qos,
    retain,
    reason,
    rule,
    policy_id: policy?.id ?? null,
    policy_revision: policy?.revision ?? null,
    guard: guard?.words ?? null,
    trace: ruling.trace(),
  }
}
