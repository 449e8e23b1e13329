/** What a job moves: the records of a tenant to its new vault key, or wraps to another KMS key. */
export type KeyJobKind = 'vault-reencrypt' | 'kms-rewrap'

/** A row of `key_jobs`. */
export interface KeyJob {
  id: string
  kind: KeyJobKind
  /** `-`: the whole deployment. */
  tenantId: string
  /** Id of the vault key or of the KMS key. */
  target: string
  /** `waiting`: for `runAt`, when something that stands in the way may have changed. */
  state: 'running' | 'waiting' | 'done'
  /** The last row of the present pass that was looked at; `null` at its beginning. */
  cursor: string | null
  /** Rows moved, as of the last page. */
  moved: number
  /** Rows of the present pass that do not open, by name: the first 20. */
  unusable: readonly string[]
  unusableCount: number
  /** Code of what stopped the last run. */
  problem: string | null
  runAt: Date
  /** Since when nothing has moved, and nothing is left that can. */
  emptiedAt: Date | null
  createdAt: Date
  finishedAt: Date | null
}

/** `passed`: another writer changed the row meanwhile. `unusable`: it does not open, so it stays as it is. */
export type MoveOutcome = 'moved' | 'passed' | 'unusable'

/** A row that is still to be moved. */
export interface MovableRow {
  /** Where it lies in its source; ascending. */
  position: string
  /** What people call it: ids only. */
  name: string
  /** Moves it in a transaction of its own, unless it is no longer what it was. @throws {AppError} what stops the job */
  move(): Promise<MoveOutcome>
}

/** Rows of one table that are still to be moved, in order. */
export interface RowSource {
  /** Without a colon; part of the cursor. */
  name: string
  page(after: string | null, limit: number): Promise<readonly MovableRow[]>
}

/** Milliseconds until the next attempt where something was away, or came in between. */
export const RETRY_MS = 5_000

/** What follows when nothing is left that can be moved: the end, or another look later. */
export type Verdict = 'done' | { waitMs: number; emptied?: boolean }

/** What a kind of job does; made for each run. */
export interface JobPlan {
  sources: readonly RowSource[]
  /** Judges what is left after a pass from the beginning that found nothing to move, and does what ends the job. */
  settle(job: KeyJob): Promise<Verdict>
}
