/** Indices that there is room for at first, and the most that room is kept for. */
const INITIAL = 64
const KEPT = 524_288

/** Ranges of an array: for each the index of its first element and the index behind its last, in turn. */
export class Ranges {
  #indices = new Uint32Array(INITIAL)
  #length = 0

  add(from: number, to: number): void {
    if (this.#length === this.#indices.length) {
      const larger = new Uint32Array(2 * this.#length)
      larger.set(this.#indices)
      this.#indices = larger
    }
    this.#indices[this.#length++] = from
    this.#indices[this.#length++] = to
  }

  clear(): void {
    this.#length = 0
    if (this.#indices.length > KEPT) this.#indices = new Uint32Array(INITIAL)
  }

  addAll(other: Ranges): void {
    for (let i = 0; i < other.#length; i += 2) this.add(other.#indices[i] as number, other.#indices[i + 1] as number)
  }

  get indices(): Uint32Array {
    return this.#indices.subarray(0, this.#length)
  }
}
