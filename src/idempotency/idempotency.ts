import { type Bytes, equalBytes, utf8 } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
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
  /** It was running when its deadline passed: what became of it is unknown, and it must not run again. */
  | { state: 'interrupted'; messageId: string }

export interface Idempotency {
  /**
   * Claims a key for 24 h. Of any number of requests at once exactly one gets `claimed`.
   *
   * @param fingerprint SHA-384 over method, path and body
   * @throws {AppError} `idempotency.running` while the first is within its deadline, `idempotency.mismatch` for another
   * fingerprint
   */
  claim(scope: IdempotencyScope, fingerprint: Bytes, first: { messageId: string; deadlineAt: Date }): Promise<Claim>
  /** Stores the answer, at most 256 KiB as JSON (`RangeError` above); without one the key would end as `interrupted`. */
  finish(scope: IdempotencyScope, answer: unknown): Promise<void>
  /** Gives up a claim whose request certainly did nothing, so that the key may be used again. */
  forget(scope: IdempotencyScope): Promise<void>
  /** Deletes expired keys, at most 1,000 a call, and returns how many. */
  sweep(): Promise<number>
}

const KEPT_MS = 24 * 60 * 60 * 1000
const MAX_ANSWER_BYTES = 256 * 1024
const SWEEP_BATCH = 1000

interface KeyRow {
  fingerprint: Buffer
  state: 'running' | 'done'
  message_id: string
  deadline_at: Date
  answer: unknown
}

/** Keeps what became of requests that carried an `Idempotency-Key`, in one table that every replica shares. */
export function createIdempotency({ db, clock }: { db: Db; clock: Clock }): Idempotency {
  const idOf = (scope: IdempotencyScope) => [scope.tenantId, scope.apiKeyId, scope.key]

  /** One statement: a new row, or the place of one that has expired. */
  async function insert(
    scope: IdempotencyScope,
    fingerprint: Bytes,
    first: { messageId: string; deadlineAt: Date },
  ): Promise<boolean> {
    const now = clock.now()
    const { rowCount } = await db.query(
      `insert into idempotency_keys as kept
         (tenant_id, api_key_id, key, fingerprint, state, message_id, deadline_at, created_at, expires_at)
       values ($1, $2, $3, $4, 'running', $5, $6, $7, $8)
       on conflict (tenant_id, api_key_id, key) do update
         set fingerprint = excluded.fingerprint, state = 'running', message_id = excluded.message_id, answer = null,
             deadline_at = excluded.deadline_at, created_at = excluded.created_at, expires_at = excluded.expires_at
         where kept.expires_at <= excluded.created_at`,
      [...idOf(scope), fingerprint, first.messageId, first.deadlineAt, new Date(now), new Date(now + KEPT_MS)],
    )
    return rowCount === 1
  }

  function judge(row: KeyRow, fingerprint: Bytes): Claim {
    if (!equalBytes(row.fingerprint, fingerprint)) {
      throw new AppError('idempotency.mismatch', 'Idempotency-Key: was used with another request.')
    }
    if (row.state === 'done') return { state: 'replay', answer: row.answer, messageId: row.message_id }
    const leftMs = row.deadline_at.getTime() - clock.now()
    if (leftMs <= 0) return { state: 'interrupted', messageId: row.message_id }
    throw new AppError('idempotency.running', 'Idempotency-Key: the first request with it is still running.', {
      retryAfterS: Math.ceil(leftMs / 1000),
    })
  }

  return {
    async claim(scope, fingerprint, first) {
      for (let attempt = 0; attempt < 3; attempt++) {
        if (await insert(scope, fingerprint, first)) return { state: 'claimed' }
        const { rows } = await db.query<KeyRow>(
          `select fingerprint, state, message_id, deadline_at, answer from idempotency_keys
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

    async finish(scope, answer) {
      const text = JSON.stringify(answer)
      if (utf8(text).length > MAX_ANSWER_BYTES) throw new RangeError('the answer is too large to be kept')
      await db.query(
        `update idempotency_keys set state = 'done', answer = $4
         where tenant_id = $1 and api_key_id = $2 and key = $3 and state = 'running'`,
        [...idOf(scope), text],
      )
    },

    async forget(scope) {
      await db.query(
        `delete from idempotency_keys where tenant_id = $1 and api_key_id = $2 and key = $3 and state = 'running'`,
        idOf(scope),
      )
    },

    async sweep() {
      const { rowCount } = await db.query(
        `delete from idempotency_keys where ctid = any (array(
           select ctid from idempotency_keys where expires_at <= $1 limit $2 for update skip locked))`,
        [new Date(clock.now()), SWEEP_BATCH],
      )
      return rowCount ?? 0
    },
  }
}
