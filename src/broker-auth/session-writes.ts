import type { Log } from '../core/log.ts'
import type { Queryable } from '../db/db.ts'
import type { SessionRow, SessionStore } from './session-store.ts'

export interface WriteBehindDeps {
  readonly store: Pick<SessionStore, 'save' | 'touch' | 'remove'>
  readonly clock: { now(): number }
  readonly log: Log
  /** Told what was replaced, by key in hexadecimal, with the tag of the new content. */
  readonly announce: (tx: Queryable, replaced: ReadonlyMap<string, string>) => Promise<void>
}

export interface WriteBehind {
  /** Resolves when the row is written, or after 100 ms, or `waitMs`: it is written then as well, as soon as the database takes it. */
  save(row: SessionRow, tag: string, waitMs?: number): Promise<void>
  /** Nobody remembers the session any more: a row that waits is not worth writing. */
  forget(key: Buffer): void
  touch(key: Buffer): void
  remove(key: Buffer): void
  /** Whether a row waits to be written, or is being written. */
  isWaiting(key: Buffer): boolean
  /** Whether a row is about to be deleted, so that what is read of it counts no more. */
  isGoing(key: Buffer): boolean
  /** Tries once more to write what waits. */
  close(): Promise<void>
}

/** Milliseconds that a login waits for its row: another replica may be asked next. */
const WAIT_MS = 100
/** Rows of one statement. */
const BATCH = 500
/** Keys that wait to be deleted, or told of as used, while the database is away; the sweeper finds what is forgotten here. */
const MAX_KEYS = 100_000
const RETRY_MS = 500

interface Waiting {
  readonly row: SessionRow
  readonly tag: string
  readonly written: PromiseWithResolvers<void>
}

/** Writes sessions in the background, many in one statement; one statement at a time, so that a key's rows keep their order. */
export function createWriteBehind({ store, clock, log, announce }: WriteBehindDeps): WriteBehind {
  const saves = new Map<string, Waiting>()
  const touches = new Map<string, Buffer>()
  const removes = new Map<string, Buffer>()
  let underWay: ReadonlyMap<string, Waiting> = new Map()
  let going: ReadonlyMap<string, Buffer> = new Map()
  let running: Promise<void> | undefined
  let retry: NodeJS.Timeout | undefined
  let isAway = false

  function take<V>(from: Map<string, V>): Map<string, V> {
    const some = new Map([...from].slice(0, BATCH))
    for (const key of some.keys()) from.delete(key)
    return some
  }

  /** Nobody waits any longer for a row that is not written. */
  function drop(hex: string): void {
    saves.get(hex)?.written.resolve()
    saves.delete(hex)
  }

  function note(keys: Map<string, Buffer>, key: Buffer): void {
    keys.set(key.toString('hex'), key)
    const [oldest] = keys.keys()
    if (keys.size > MAX_KEYS && oldest !== undefined) keys.delete(oldest)
  }

  async function writeSome(): Promise<void> {
    const batch = take(saves)
    underWay = batch
    const [touched, removed] = [take(touches), take(removes)]
    going = removed
    const now = new Date(clock.now())
    try {
      if (batch.size > 0)
        await store.save(
          [...batch.values()].map(({ row }) => row),
          now,
          (tx, replaced) => {
            const keys = replaced.map((key) => key.toString('hex'))
            return announce(tx, new Map(keys.map((key) => [key, batch.get(key)?.tag ?? ''])))
          },
        )
      for (const { written } of batch.values()) written.resolve()
      if (touched.size > 0) await store.touch([...touched.values()], now)
      if (removed.size > 0) await store.remove([...removed.values()])
      isAway = false
    } catch (err) {
      for (const [key, one] of batch) if (!saves.has(key) && !removes.has(key)) saves.set(key, one)
      for (const [key, one] of removed) if (!saves.has(key)) removes.set(key, one) // else it is there again
      if (!isAway)
        log.warn(
          { code: (err as { code?: unknown }).code },
          'sessions of brokers are kept in memory until they can be written',
        )
      isAway = true
    } finally {
      underWay = new Map()
      going = new Map()
    }
  }

  async function run(): Promise<void> {
    do await writeSome()
    while (!isAway && saves.size + touches.size + removes.size > 0)
    running = undefined
    if (isAway) retry = setTimeout(start, RETRY_MS).unref()
  }

  function start(): void {
    clearTimeout(retry)
    running ??= run()
  }

  function wake(): void {
    if (running === undefined && !isAway) running = Promise.resolve().then(run) // what comes in this turn goes together
  }

  return {
    async save(row, tag, waitMs = WAIT_MS) {
      const key = row.key.toString('hex')
      const written = Promise.withResolvers<void>()
      drop(key)
      removes.delete(key)
      saves.set(key, { row, tag, written })
      wake()
      if (isAway) return
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, Math.min(waitMs, WAIT_MS))
      })
      await Promise.race([written.promise, late])
      clearTimeout(timer)
    },
    forget(key) {
      drop(key.toString('hex'))
    },
    touch(key) {
      note(touches, key)
      wake()
    },
    remove(key) {
      drop(key.toString('hex'))
      note(removes, key)
      wake()
    },
    isWaiting(key) {
      const hex = key.toString('hex')
      return saves.has(hex) || underWay.has(hex)
    },
    isGoing(key) {
      const hex = key.toString('hex')
      return !saves.has(hex) && !underWay.has(hex) && (removes.has(hex) || going.has(hex))
    },
    async close() {
      clearTimeout(retry)
      await running
      clearTimeout(retry)
      if (saves.size + removes.size > 0) await run()
      clearTimeout(retry)
      if (saves.size > 0)
        log.warn({ sessions: saves.size }, 'sessions of brokers end with this process: they could not be written')
    },
  }
}
