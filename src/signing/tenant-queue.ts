import { AppError } from '../core/errors.ts'

/** A place in the queue of one tenant. Exactly one of `run` and `release` ends it; `release` afterwards does nothing. */
export interface TenantPlace {
  /** Runs `work` when the turn of the tenant comes; fails as it does. */
  run<Result>(work: () => Promise<Result>): Promise<Result>
  release(): void
}

/** Where signatures wait that are made one by one, with keys of tenants. */
export interface TenantQueue {
  /** Places taken: reserved, waiting or being worked on. */
  readonly pending: number
  /**
   * Takes a place of the tenant before anything irrevocable is done.
   *
   * @throws {AppError} `signer.busy` when every place of the tenant, or of all tenants, is taken
   */
  reserve(tenantId: string): TenantPlace
}

export interface TenantQueueOptions {
  /** Most places of one tenant. */
  readonly maxPerTenant: number
  /** Most places of all tenants together. */
  readonly maxQueue: number
}

/**
 * Creates a queue that works on one thing at a time, in turn for the tenants that wait: however much one tenant asks, each
 * of the others waits for one piece of its work, and the signer of the deployment keeps the other threads.
 */
export function createTenantQueue({ maxPerTenant, maxQueue }: TenantQueueOptions): TenantQueue {
  const places = new Map<string, number>()
  /** Work by tenant, in the order in which the tenants get their turn. */
  const waiting = new Map<string, (() => Promise<void>)[]>()
  let pending = 0
  let isWorking = false

  function take(tenantId: string): void {
    pending++
    places.set(tenantId, (places.get(tenantId) ?? 0) + 1)
  }

  function free(tenantId: string): void {
    pending--
    const left = (places.get(tenantId) ?? 1) - 1
    if (left > 0) places.set(tenantId, left)
    else places.delete(tenantId)
  }

  /** The next piece of work; its tenant goes to the end of the line. */
  function next(): (() => Promise<void>) | undefined {
    const [turn] = waiting
    if (!turn) return undefined
    const [tenantId, [work, ...later]] = turn
    waiting.delete(tenantId)
    if (later.length > 0) waiting.set(tenantId, later)
    return work
  }

  async function pump(): Promise<void> {
    isWorking = true
    for (let work = next(); work; work = next()) await work()
    isWorking = false
  }

  function enqueue(tenantId: string, work: () => Promise<void>): void {
    waiting.set(tenantId, [...(waiting.get(tenantId) ?? []), work])
    if (!isWorking) void pump()
  }

  return {
    get pending() {
      return pending
    },
    reserve(tenantId) {
      if ((places.get(tenantId) ?? 0) >= maxPerTenant || pending >= maxQueue)
        throw new AppError('signer.busy', 'Too many signatures with keys of tenants are waiting.', { retryAfterS: 1 })
      take(tenantId)
      let isOpen = true
      return {
        async run<Result>(work: () => Promise<Result>) {
          if (!isOpen) throw new Error('This place was used or released')
          isOpen = false
          try {
            return await new Promise<Result>((resolve, reject) => {
              enqueue(tenantId, async () => {
                try {
                  resolve(await work())
                } catch (err) {
                  reject(err)
                }
              })
            })
          } finally {
            free(tenantId)
          }
        },
        release() {
          if (isOpen) free(tenantId)
          isOpen = false
        },
      }
    },
  }
}
