import pg from 'pg'
import { AppError } from '../core/errors.ts'

const RETRY_AFTER_S = 1

/**
 * SQLSTATEs after which the same statement may succeed: connection (08), authorisation (28), resources (53), operator
 * intervention (57, which holds the statement time-out 57014), system error (58), no such database, lock time-out,
 * idle-in-transaction time-outs, deadlock and serialisation, a standby that became read-only.
 */
const UNAVAILABLE = /^(?:08|28|53|57|58)|^(?:3D000|55P03|25P03|25P04|25006|40001|40P01)$/

/** Those after which the connection itself is of no more use. */
const CONNECTION_LOST = /^(?:08|28|58)|^57P|^(?:25P03|25P04|25006)$/

/**
 * Turns what `pg` throws into `database.unavailable`. Errors about the statement itself (constraints, syntax) stay as
 * they are, so that stores can ask for a SQLSTATE.
 */
export function databaseError(err: unknown): unknown {
  if (err instanceof pg.DatabaseError ? !UNAVAILABLE.test(err.code ?? '') : isProgrammingError(err)) return err
  return new AppError('database.unavailable', 'The database does not answer.', {
    cause: err,
    retryAfterS: RETRY_AFTER_S,
  })
}

/** Reports whether the connection that threw `err`, as `pg` threw it, must not be used again. */
export function isConnectionLost(err: unknown): boolean {
  if (err instanceof pg.DatabaseError) return CONNECTION_LOST.test(err.code ?? '')
  return !isProgrammingError(err)
}

/** `pg` throws these before it sends anything, for values that it cannot write. */
function isProgrammingError(err: unknown): boolean {
  return err instanceof TypeError || err instanceof RangeError
}
