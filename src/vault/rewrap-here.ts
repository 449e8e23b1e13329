import { setTimeout as delay } from 'node:timers/promises'
import type { KeyJob, MovableRow, MoveOutcome } from '../keys/key-job.ts'
import { createKeyJobs, type KeyJobsDeps } from './key-jobs.ts'
import { createKmsRewrap, type KmsKeyUse } from './kms-rewrap.ts'

export interface RewrapOptions {
  /** Told of each row that this process moved. */
  onRow?: (row: Pick<MovableRow, 'name'>, outcome: MoveOutcome) => void
  signal?: AbortSignal
}

/** Milliseconds between two looks at a job that another process works on, or killed. */
const LOOK_EVERY_MS = 500

/**
 * Begins a re-wrap and works on it until it is done, or has to wait for somebody; where another process has it, waits for
 * that one.
 *
 * @throws {AppError} what stopped this process; the job itself goes on
 */
export async function rewrapHere(
  deps: Omit<KeyJobsDeps, 'pause' | 'onRow' | 'signal'>,
  input: { to: string; tenantId?: string | undefined },
  options: RewrapOptions = {},
): Promise<{ job: KeyJob; uses: KmsKeyUse[] }> {
  const rewrap = createKmsRewrap(deps)
  const jobs = createKeyJobs({ ...deps, ...options })
  const { id } = await rewrap.begin(input)
  for (;;) {
    options.signal?.throwIfAborted()
    const ran = await jobs.runDue(id)
    const job = await rewrap.find(input.tenantId)
    const isOver = job?.id !== id || job.state === 'done' || (job.state === 'waiting' && job.unusableCount > 0)
    if (job && isOver) return { job, uses: await rewrap.uses() }
    if (!ran) await delay(LOOK_EVERY_MS, undefined, { ...(options.signal && { signal: options.signal }) })
  }
}
