import { AppError } from '../core/errors.ts'
import type { Integration, Operation } from '../integrations/integration.ts'

/** The filters that an integration without a policy allows: `config.topic` and `config.topics`. */
export function allowListOf({ config }: Pick<Integration, 'config'>): readonly string[] {
  return config.topic === undefined ? config.topics : [config.topic, ...config.topics]
}

/** @throws {AppError} `operation.not_allowed`; absent and empty lists refuse everything */
export function assertOperationAllowed({ allowedOperations }: Integration, operation: Operation): void {
  if (allowedOperations.has(operation)) return
  throw new AppError(
    'operation.not_allowed',
    `This integration does not allow ${operation}: its allowed_operations do not name it.`,
    {
      details: { operation, allowed_operations: [...allowedOperations] },
    },
  )
}

/** Whether a topic or filter is allowed, with the reasons that a dry run shows. */
export interface Decision {
  readonly allowed: boolean
  /** Completes "denied by policy: …". */
  readonly reason: string
  readonly trace: readonly string[]
}

/** Starts at deny: one filter of the allow list has to say yes. */
export function decideByAllowList(
  filters: readonly string[],
  subject: string,
  says: (filter: string, subject: string) => boolean,
): Decision {
  if (filters.length === 0) {
    const reason = 'the integration names no topic; set config.topic or config.topics'
    return { allowed: false, reason, trace: [reason] }
  }
  const steps = filters.map((filter) => ({ filter, yes: says(filter, subject) }))
  const allowed = steps.some(({ yes }) => yes)
  return {
    allowed,
    reason: allowed
      ? 'a filter of config.topic and config.topics covers it'
      : 'no filter of config.topic and config.topics covers it',
    trace: steps.map(({ filter, yes }) => `${filter}: ${yes ? 'covers it' : 'does not cover it'}`),
  }
}

/** @throws {AppError} `policy.denied` with the reason */
export function assertAllowed({ allowed, reason }: Decision): void {
  if (!allowed) throw new AppError('policy.denied', `Denied by policy: ${reason}.`, { details: { reason } })
}

/** What a dry run answers. */
export interface DryRun {
  dry_run: true
  allowed: boolean
  operation: Operation
  topic: string
  trace: string[]
}
