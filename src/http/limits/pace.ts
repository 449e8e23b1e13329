import { LRUCache } from 'lru-cache'

/**
 * Spreads what a flood is given over its window: counted by windows alone, it would get its whole quota in the first moments of
 * each, and whoever else is served then would wait for all of it.
 */
export interface Pace {
  /** Takes units, or answers in how many milliseconds there will be so many, and in how many a single one. */
  ask(key: string, perS: number, units: number): { waitMs: number; oneInMs: number; isFirst: boolean }
  /** The window's quota is used up: from its end on there is what comes in by then, and nothing saved up. */
  usedUp(key: string, endsMs: number): void
}

interface State {
  /** When all that was taken will have come in again, on the monotonic clock. */
  fullAtMs: number
  /** When a refusal was last the first of its second. */
  saidMs: number
}

/** What comes in while nothing is taken is kept for so long. */
const SAVED_MS = 1_000
const MAX_KEYS = 20_000
/** Thirds of a second do not sum up to one. */
const ROUNDING_MS = 0.001

/**
 * Creates a pace for each key: a quota comes in evenly, and who was idle has a second's worth at once.
 *
 * @see ATM Forum, Traffic Management 4.1, §4.4 (generic cell rate algorithm)
 */
export function createPace(monotonic: () => number): Pace {
  const states = new LRUCache<string, State>({ max: MAX_KEYS })

  function stateOf(key: string): State {
    const known = states.get(key)
    if (known) return known
    const state = { fullAtMs: 0, saidMs: Number.NEGATIVE_INFINITY }
    states.set(key, state)
    return state
  }

  return {
    ask(key, perS, units) {
      const state = stateOf(key)
      const nowMs = monotonic()
      const fullAtMs = Math.max(state.fullAtMs, nowMs) + (units * 1000) / perS
      const waitMs = fullAtMs - nowMs - SAVED_MS
      if (waitMs < ROUNDING_MS) {
        state.fullAtMs = fullAtMs
        return { waitMs: 0, oneInMs: 0, isFirst: false }
      }
      const isFirst = nowMs - state.saidMs >= 1_000
      if (isFirst) state.saidMs = nowMs
      return { waitMs, oneInMs: Math.max(0, waitMs - ((units - 1) * 1000) / perS), isFirst }
    },
    usedUp(key, endsMs) {
      const state = stateOf(key)
      state.fullAtMs = Math.max(state.fullAtMs, monotonic() + endsMs + SAVED_MS)
    },
  }
}
