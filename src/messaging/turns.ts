import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'

/** Milliseconds of work after which others get their turn. */
const TURN_MS = 5

/** For work of many steps: asked before each, it lets the event loop turn when the last turn was `TURN_MS` ago. */
export function createTurns(clock: Pick<Clock, 'monotonic'>): () => Promise<void> | undefined {
  let sinceMs = clock.monotonic()
  const turn = async () => {
    await nextTurn()
    sinceMs = clock.monotonic()
  }
  return () => (clock.monotonic() - sinceMs < TURN_MS ? undefined : turn())
}
