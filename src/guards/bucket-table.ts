import { type BucketPair, byteCapacity, createBuckets } from './bucket.ts'
import type { Limit } from './guards-config.ts'

/** Keys of one limit that are remembered. */
export const MAX_KEYS = 100_000

function isFull({ messages, bytes }: BucketPair, now: number): boolean {
  return (messages?.isFull(now) ?? true) && (bytes?.isFull(now) ?? true)
}

/** The buckets of one limit by key. Full ones are forgotten; beyond `MAX_KEYS`, the one that was charged longest ago. */
export class BucketTable {
  readonly limit: Limit
  #inspectedBytes: number
  readonly #buckets = new Map<string, BucketPair>()

  constructor(limit: Limit, inspectedBytes: number) {
    this.limit = limit
    this.#inspectedBytes = inspectedBytes
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Follows a change of the inspection, which the room for bytes depends on. */
  setInspectedBytes(inspectedBytes: number): void {
    this.#inspectedBytes = inspectedBytes
    const capacity = byteCapacity(this.limit, inspectedBytes)
    for (const { bytes } of this.#buckets.values()) if (bytes) bytes.capacity = capacity
  }

  /** The buckets of a key; full ones when nothing is known of it. They count once they are charged. */
  of(key: string): BucketPair {
    return this.#buckets.get(key) ?? createBuckets(this.limit, this.#inspectedBytes)
  }

  charge(key: string, pair: BucketPair, payloadCost: number, now: number): void {
    pair.messages?.take(1, now)
    pair.bytes?.take(payloadCost, now)
    this.#buckets.delete(key)
    this.#forget(now)
    this.#buckets.set(key, pair)
  }

  /** Two at a time, so that the table shrinks although one is added; the first is the one that was charged longest ago. */
  #forget(now: number): void {
    for (const [count, [key, pair]] of this.#buckets.entries().take(2).toArray().entries()) {
      if (isFull(pair, now) || (count === 0 && this.#buckets.size >= MAX_KEYS)) this.#buckets.delete(key)
    }
  }
}
