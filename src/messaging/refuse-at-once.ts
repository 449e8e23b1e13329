import type { Caller } from '../audit/audit.ts'
import type { Integration } from '../integrations/integration.ts'
import { RememberedFailure } from './connect-gate.ts'
import type { Pool } from './pool.ts'

export interface AtOnceDeps {
  readonly pool: Pick<Pool, 'assertHopeful'>
  /** Counts a refusal that has no row of its own, for one audit row for a key, a code and a minute. */
  readonly countRefused: (caller: Caller, code: string) => void
}

/**
 * Makes what is asked before an intent goes on record: an open breaker or a refused credential answers at once. Nothing
 * begins then, so there is nothing to record but that it was refused, which is counted: a tenant whose broker is dead
 * must not cost the others two commits for each of its publishes.
 *
 * The function it makes throws the broker's last failure again.
 */
export function createRefuseAtOnce({ pool, countRefused }: AtOnceDeps) {
  return async function refuseAtOnce(command: { caller: Caller; integration: Integration; deadlineMs: number }) {
    try {
      await pool.assertHopeful(command.integration, command.deadlineMs)
    } catch (err) {
      if (err instanceof RememberedFailure) countRefused(command.caller, err.code)
      throw err
    }
  }
}
