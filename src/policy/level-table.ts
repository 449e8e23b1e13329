import { characterBits } from './topic-syntax.ts'

/** Numbers of the two texts that are wildcards in a filter and ordinary text in an `eq`. 0 is a text of no pattern. */
export const PLUS_ID = 1
export const HASH_ID = 2

const MAX_LEVELS = 129
const SLASH = 0x2f
const PRIME = 0x0100_0193 // FNV-1a, 32 bits

/** The levels of one topic name or filter, by number. One object is filled again and again. */
export class TopicLevels {
  text = ''
  count = 0
  readonly ids = new Int32Array(MAX_LEVELS)
  readonly #starts = new Int32Array(MAX_LEVELS)
  readonly #ends = new Int32Array(MAX_LEVELS)

  set(level: number, id: number, start: number, end: number): void {
    this.ids[level] = id
    this.#starts[level] = start
    this.#ends[level] = end
  }

  /** Whether a level is this text. */
  is(level: number, text: string): boolean {
    const start = this.#starts[level] as number
    if ((this.#ends[level] as number) - start !== text.length) return false
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== this.text.charCodeAt(start + i)) return false
    return true
  }

  /** The text of a level. */
  at(level: number): string {
    return this.text.slice(this.#starts[level], this.#ends[level])
  }

  get startsWithDollar(): boolean {
    return this.text.charCodeAt(0) === 0x24
  }

  /** Brings a filter into the form that is compared: `+/#` is `#`, and `/#` is `/+/#` because no name is empty. */
  makeCanonical(): void {
    if (this.count !== 2 || this.ids[1] !== HASH_ID) return
    if (this.ids[0] === PLUS_ID) {
      this.count = 1
      this.set(0, HASH_ID, 2, 3)
    } else if (this.#ends[0] === 0) {
      this.count = 3
      this.set(1, PLUS_ID, 1, 1)
      this.set(2, HASH_ID, 1, 2)
    }
  }
}

/** Numbers of one slot of the table: hash, id, and where the characters of the text stand. */
const HASH = 0
const ID = 1
const OFFSET = 2
const LENGTH = 3
const SLOT = 4

/**
 * Numbers every level text of a policy's patterns, so that a topic is compared with all of them by numbers. Finding costs one
 * pass over the topic and makes no strings; a slot is found with the characters beside it, because memory is what lookups wait
 * for.
 */
export class LevelTable {
  readonly #texts: string[] = ['']
  #slots = new Int32Array(SLOT * 128)
  #characters = new Uint16Array(1_024)
  #used = 0
  readonly #seed = (Math.random() * 0x1_0000_0000) | 0

  constructor() {
    this.intern('+')
    this.intern('#')
  }

  /** The slot of a text, or the free one where it would stand. */
  #slotOf(text: string, start: number, end: number, hash: number): number {
    const slots = this.#slots
    const mask = slots.length / SLOT - 1
    for (let slot = (hash ^ (hash >>> 15)) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * SLOT
      if (slots[at + ID] === 0) return at
      if (
        slots[at + HASH] === hash &&
        slots[at + LENGTH] === end - start &&
        this.#isAt(slots[at + OFFSET] as number, text, start, end)
      )
        return at
    }
  }

  #isAt(offset: number, text: string, start: number, end: number): boolean {
    const characters = this.#characters
    for (let i = start; i < end; i++) if (text.charCodeAt(i) !== characters[offset + i - start]) return false
    return true
  }

  #find(text: string, start: number, end: number, hash: number): number {
    return this.#slots[this.#slotOf(text, start, end, hash) + ID] as number
  }

  #hashOf(text: string): number {
    let hash = this.#seed
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME)
    return hash
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Int32Array(old.length * 2)
    const mask = this.#slots.length / SLOT - 1
    for (let at = 0; at < old.length; at += SLOT) {
      if (old[at + ID] === 0) continue
      const hash = old[at + HASH] as number
      let slot = (hash ^ (hash >>> 15)) & mask
      while (this.#slots[slot * SLOT + ID] !== 0) slot = (slot + 1) & mask
      this.#slots.set(old.subarray(at, at + SLOT), slot * SLOT)
    }
  }

  #keep(text: string): number {
    const offset = this.#used
    this.#used += text.length
    if (this.#used > this.#characters.length) {
      const characters = new Uint16Array(Math.max(this.#used, this.#characters.length * 2))
      characters.set(this.#characters)
      this.#characters = characters
    }
    for (let i = 0; i < text.length; i++) this.#characters[offset + i] = text.charCodeAt(i)
    return offset
  }

  /** The number of a text, given now if it has none. */
  intern(text: string): number {
    const hash = this.#hashOf(text)
    const known = this.#find(text, 0, text.length, hash)
    if (known !== 0) return known
    const id = this.#texts.push(text) - 1
    if (id * 2 > this.#slots.length / SLOT) this.#grow()
    this.#slots.set([hash, id, this.#keep(text), text.length], this.#slotOf(text, 0, text.length, hash))
    return id
  }

  textOf(id: number): string {
    return this.#texts[id] as string
  }

  /**
   * Splits a name or filter into its levels; those beyond 129 are counted and not kept.
   *
   * @returns the bits of its characters, see `characterBits`
   */
  split(text: string, into: TopicLevels): number {
    into.text = text
    let bits = 0
    let count = 0
    let start = 0
    let hash = this.#seed
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i)
      if (c !== SLASH) {
        hash = Math.imul(hash ^ c, PRIME)
        bits |= characterBits(c)
        continue
      }
      if (count < MAX_LEVELS) into.set(count, this.#find(text, start, i, hash), start, i)
      count++
      start = i + 1
      hash = this.#seed
    }
    if (count < MAX_LEVELS) into.set(count, this.#find(text, start, text.length, hash), start, text.length)
    into.count = count + 1
    return bits
  }
}
