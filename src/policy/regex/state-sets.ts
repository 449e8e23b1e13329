const FIRST_CAPACITY = 8
const NONE = -1

export function grown(old: Int32Array, length: number): Int32Array {
  const larger = new Int32Array(length)
  larger.set(old)
  return larger
}

/** Sets of bits, each kept once and known by its number: 0 for the first, and so on. */
export class StateSets {
  /** The words of all sets, one set after the other. */
  all: Int32Array = new Int32Array(0)
  count = 0
  readonly #words: number
  /** The newest set of each hash, and the next older one of each set. */
  readonly #newest = new Map<number, number>()
  #older: Int32Array = new Int32Array(0)

  constructor(words: number) {
    this.#words = words
  }

  clear(): void {
    this.count = 0
    this.#newest.clear()
  }

  /** Finds the number of a set; `undefined` for a new one. */
  find(set: Int32Array): number | undefined {
    for (let at = this.#newest.get(this.#hash(set)) ?? NONE; at !== NONE; at = this.#older[at] as number) {
      if (this.#isAt(at, set)) return at
    }
    return undefined
  }

  /** Keeps a copy of a new set. */
  add(set: Int32Array): number {
    const number = this.count++
    if (number >= this.#older.length) {
      const capacity = Math.max(FIRST_CAPACITY, 2 * number)
      this.all = grown(this.all, capacity * this.#words)
      this.#older = grown(this.#older, capacity)
    }
    const hash = this.#hash(set)
    this.all.set(set, number * this.#words)
    this.#older[number] = this.#newest.get(hash) ?? NONE
    this.#newest.set(hash, number)
    return number
  }

  /** FNV-1a over words. */
  #hash(set: Int32Array): number {
    let hash = 0x811c9dc5
    for (let w = 0; w < this.#words; w++) hash = Math.imul(hash ^ (set[w] as number), 0x01000193)
    return hash ^ (hash >>> 15)
  }

  #isAt(number: number, set: Int32Array): boolean {
    for (let w = 0; w < this.#words; w++) {
      if (this.all[number * this.#words + w] !== set[w]) return false
    }
    return true
  }
}
