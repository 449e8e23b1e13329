import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import { claimJob, type PageResult, parkJob, restartPass, savePage } from './job-store.ts'
import type { JobPlan, KeyJob, MovableRow, MoveOutcome, RowSource } from './key-job.ts'

/** Rows between two signs of life, and at most lost from `moved` by a kill. */
const PAGE = 32
/** Rows on their way at once: their audit rows and commits share a flush, and traffic still finds free connections. */
const LANES = 4
/** Of the time that a page took, what the job then leaves to others: a server that is busy slows it down by itself. */
const REST = 0.5
/** Passes that moved something, one after the other, before others get their turn. */
const PASSES = 10
/** Milliseconds until the next attempt after KMS, database or audit log failed. */
const RETRY_MS = 5_000

export interface RunJobDeps {
  db: Queryable
  clock: Clock
  /** Name of this process among those that may own the job. */
  owner: string
  /** Waits between two pages. */
  pause: (ms: number) => Promise<void>
  /** Told of each row, after its transaction. */
  onRow?: ((row: Pick<MovableRow, 'name'>, outcome: MoveOutcome) => void) | undefined
  signal?: AbortSignal | undefined
}

/** Thrown inside a run when the job is no longer ours; nothing is wrong with it. */
class LostError extends Error {}

function splitCursor(cursor: string | null): { source: string; after: string } | undefined {
  const colon = cursor?.indexOf(':') ?? -1
  return cursor && colon > 0 ? { source: cursor.slice(0, colon), after: cursor.slice(colon + 1) } : undefined
}

async function movePage(
  source: RowSource,
  rows: readonly MovableRow[],
  { onRow }: RunJobDeps,
): Promise<PageResult & { failure?: unknown }> {
  const unusable: string[] = []
  let moved = 0
  let failure: unknown
  const waiting = [...rows]
  const lane = async () => {
    for (let row = waiting.shift(); row !== undefined && failure === undefined; row = waiting.shift()) {
      try {
        const outcome = await row.move()
        if (outcome === 'moved') moved++
        if (outcome === 'unusable') unusable.push(row.name)
        onRow?.(row, outcome)
      } catch (err) {
        failure ??= err
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  const cursor = `${source.name}:${rows.at(-1)?.position ?? ''}`
  return { cursor, moved, unusable, ...(failure !== undefined && { failure }) }
}

/** Goes over what is left of the present pass; returns the job as it is after it, and how many rows it moved. */
async function pass(deps: RunJobDeps, plan: JobPlan, begun: KeyJob): Promise<{ job: KeyJob; moved: number }> {
  const { db, clock, owner, pause, signal } = deps
  const at = splitCursor(begun.cursor)
  const first = at ? plan.sources.findIndex(({ name }) => name === at.source) : 0
  let job = begun
  let moved = 0
  for (const [i, source] of plan.sources.slice(Math.max(first, 0)).entries()) {
    let after = i === 0 && at && first >= 0 ? at.after : null
    for (;;) {
      signal?.throwIfAborted()
      const startedMs = clock.monotonic()
      const rows = await source.page(after, PAGE)
      const last = rows.at(-1)
      if (!last) break
      const { failure, ...result } = await movePage(source, rows, deps)
      if (failure !== undefined) throw failure // the page is begun again: what it moved is no longer in it
      const saved = await savePage(db, owner, job, result, new Date(clock.now()))
      if (!saved) throw new LostError()
      job = saved
      moved += result.moved
      after = last.position
      await pause((clock.monotonic() - startedMs) * REST)
    }
  }
  return { job, moved }
}

/**
 * Claims a job that is due and works on it until it is done, has to wait, or is another's; `false` when there was none. A
 * killed run is gone on with by whoever claims the job once the lease has run out: rows that were moved are no longer in
 * what is left, and a row that is moved twice at once is changed by one of the two.
 *
 * @throws {AppError} what stopped it; the job is due again in 5 s
 */
export async function runDueJob(
  deps: RunJobDeps,
  planFor: (job: KeyJob, owner: string) => JobPlan,
  id: string | null = null,
): Promise<boolean> {
  const { db, clock, owner, signal } = deps
  const now = () => new Date(clock.now())
  let job = await claimJob(db, owner, now(), id)
  if (!job) return false
  try {
    const plan = planFor(job, owner)
    for (let passes = 1; ; passes++) {
      const done = await pass(deps, plan, job)
      job = done.job
      const verdict = await plan.settle(job)
      if (verdict === 'done') return true
      const again = verdict === 'again' && done.moved > 0 && passes < PASSES
      if (!again) {
        await parkJob(db, owner, job, verdict === 'again' ? { waitMs: RETRY_MS } : verdict, now())
        return true
      }
      const restarted = await restartPass(db, owner, job, now())
      if (!restarted) return true
      job = restarted
    }
  } catch (err) {
    if (err instanceof LostError) return true
    const stopped = signal?.aborted === true
    const problem = stopped ? null : err instanceof AppError ? err.code : 'internal'
    await parkJob(db, owner, job, { waitMs: stopped ? 0 : RETRY_MS, problem, interrupted: true }, now())
    if (stopped) return true
    throw err
  }
}
