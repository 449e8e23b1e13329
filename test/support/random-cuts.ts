import type { CutKind, Direction, Faults } from './fault-proxy.ts'

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const HOW: readonly CutKind[] = ['close', 'close', 'close', 'reset', 'reset', 'reset', 'stall', 'half-open']

/** Where and how one connection is cut, within so many bytes: drawn anew for each, so that cuts fall into every packet. */
export function planCut(
  random: () => number,
  within: Readonly<Record<Direction, number>>,
): { up?: Faults; down?: Faults } {
  const direction = random() < 0.5 ? 'up' : 'down'
  const how = HOW[Math.floor(random() * HOW.length)] ?? 'close'
  return { [direction]: { cut: { afterBytes: Math.floor(random() * within[direction]), how } } }
}
