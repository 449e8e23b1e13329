import { Worker } from 'node:worker_threads'
import { type Bytes, copyBytes, wipe } from '../core/bytes.ts'
import type { CryptoProvider, SigningKey, VerifyKey } from '../crypto/provider.ts'
import type { SigningJob, SigningResult } from './sign-worker.ts'

/** A provider whose signatures are made and verified in threads, where only JavaScript does ML-DSA. */
export interface SignWorkers {
  readonly provider: CryptoProvider
  close(): Promise<void>
}

export interface SignWorkersOptions {
  /** Threads, each started when it is first needed. */
  readonly count?: number
  /** Starts a thread; for tests that end one. */
  readonly start?: () => Worker
  /** Milliseconds for one job; for tests. */
  readonly jobMs?: number
  /** Keys that a thread holds at most; 256 when absent. */
  readonly keysMax?: number
}

/** What a job is without the bytes of its key, which a thread gets once. */
type Unkeyed = { sign: number; message: Uint8Array; context: Uint8Array } | (Unsigned & { signature: Uint8Array })
type Unsigned = { verify: number; message: Uint8Array; context: Uint8Array }

interface Task {
  readonly job: Unkeyed
  /** A copy of the key's bytes for a thread that has not seen the key. */
  readonly key: () => Uint8Array
  attempts: number
  resolve(result: SigningResult): void
  reject(err: unknown): void
}

interface Slot {
  worker: Worker | undefined
  task: Task | undefined
  timer: NodeJS.Timeout | undefined
  /** Keys that the thread holds, the one that was used last at the end. */
  held: Set<number>
}

/**
 * Keys that a thread holds: those of the deployment and of tenants that sign now. The one that was not used for longest goes
 * first, so that a thread does not keep what was rotated away.
 */
const KEYS_MAX = 256

/** A job whose thread ended is done again, and after a second end given up: it may be the job that ends them. */
const MAX_ATTEMPTS = 2

/** Milliseconds for one job, the start of its thread included; a signature takes tens of them. */
const JOB_MS = 10_000

const startThread = (): Worker => new Worker(new URL('./sign-worker.ts', import.meta.url), { env: {} })

/** Wraps the portable provider; everything but `sign` and `verifyAsync` stays on the event loop. */
export function createSignWorkers(
  base: CryptoProvider,
  { count = 2, start = startThread, keysMax = KEYS_MAX, jobMs = JOB_MS }: SignWorkersOptions = {},
): SignWorkers {
  const slots: Slot[] = Array.from({ length: count }, () => ({
    worker: undefined,
    task: undefined,
    timer: undefined,
    held: new Set(),
  }))
  const waiting: Task[] = []
  let lastKey = 0
  let closed = false

  function open(slot: Slot): Worker {
    const worker = start()
    slot.held = new Set()
    worker.unref()
    worker.on('message', (result: SigningResult) => {
      if (slot.worker !== worker) return
      const { task } = slot
      clearTimeout(slot.timer)
      slot.task = undefined
      worker.unref()
      task?.resolve(result)
      next()
    })
    worker.on('error', (cause) => lose(slot, worker, cause))
    worker.on('exit', (code) => lose(slot, worker, new Error(`A signing thread ended with ${code}.`)))
    return worker
  }

  /** Gives a thread up; another one does its job, or nobody. */
  function lose(slot: Slot, worker: Worker, cause: unknown): void {
    if (slot.worker !== worker) return
    const { task } = slot
    clearTimeout(slot.timer)
    slot.worker = undefined
    slot.task = undefined
    void worker.terminate()
    if (task && task.attempts < MAX_ATTEMPTS && !closed) waiting.unshift(task)
    else task?.reject(cause)
    next()
  }

  function run(slot: Slot, task: Task): void {
    const id = 'sign' in task.job ? task.job.sign : task.job.verify
    slot.worker ??= open(slot)
    const { worker } = slot
    slot.timer = setTimeout(() => lose(slot, worker, new Error(`A signing thread hung for ${jobMs} ms.`)), jobMs)
    worker.ref() // a signature that is asked for is waited for, also by a process that ends
    slot.task = task
    task.attempts++
    const bytes = slot.held.delete(id) ? undefined : task.key()
    slot.held.add(id)
    const [oldest] = slot.held
    const forget = slot.held.size > keysMax ? oldest : undefined
    if (forget !== undefined) slot.held.delete(forget)
    const named = bytes && ('sign' in task.job ? { seed: bytes } : { publicKey: bytes })
    worker.postMessage({ ...task.job, ...named, ...(forget !== undefined && { forget }) } satisfies SigningJob)
    if (bytes) wipe(bytes)
  }

  function next(): void {
    for (const slot of slots) {
      if (slot.task || closed) continue
      const task = waiting.shift()
      if (!task) return
      run(slot, task)
    }
  }

  function ask(job: Unkeyed, key: () => Uint8Array): Promise<SigningResult> {
    if (closed) return Promise.reject(new Error('The signing threads are closed.'))
    return new Promise((resolve, reject) => {
      waiting.push({ job, key, attempts: 0, resolve, reject })
      next()
    })
  }

  function signingKey(seed: Uint8Array): SigningKey {
    const { publicKey } = base.signingKey(seed)
    const kept = copyBytes(seed)
    const id = ++lastKey
    return {
      publicKey,
      async sign(message, context) {
        const result = await ask({ sign: id, message, context }, () => copyBytes(kept))
        if (!('signature' in result)) throw new Error('A signing thread answered something else.')
        return result.signature as Bytes
      },
    }
  }

  function verifyKey(bytes: Uint8Array): VerifyKey | undefined {
    const known = base.verifyKey(bytes)
    const id = ++lastKey
    return (
      known && {
        ...known,
        async verifyAsync(message, context, signature) {
          const result = await ask({ verify: id, message, context, signature }, () => copyBytes(known.bytes))
          return 'isValid' in result && result.isValid
        },
      }
    )
  }

  return {
    provider: { ...base, signingKey, verifyKey },
    async close() {
      closed = true
      const error = new Error('The signing threads are closed.')
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
