import type { Worker } from 'node:worker_threads'

/** Threads that do one job each at a time, in the order of asking. */
export interface JobThreads<Job, Result> {
  /**
   * Has a job done. `prepare` makes it for the thread that will do it, once more when that one ends and another takes over.
   *
   * @throws what ended the second thread: it may be the job that ends them
   */
  ask(prepare: (held: HeldKeys) => Job): Promise<Result>
  close(): Promise<void>
}

/** Which keys a thread holds, by their numbers. */
export interface HeldKeys {
  /** Whether it holds some that no job needed for long. */
  readonly areStale: boolean
  /** Notes that the job needs a key, and says whether the thread must be given it. */
  need(number: number): boolean
  /** Numbers of the keys that the thread is to forget with this job. */
  forgotten(): number[]
}

export interface JobThreadsOptions<Job> {
  readonly count: number
  readonly start: () => Worker
  /** Milliseconds for one job, the start of its thread included. */
  readonly jobMs: number
  /** Keys that a thread holds at most; no job needs as many. The one that was not used for longest goes first. */
  readonly keysMax: number
  /** Milliseconds after which a key that no job needed is forgotten: it may be one that was rotated away. Seen to as often. */
  readonly idleMs: number
  /** Makes the job by which a thread that has nothing to do forgets keys. */
  readonly tidy: (held: HeldKeys) => Job
}

interface Task<Job, Result> {
  readonly prepare: (held: HeldKeys) => Job
  attempts: number
  resolve(result: Result): void
  reject(err: unknown): void
}

interface Slot<Job, Result> {
  worker: Worker | undefined
  task: Task<Job, Result> | undefined
  timer: NodeJS.Timeout | undefined
  held: HeldKeys
}

const MAX_ATTEMPTS = 2

function createHeldKeys(most: number, idleMs: number): HeldKeys {
  /** When each was needed last, the latest at the end. */
  const neededMs = new Map<number, number>()
  return {
    get areStale() {
      const [oldestMs = Number.POSITIVE_INFINITY] = neededMs.values()
      return oldestMs < performance.now() - idleMs
    },
    need(number) {
      const isNew = !neededMs.delete(number)
      neededMs.set(number, performance.now())
      return isNew
    },
    forgotten() {
      const beforeMs = performance.now() - idleMs
      const gone: number[] = []
      for (const [number, atMs] of neededMs) {
        if (atMs >= beforeMs && neededMs.size - gone.length <= most) break
        gone.push(number)
      }
      for (const number of gone) neededMs.delete(number)
      return gone
    },
  }
}

/** Starts no thread yet; each starts when it is first needed. */
export function createJobThreads<Job, Result>(options: JobThreadsOptions<Job>): JobThreads<Job, Result> {
  const { count, start, jobMs, keysMax, idleMs, tidy } = options
  const slots: Slot<Job, Result>[] = Array.from({ length: count }, () => ({
    worker: undefined,
    task: undefined,
    timer: undefined,
    held: createHeldKeys(keysMax, idleMs),
  }))
  const waiting: Task<Job, Result>[] = []
  let closed = false
  let tidying: NodeJS.Timeout | undefined

  function tidyUp(): void {
    const nobody = { resolve() {}, reject() {} } // of a thread that ends by it nothing is left to forget
    for (const slot of slots)
      if (slot.worker && !slot.task && slot.held.areStale)
        run(slot, { prepare: tidy, attempts: MAX_ATTEMPTS, ...nobody })
  }

  function open(slot: Slot<Job, Result>): Worker {
    const worker = start()
    slot.held = createHeldKeys(keysMax, idleMs)
    tidying ??= setInterval(tidyUp, idleMs).unref()
    worker.unref()
    worker.on('message', (result: Result) => {
      if (slot.worker !== worker) return
      const { task } = slot
      clearTimeout(slot.timer)
      slot.task = undefined
      worker.unref()
      next()
      task?.resolve(result)
    })
    worker.on('error', (cause) => lose(slot, worker, cause))
    worker.on('exit', (code) => lose(slot, worker, new Error(`A crypto thread ended with ${code}.`)))
    return worker
  }

  /** Gives a thread up, also one that could not be started; another one does its job, or nobody. */
  function lose(slot: Slot<Job, Result>, worker: Worker | undefined, cause: unknown): void {
    if (slot.worker !== worker) return
    const { task } = slot
    clearTimeout(slot.timer)
    slot.worker = undefined
    slot.task = undefined
    void worker?.terminate()
    if (task && task.attempts < MAX_ATTEMPTS && !closed) waiting.unshift(task)
    else task?.reject(cause)
    next()
  }

  function run(slot: Slot<Job, Result>, task: Task<Job, Result>): void {
    slot.task = task
    task.attempts++
    try {
      slot.worker ??= open(slot)
      const { worker } = slot
      slot.timer = setTimeout(() => lose(slot, worker, new Error(`A crypto thread hung for ${jobMs} ms.`)), jobMs)
      worker.ref() // what is asked for is waited for, also by a process that ends
      worker.postMessage(task.prepare(slot.held))
    } catch (err) {
      lose(slot, slot.worker, err) // none was started, or what it holds is not what was noted
    }
  }

  function next(): void {
    for (const slot of slots) {
      if (slot.task || closed) continue
      const task = waiting.shift()
      if (!task) return
      run(slot, task)
    }
  }

  return {
    ask(prepare) {
      if (closed) return Promise.reject(new Error('The crypto threads are closed.'))
      return new Promise((resolve, reject) => {
        waiting.push({ prepare, attempts: 0, resolve, reject })
        next()
      })
    },
    async close() {
      closed = true
      clearInterval(tidying)
      const error = new Error('The crypto threads are closed.')
      for (const task of waiting.splice(0)) task.reject(error)
      await Promise.all(
        slots.map(async (slot) => {
          const { worker, task } = slot
          clearTimeout(slot.timer)
          slot.worker = undefined
          slot.task = undefined
          task?.reject(error)
          await worker?.terminate()
        }),
      )
    },
  }
}
