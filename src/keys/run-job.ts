import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import { claimJob, LEASE_MS, type PageResult, parkJob, renewLease, restartPass, savePage } from './job-store.ts'
import { type JobPlan, type KeyJob, type MovableRow, type MoveOutcome, RETRY_MS, type RowSource } from './key-job.ts'

/** Rows between two signs of life, and at most lost from `moved` by a kill. */
const PAGE = 32
/** Rows on their way at once: their audit rows and commits share a flush, and traffic still finds free connections. */
const LANES = 4
/** Of the time that a page took, what the job then leaves to others: a server that is busy slows it down by itself. */
const REST = 0.5
const REST_MAX_MS = 1_000
/** Milliseconds of work on one job before another that is due gets its turn. */
const TURN_MS = 30_000

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
): Promise<PageResult & { passed: number; failure?: unknown }> {
  const unusable: string[] = []
  let [moved, passed] = [0, 0]
  let failure: unknown
  const waiting = [...rows]
  const lane = async () => {
    for (let row = waiting.shift(); row !== undefined && failure === undefined; row = waiting.shift()) {
      try {
        const outcome = await row.move()
        if (outcome === 'moved') moved++
        if (outcome === 'passed') passed++
        if (outcome === 'unusable') unusable.push(row.name)
        onRow?.(row, outcome)
      } catch (err) {
        failure ??= err
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  const cursor = `${source.name}:${rows.at(-1)?.position ?? ''}`
  return { cursor, moved, passed, unusable, ...(failure !== undefined && { failure }) }
}

/** Signs of life for as long as a page takes, should the key wrapper be slow; one that is lost is made up for by the next. */
function keepLease({ db, clock, owner }: RunJobDeps, job: KeyJob): Disposable {
  const timer = setInterval(() => {
    renewLease(db, owner, job, new Date(clock.now())).catch(() => undefined)
  }, LEASE_MS / 4)
  timer.unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

/** `moved`: something, or it began in the middle. `quiet`: nothing in the whole of it can be moved. `over`: our turn is. */
type PassEnd = 'moved' | 'quiet' | 'over'

/** Goes over what is left of the present pass; returns the job as it is after it. */
async function pass(
  deps: RunJobDeps,
  plan: JobPlan,
  begun: KeyJob,
  untilMs: number,
): Promise<{ job: KeyJob; end: PassEnd }> {
  const { db, clock, owner, pause, signal } = deps
  const at = splitCursor(begun.cursor)
  const first = at ? plan.sources.findIndex(({ name }) => name === at.source) : 0
  let job = begun
  let end: PassEnd = begun.cursor === null ? 'quiet' : 'moved'
  for (const [i, source] of plan.sources.slice(Math.max(first, 0)).entries()) {
    let after = i === 0 && at && first >= 0 ? at.after : null
    for (;;) {
      signal?.throwIfAborted()
      if (end === 'moved' && clock.monotonic() > untilMs) return { job, end: 'over' } // a quiet pass is judged as a whole
      const startedMs = clock.monotonic()
      const rows = await source.page(after, PAGE)
      const last = rows.at(-1)
      if (!last) break
      const { failure, passed, ...result } = await movePage(source, rows, deps)
      if (failure !== undefined) throw failure // the page is begun again: what it moved is no longer in it
      const saved = await savePage(db, owner, job, result, new Date(clock.now()))
      if (!saved) throw new LostError()
      job = saved
      if (result.moved + passed > 0) end = 'moved'
      after = last.position
      await pause(Math.min((clock.monotonic() - startedMs) * REST, REST_MAX_MS))
    }
  }
  return { job, end }
}

/**
 * Claims a job that is due and works on it until it is done, has to wait, is another's, or half a minute is over; `false`
 * when there was none. A killed run is gone on with by whoever claims the job once the lease has run out: rows that were
 * moved are no longer in what is left, and a row that is moved twice at once is changed by one of the two.
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
  using _lease = keepLease(deps, job)
  try {
    const plan = planFor(job, owner)
    const untilMs = clock.monotonic() + TURN_MS
    for (;;) {
      const done = await pass(deps, plan, job, untilMs)
      job = done.job
      if (done.end === 'over') await parkJob(db, owner, job, { waitMs: 0, interrupted: true }, now())
      if (done.end === 'quiet') {
        const verdict = await plan.settle(job)
        if (verdict !== 'done') await parkJob(db, owner, job, verdict, now())
      }
      if (done.end !== 'moved') return true
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
