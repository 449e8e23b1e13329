/** A bounded number of places, shared so that no holder can take what others come for. */
export interface FairShare {
  /** Places taken by all holders together. */
  readonly taken: number
  /** Takes places for a holder; `false`, with nothing taken, where its share or all there are is used up. */
  take(holder: string, amount?: number): boolean
  give(holder: string, amount?: number): void
}

export interface FairShareOptions {
  /** Places that there are. Read at every take: it may sink while they are taken. */
  readonly most: () => number
  /** The places that shares are reckoned from: at most `most`, less of them while there is little to share. */
  readonly shared: () => number
  /** Places that every holder may take whatever the others hold, while there are any. */
  readonly floor: number
}

/** A holder may have this many times what is free. */
const OF_WHAT_IS_FREE = 2

/**
 * Creates places that are shared by dynamic thresholds: a holder may take more while it has less than twice what is free. One
 * alone gets two thirds, two that want everything two fifths each, and there is always room for the next one.
 *
 * @see A. Choudhury, E. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998
 */
export function createFairShare({ most, shared, floor }: FairShareOptions): FairShare {
  const held = new Map<string, number>()
  let taken = 0
  return {
    get taken() {
      return taken
    },
    take(holder, amount = 1) {
      const own = (held.get(holder) ?? 0) + amount
      if (taken + amount > most()) return false
      if (own > floor && own > OF_WHAT_IS_FREE * (shared() - taken)) return false
      held.set(holder, own)
      taken += amount
      return true
    },
    give(holder, amount = 1) {
      const left = (held.get(holder) ?? 0) - amount
      taken -= amount
      if (left > 0) held.set(holder, left)
      else held.delete(holder)
    },
  }
}
