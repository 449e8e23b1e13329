import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { SealwireError } from '#src/sdk/index.ts'

/** Milliseconds between two looks at the clock: a look sends all calls that are due. */
const LOOK_EVERY_MS = 5
/** Calls on their way at once. A machine that cannot keep up gets no queue of calls: they go out when answers have come. */
const MAX_IN_FLIGHT = 32
/** Longest that a test waits for what traffic has to bring about. */
const PATIENCE_MS = 20_000

export interface TrafficOptions {
  /** The `i`th call, from 0. It is answered when this resolves, and has failed when it rejects. */
  call: (i: number) => Promise<unknown>
  /** 100 by default. */
  perSecond?: number
  /** Goes on at least this long; 3,000 by default. */
  leastMs?: number
  /** Whether an error is a refusal that the test wants; `sentAtMs` as of `performance.now()`. None is by default. */
  isRefusal?: (err: SealwireError, sentAtMs: number) => boolean
}

export interface Traffic {
  /**
   * Resolves with the answer that makes `isReached` true; it is asked after every answer.
   *
   * @throws {AssertionError} at the first call that fails, and when nothing came of it for 20 s
   */
  until(what: string, isReached: () => boolean): Promise<void>
}

export interface TrafficCounts {
  sent: number
  answered: number
  /** By error code. */
  refused: Record<string, number>
}

const textOf = (err: unknown) =>
  err instanceof SealwireError ? `${err.code}: ${err.message}${err.hint ? ` (${err.hint})` : ''}` : String(err)

/**
 * Does `work` while calls go out at a fixed rate by the clock, then awaits all answers, and says in the test's output what
 * was sent. The rate that was reached is a fact of the machine; a failed call fails the test.
 */
export async function underTraffic<T>(
  t: TestContext,
  { call, perSecond = 100, leastMs = 3_000, isRefusal = () => false }: TrafficOptions,
  work: (traffic: Traffic) => Promise<T>,
): Promise<{ result: T; counts: TrafficCounts }> {
  const counts: TrafficCounts = { sent: 0, answered: 0, refused: {} }
  const failures: string[] = []
  const watchers = new Set<() => void>()
  const onWay = new Set<Promise<void>>()
  const startedMs = performance.now()
  let slowestMs = 0

  async function send(i: number): Promise<void> {
    const sentAtMs = performance.now()
    try {
      await call(i)
      counts.answered++
    } catch (err) {
      if (!(err instanceof SealwireError && isRefusal(err, sentAtMs))) failures.push(`call ${i}: ${textOf(err)}`)
      else counts.refused[err.code] = (counts.refused[err.code] ?? 0) + 1
    }
    slowestMs = Math.max(slowestMs, performance.now() - sentAtMs)
    for (const watch of watchers) watch()
  }

  function sendWhatIsDue(): void {
    const due = 1 + Math.floor(((performance.now() - startedMs) * perSecond) / 1000)
    while (counts.sent < due && onWay.size < MAX_IN_FLIGHT) {
      const sending = send(counts.sent++)
      onWay.add(sending)
      void sending.then(() => onWay.delete(sending))
    }
  }

  const until = (what: string, isReached: () => boolean) =>
    new Promise<void>((resolve, reject) => {
      const end = (done: () => void) => {
        clearTimeout(timer)
        watchers.delete(watch)
        done()
      }
      const fail = (why: string) => end(() => reject(new assert.AssertionError({ message: `${what}: ${why}` })))
      const watch = () => {
        if (failures[0] !== undefined) fail(failures[0])
        else if (isReached()) end(resolve)
      }
      const timer = setTimeout(() => fail(`not within ${PATIENCE_MS} ms`), PATIENCE_MS)
      watchers.add(watch)
      watch()
    })

  const looks = setInterval(sendWhatIsDue, LOOK_EVERY_MS)
  const enough = new Promise((resolve) => setTimeout(resolve, leastMs))
  let result: T
  try {
    ;[result] = await Promise.all([work({ until }), enough])
  } finally {
    clearInterval(looks)
    await Promise.all(onWay)
    const seconds = (performance.now() - startedMs) / 1000
    const rate = `${(counts.sent / seconds).toFixed(1)} of ${perSecond} a second for ${seconds.toFixed(1)} s`
    const { sent, answered, refused } = counts
    t.diagnostic(
      `${rate}: ${sent} sent, ${answered} answered and opened, refused ${JSON.stringify(refused)}, ` +
        `${failures.length} failed; the slowest took ${slowestMs.toFixed(0)} ms`,
    )
  }
  assert.equal(failures.length, 0, `${failures.length} of ${counts.sent} calls failed; the first is ${failures[0]}`)
  assert.ok(counts.answered > 0, 'nothing was answered')
  return { result, counts }
}
