import type { Limit } from './guards-config.ts'

/** Tokens that are gone, at a time; a full bucket has none gone. */
interface Level {
  gone: number
  at: number
}

/** Room for what a computation in floating point loses. */
const EPSILON = 1e-6

/** A token bucket: full at the start, refilled steadily. */
export class Bucket {
  readonly #perMs: number
  readonly #level: Level = { gone: 0, at: 0 }
  capacity: number

  constructor(perSecond: number, capacity: number) {
    this.#perMs = perSecond / 1_000
    this.capacity = capacity
  }

  /** Milliseconds until `cost` tokens can be taken: 0 at once, Infinity never. */
  wait(cost: number, now: number): number {
    if (cost > this.capacity) return Number.POSITIVE_INFINITY
    const missing = this.#gone(now) + cost - this.capacity
    return missing <= EPSILON ? 0 : missing / this.#perMs
  }

  take(cost: number, now: number): void {
    this.#level.gone = this.#gone(now) + cost
    this.#level.at = Math.max(now, this.#level.at)
  }

  isFull(now: number): boolean {
    return this.#gone(now) <= EPSILON
  }

  #gone(now: number): number {
    return Math.max(0, this.#level.gone - Math.max(0, now - this.#level.at) * this.#perMs)
  }
}

/** The buckets of one key of a limit: messages, bytes, or both. */
export interface BucketPair {
  readonly messages: Bucket | null
  readonly bytes: Bucket | null
}

/** Bytes that a byte bucket holds: a message that the inspection lets through has to fit. */
export function byteCapacity(limit: Limit, inspectedBytes: number): number {
  return Math.max(limit.burst * 1_024, limit.bytesPerSecond, inspectedBytes)
}

export function createBuckets(limit: Limit, inspectedBytes: number): BucketPair {
  return {
    messages: limit.messagesPerSecond === 0 ? null : new Bucket(limit.messagesPerSecond, limit.burst),
    bytes: limit.bytesPerSecond === 0 ? null : new Bucket(limit.bytesPerSecond, byteCapacity(limit, inspectedBytes)),
  }
}
