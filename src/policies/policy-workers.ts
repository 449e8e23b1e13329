import { Worker } from 'node:worker_threads'
import { AppError } from '../core/errors.ts'
import type { Jobs } from './judge.ts'
import type { Order, Reply } from './policy-worker.ts'

/** Does what a caller's document asks for, away from the event loop and within limits. */
export interface PolicyWorkers {
  /**
   * @throws {AppError} `rate.limited` when too much waits already; `policy.invalid` when it takes too much time or memory;
   * and what the job itself throws
   */
  run<Name extends keyof Jobs>(tenantId: string, name: Name, job: Jobs[Name]['job']): Promise<Jobs[Name]['result']>
  close(): Promise<void>
}

export interface PolicyWorkersOptions {
  /** Threads, each started when it is first needed. */
  count?: number
  /** For one job. */
  timeLimitMs?: number
  /** Of one thread's heap. */
  memoryMb?: number
  /** The environment of the threads; empty when absent, for no secret of this process is their business. */
  env?: Readonly<Record<string, string>>
}

interface Task {
  readonly tenantId: string
  readonly order: Order
  resolve(result: unknown): void
  reject(err: unknown): void
}

interface Slot {
  worker: Worker | undefined
  task: Task | undefined
  timer: NodeJS.Timeout | undefined
}

/** What a thread that has to start first may take beyond its time. */
const START_MS = 10_000
/** Jobs of one tenant that may be under way or waiting, and of all. */
const MAX_OF_TENANT = 4
const MAX_OF_ALL = 64

function tooCostly(cause: unknown): AppError {
  const message = 'takes too much time or memory: fewer or simpler rules, tests or requests'
  return new AppError('policy.invalid', `The policy ${message}.`, {
    cause,
    details: { problems: [{ path: '', message }] },
  })
}

function stopping(): AppError {
  return new AppError('rate.limited', 'The server is stopping.', { retryAfterS: 1 })
}

function outcomeOf(reply: Reply): { result: unknown } | { error: unknown } {
  if ('result' in reply) return reply
  if ('refused' in reply) {
    const { code, message, details } = reply.refused
    return { error: new AppError(code, message, { details }) }
  }
  const { name, stack } = reply.failed
  const cause = new Error('A policy worker failed.')
  cause.stack = stack
  return { error: name === 'RangeError' ? tooCostly(cause) : cause } // too long a text, too deep a recursion
}

/**
 * Starts no thread yet. One tenant has one job under way at a time, so that its costly documents hold up nobody else's for
 * longer than one of them takes.
 */
export function createPolicyWorkers({
  count = 2,
  timeLimitMs = 10_000,
  memoryMb = 256,
  env = {},
}: PolicyWorkersOptions = {}): PolicyWorkers {
  const slots: Slot[] = Array.from({ length: count }, () => ({ worker: undefined, task: undefined, timer: undefined }))
  const waiting: Task[] = []
  let closed = false

  function finish(slot: Slot, outcome: { result: unknown } | { error: unknown }): void {
    const { task } = slot
    clearTimeout(slot.timer)
    slot.task = undefined
    slot.worker?.unref()
    if ('error' in outcome) task?.reject(outcome.error)
    else task?.resolve(outcome.result)
    startNext()
  }

  /** Gives a thread up; the next job gets another. */
  function abandon(slot: Slot, error: unknown): void {
    const { worker } = slot
    slot.worker = undefined
    void worker?.terminate()
    finish(slot, { error })
  }

  function startThread(slot: Slot): Worker {
    const worker = new Worker(new URL('./policy-worker.ts', import.meta.url), {
      env: { ...env },
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
    })
    worker.on('message', (reply: Reply) => {
      if (slot.worker === worker) finish(slot, outcomeOf(reply))
    })
    worker.on('error', (err: Error & { code?: unknown }) => {
      if (slot.worker === worker) abandon(slot, err.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooCostly(err) : err)
    })
    worker.on('exit', (code) => {
      if (slot.worker === worker) abandon(slot, new Error(`A policy worker ended with ${code}.`))
    })
    return worker
  }

  function start(slot: Slot, task: Task): void {
    const limitMs = slot.worker ? timeLimitMs : timeLimitMs + START_MS
    slot.worker ??= startThread(slot)
    slot.task = task
    slot.worker.ref()
    slot.worker.postMessage(task.order)
    slot.timer = setTimeout(() => abandon(slot, tooCostly(new Error(`not done in ${limitMs} ms`))), limitMs)
  }

  function startNext(): void {
    for (const slot of slots) {
      if (closed || slot.task) continue
      const busy = new Set(slots.map(({ task }) => task?.tenantId))
      const at = waiting.findIndex(({ tenantId }) => !busy.has(tenantId))
      const [task] = at === -1 ? [] : waiting.splice(at, 1)
      if (task) start(slot, task)
    }
  }

  return {
    run(tenantId, name, job) {
      if (closed) return Promise.reject(stopping())
      const all = [...waiting, ...slots.map(({ task }) => task).filter((task) => task !== undefined)]
      if (all.length >= MAX_OF_ALL || all.filter((task) => task.tenantId === tenantId).length >= MAX_OF_TENANT) {
        const message = 'Too many policies are being checked at the same time; try again when one of them is done.'
        return Promise.reject(new AppError('rate.limited', message, { retryAfterS: 1 }))
      }
      return new Promise((resolve, reject) => {
        waiting.push({ tenantId, order: { name, job }, resolve: resolve as Task['resolve'], reject })
        startNext()
      })
    },

    async close() {
      closed = true
      const error = stopping()
      for (const task of waiting.splice(0)) task.reject(error)
      await Promise.all(
        slots.map(async (slot) => {
          const { worker } = slot
          slot.worker = undefined
          finish(slot, { error })
          await worker?.terminate()
        }),
      )
    },
  }
}
