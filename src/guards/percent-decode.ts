import { type Decode, hexAt, indexOfUnit } from './text-arena.ts'

const PERCENT = 0x25
const REPLACEMENT = 0xfffd

/** The byte that `%XX` at `at` stands for; -1 when there is none. */
function byteAt(units: Uint16Array, at: number, to: number): number {
  return units[at] === PERCENT && at < to ? hexAt(units, at + 1, 2, to) : -1
}

/** Bytes of a UTF-8 sequence, by its first; 1 for what begins none. */
function sequenceLength(first: number): number {
  if (first >= 0xc0 && first < 0xe0) return 2
  if (first >= 0xe0 && first < 0xf0) return 3
  return first >= 0xf0 && first < 0xf8 ? 4 : 1
}

/** The character whose UTF-8 begins with the escape at `at`; -1 for bytes that are none. */
function characterAt(units: Uint16Array, at: number, to: number, first: number): number {
  if (first < 0x80) return first
  const length = sequenceLength(first)
  let codePoint = first & (0xff >> (length + 1))
  for (let i = 1; i < length; i++) {
    const byte = byteAt(units, at + 3 * i, to)
    if (byte === -1 || (byte & 0xc0) !== 0x80) return -1
    codePoint = codePoint * 64 + (byte & 0x3f)
  }
  return length === 1 || codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff) ? -1 : codePoint
}

/**
 * Decodes `%XX` once, leniently: overlong UTF-8 stands for the character that careless decoders make of it (`%c0%af` is
 * `/`), other bytes that are no UTF-8 become U+FFFD, and a `%` without two digits stays.
 */
export const percentDecode: Decode = (arena, from, to) => {
  const { units } = arena
  let changed = false
  let copied = from
  for (let at = indexOfUnit(units, PERCENT, from, to); at < to; ) {
    const first = byteAt(units, at, to)
    if (first === -1) {
      at = indexOfUnit(units, PERCENT, at + 1, to)
      continue
    }
    const codePoint = characterAt(units, at, to, first)
    arena.copy(copied, at)
    arena.addCodePoint(codePoint === -1 ? REPLACEMENT : codePoint)
    copied = at + 3 * (codePoint === -1 ? 1 : sequenceLength(first))
    changed = true
    at = indexOfUnit(units, PERCENT, copied, to)
  }
  if (changed) arena.copy(copied, to)
  return changed
}
