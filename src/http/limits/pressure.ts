import { getHeapStatistics } from 'node:v8'

/**
 * How much work this process can take on: everything, less while its event loop turns late, little while its heap is nearly
 * full.
 */
export type Pressure = 'none' | 'late' | 'heap'

export interface PressureGauge {
  readonly pressure: Pressure
  close(): void
}

export interface PressureOptions {
  readonly monotonic: () => number
  /** Part of the heap's limit that is in use, 0 to 1. */
  readonly heapUse?: () => number
}

const EVERY_MS = 50
/** Milliseconds that the loop may be late; a turn with hundreds of requests in it takes a few tens. */
const LATE_MS = 60
/**
 * One late turn is a pause, such as a collection of garbage; too much work are many of them, in a row or with good ones in
 * between, as when each commit brings hundreds of answers at once. A late turn counts two, a good one takes one away.
 */
const LATE_FROM = 6
const LATE_UNTIL = 3
/** Above it new work is refused, so that what is under way can end: a full heap ends the process, with everything in it. */
const HEAP_WATERMARK = 0.85

const heapUseNow = (): number => {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
  return used / limit
}

/** Looks at the event loop and the heap twenty times a second; requests read what it saw last. */
export function createPressureGauge({ monotonic, heapUse = heapUseNow }: PressureOptions): PressureGauge {
  let pressure: Pressure = 'none'
  let lateness = 0
  let isLate = false
  let dueMs = monotonic() + EVERY_MS
  const look = () => {
    const nowMs = monotonic()
    lateness = nowMs - dueMs > LATE_MS ? Math.min(LATE_FROM, lateness + 2) : Math.max(0, lateness - 1)
    dueMs = nowMs + EVERY_MS
    isLate = lateness >= (isLate ? LATE_UNTIL : LATE_FROM)
    pressure = heapUse() > HEAP_WATERMARK ? 'heap' : isLate ? 'late' : 'none'
  }
  const timer = setInterval(look, EVERY_MS)
  timer.unref()
  return {
    get pressure() {
      return pressure
    },
    close: () => clearInterval(timer),
  }
}
