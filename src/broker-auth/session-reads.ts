import { AppError } from '../core/errors.ts'
import type { SessionStore } from './session-store.ts'

/** What the table says of one key; `began` is the moment before the statement, after which it may have changed. */
export interface SeenRow<Moment> {
  readonly text: string | undefined
  readonly began: Moment
}

export interface SessionReads<Moment> {
  /**
   * Reads of many keys that are asked for in one turn of the loop are one statement, and those of one key one read.
   *
   * @throws {AppError} `database.unavailable`; what is no failure of the database comes as it is, so that it is told to the log
   */
  read(key: Buffer): Promise<SeenRow<Moment>>
  /** A row has been replaced: a read of it that is under way may bring what it was before, and is done again. */
  changed(hex: string): void
  /** Whether a read failed just now: the next one waits a little. */
  readonly isAway: boolean
}

export interface SessionReadsDeps<Moment> {
  readonly store: Pick<SessionStore, 'load'>
  /** Milliseconds. */
  readonly monotonic: () => number
  readonly moment: () => Moment
}

interface Wanted<Moment> {
  readonly key: Buffer
  isOld: boolean
  readonly done: PromiseWithResolvers<SeenRow<Moment>>
}

/** Keys of one statement, statements at once. */
const MOST = 500
const PARALLEL = 2
/** Milliseconds after a read that failed before the next: meanwhile what is not at hand is not to be had. */
const RETRY_MS = 250

const unreachable = (cause: unknown) => new AppError('database.unavailable', 'Sessions are out of reach.', { cause })

export function createSessionReads<Moment>(deps: SessionReadsDeps<Moment>): SessionReads<Moment> {
  const { store, monotonic, moment } = deps
  /** By key in hexadecimal, until it is answered; those that no statement has taken yet are queued. */
  const wanted = new Map<string, Wanted<Moment>>()
  const queue: string[] = []
  let running = 0
  let failedAtMs = Number.NEGATIVE_INFINITY
  /** Of the last read that failed. */
  let failure: unknown
  const isAway = () => monotonic() - failedAtMs <= RETRY_MS

  function start(): void {
    while (queue.length > 0 && running < PARALLEL) {
      running++
      void readSome(queue.splice(0, MOST)).finally(() => {
        running--
        start()
      })
    }
  }

  async function readSome(hexes: readonly string[]): Promise<void> {
    const asked = hexes.flatMap((hex) => wanted.get(hex) ?? [])
    for (const one of asked) one.isOld = false
    const began = moment()
    const found = await store.load(asked.map(({ key }) => key)).catch((err: unknown) => {
      failedAtMs = monotonic()
      failure = err
    })
    for (const [i, { isOld, done }] of asked.entries()) {
      const hex = hexes[i] as string
      if (found !== undefined && isOld) {
        queue.push(hex)
        continue
      }
      wanted.delete(hex)
      if (found === undefined) done.reject(failure)
      else done.resolve({ text: found.get(hex), began })
    }
  }

  return {
    read(key) {
      const hex = key.toString('hex')
      const known = wanted.get(hex)
      if (known) return known.done.promise
      if (isAway()) return Promise.reject(unreachable(failure))
      const done = Promise.withResolvers<SeenRow<Moment>>()
      wanted.set(hex, { key, isOld: false, done })
      if (queue.push(hex) === 1) setImmediate(start)
      return done.promise
    },
    changed(hex) {
      const one = wanted.get(hex)
      if (one) one.isOld = true
    },
    get isAway() {
      return isAway()
    },
  }
}
