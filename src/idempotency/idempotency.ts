import { type Bytes, equalBytes, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { Db } from '../db/db.ts'

/** Whose key: the same text from another tenant, or another API key, is another one. */
export interface IdempotencyScope {
  tenantId: string
  apiKeyId: string
  key: string
}

export type Claim =
  /** The caller runs the request, and ends with `finish` or `forget`. */
  | { state: 'claimed' }
  /** It has run: answer again with what it stored. */
  | { state: 'replay'; answer: unknown; messageId: string }
  /** The first one is within its deadline; `leftMs` until it is not. */
  | { state: 'running'; messageId: string; leftMs: number }
  /** It was running when its deadline passed: it must not run again unless it is proven that it did nothing. */
  | { state: 'interrupted'; messageId: string }

/** One run under a key: its message id, and after how many milliseconds, 60,000 at most, it counts as interrupted. */
export interface Run {
  messageId: string
  leftMs: number
}

export interface Idempotency {
  /**
   * Claims a key for 24 h. Of any number of requests at once exactly one gets `claimed`.
   *
   * @param fingerprint SHA-384 over method, path and body
   * @throws {AppError} `idempotency.mismatch` for another fingerprint
   */
  claim(scope: IdempotencyScope, fingerprint: Bytes, run: Run): Promise<Claim>
  /**
   * Claims the key of an interrupted run that is proven to have done nothing. Of any number at once one gets it.
   *
   * @returns whether it did
   */
  takeOver(scope: IdempotencyScope, interruptedId: string, run: Run): Promise<boolean>
  /** Makes the key that of the interrupted run again, whose successor `messageId` has found that it did go on. */
  giveBack(scope: IdempotencyScope, messageId: string, interruptedId: string): Promise<void>
  /** Whether the key is, still, that of the run `messageId`. */
  holds(scope: IdempotencyScope, messageId: string): Promise<boolean>
  /**
   * Stores the answer of the run `messageId`, at most 2 MiB as JSON (`RangeError` above); without one the key would end
   * as `interrupted`. Does nothing when the key is not, or no longer, of that run.
   */
  finish(scope: IdempotencyScope, messageId: string, answer: unknown): Promise<void>
  /** Gives up the claim of a run that certainly did nothing, so that the key may be used again. */
  forget(scope: IdempotencyScope, messageId: string): Promise<void>
  /** Deletes expired keys, at most 200,000 a call, and returns how many. */
  sweep(): Promise<number>
}

/** A batch of 1,000 comes to 170 KB, and to 1.7 MB where every item names a long topic and was refused with its reasons. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024
/** A claim with more than this before it was made by a clock that has gone back since: nobody waits for that. */
const LONGEST_LEFT_MS = 61_000
/** Keys that one statement deletes, and statements of one sweep: together far more than come between two sweeps. */
const SWEEP_BATCH = 1_000
const SWEEP_STEPS = 200

interface KeyRow {
  fingerprint: Buffer
  state: 'running' | 'done'
  message_id: string
  left_ms: number
  answer: unknown
}

/**
 * Keeps what became of requests that carried an `Idempotency-Key`, in one table that every replica shares. Whether a run was
 * interrupted and a key has expired is judged by the clock of the database alone: replicas whose clocks differ must not each
 * think that it is theirs.
 */
export function createIdempotency({ db }: { db: Db }): Idempotency {
  const idOf = (scope: IdempotencyScope) => [scope.tenantId, scope.apiKeyId, scope.key]

  /** One statement: a new row, or the place of one that has expired. */
  async function insert(scope: IdempotencyScope, fingerprint: Bytes, run: Run): Promise<boolean> {
    const { rowCount } = await db.query(
      `insert into idempotency_keys as kept
         (tenant_id, api_key_id, key, fingerprint, state, message_id, deadline_at, created_at, expires_at)
       values ($1, $2, $3, $4, 'running', $5, now() + $6::float8 * interval '1 ms', now(), now() + interval '24 hours')
       on conflict (tenant_id, api_key_id, key) do update
         set fingerprint = excluded.fingerprint, state = 'running', message_id = excluded.message_id, answer = null,
             deadline_at = excluded.deadline_at, created_at = excluded.created_at, expires_at = excluded.expires_at
         where kept.expires_at <= excluded.created_at`,
      [...idOf(scope), fingerprint, run.messageId, run.leftMs],
    )
    return rowCount === 1
  }

  function judge(row: KeyRow, fingerprint: Bytes): Claim {
    if (!equalBytes(row.fingerprint, fingerprint)) {
      throw new AppError('idempotency.mismatch', 'Idempotency-Key: was used with another request.')
    }
    if (row.state === 'done') return { state: 'replay', answer: row.answer, messageId: row.message_id }
    const { message_id: messageId, left_ms: leftMs } = row
    const isRunning = leftMs > 0 && leftMs <= LONGEST_LEFT_MS
    return isRunning ? { state: 'running', messageId, leftMs } : { state: 'interrupted', messageId }
  }

  return {
    async claim(scope, fingerprint, run) {
      for (let attempt = 0; attempt < 3; attempt++) {
        if (await insert(scope, fingerprint, run)) return { state: 'claimed' }
        const { rows } = await db.query<KeyRow>(
          `select fingerprint, state, message_id, answer, extract(epoch from deadline_at - now())::float8 * 1000 as left_ms
           from idempotency_keys
           where tenant_id = $1 and api_key_id = $2 and key = $3`,
          idOf(scope),
        )
        if (rows[0]) return judge(rows[0], fingerprint)
        // forgotten or swept between the two statements: it may be ours now
      }
      throw new AppError('idempotency.running', 'Idempotency-Key: another request with it is running.', {
        retryAfterS: 1,
      })
    },

    async takeOver(scope, interruptedId, run) {
      const { rowCount } = await db.query(
        `update idempotency_keys set message_id = $5, deadline_at = now() + $6::float8 * interval '1 ms'
         where tenant_id = $1 and api_key_id = $2 and key = $3 and state = 'running' and message_id = $4
           and (deadline_at <= now() or deadline_at > now() + $7::float8 * interval '1 ms')`,
        [...idOf(scope), interruptedId, run.messageId, run.leftMs, LONGEST_LEFT_MS],
      )
      return rowCount === 1
    },

    async giveBack(scope, messageId, interruptedId) {
      await db.query(
        `update idempotency_keys set message_id = $5, deadline_at = now()
         where tenant_id = $1 and api_key_id = $2 and key = $3 and state = 'running' and message_id = $4`,
        [...idOf(scope), messageId, interruptedId],
      )
    },

    async holds(scope, messageId) {
      const { rowCount } = await db.query(
        `select from idempotency_keys
         where tenant_id = $1 and api_key_id = $2 and key = $3 and state = 'running' and message_id = $4`,
        [...idOf(scope), messageId],
      )
      return rowCount === 1
    },

    async finish(scope, messageId, answer) {
      const text = JSON.stringify(answer)
      if (utf8(text).length > MAX_ANSWER_BYTES) throw new RangeError('the answer is too large to be kept')
      await db.query(
        `update idempotency_keys set state = 'done', answer = $5
         where tenant_id = $1 and api_key_id = $2 and key = $3 and state = 'running' and message_id = $4`,
        [...idOf(scope), messageId, text],
      )
    },

    async forget(scope, messageId) {
      await db.query(
        `delete from idempotency_keys
         where tenant_id = $1 and api_key_id = $2 and key = $3 and state = 'running' and message_id = $4`,
        [...idOf(scope), messageId],
      )
    },

    async sweep() {
      let deleted = 0
      for (let step = 0; step < SWEEP_STEPS; step++) {
        const { rowCount } = await db.query(
          `delete from idempotency_keys where ctid = any (array(
             select ctid from idempotency_keys where expires_at <= now() limit $1 for update skip locked))`,
          [SWEEP_BATCH],
        )
        deleted += rowCount ?? 0
        if ((rowCount ?? 0) < SWEEP_BATCH) break
      }
      return deleted
    },
  }
}
