/** Wall-clock time for claims and records, monotonic time for deadlines. Both in milliseconds. */
export interface Clock {
  now(): number
  monotonic(): number
}

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() }
