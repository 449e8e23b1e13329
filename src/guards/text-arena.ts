import { Buffer } from 'node:buffer'
import { writeUtf8 } from './utf8-units.ts'

/** UTF-16 code units of a text, without its string. */
export function unitsOf(text: string): Uint16Array {
  const units = new Uint16Array(text.length)
  Buffer.from(units.buffer).write(text, 'utf16le')
  return units
}

/** Units that an arena begins with, and the most that it keeps: fresh memory of some megabytes costs more than a scan. */
const INITIAL = 4_096
const KEPT = 4_194_304

/**
 * Texts as UTF-16 code units in one array, so that thousands of short ones cost neither a string nor an object each. A
 * text is the range between two indices, and does not change until the arena is begun anew.
 */
export class TextArena {
  /** Replaced when it grows; what was read from is then left behind as it was. */
  units = new Uint16Array(INITIAL)
  /** Units in use. */
  length = 0

  /** Forgets all texts, and holds the one that some bytes of UTF-8 are. */
  begin(payload: Uint8Array): void {
    this.length = 0
    if (this.units.length > KEPT) this.units = new Uint16Array(INITIAL)
    this.reserve(payload.length)
    this.length = writeUtf8(payload, this.units)
  }

  /** Makes room for that many units more. */
  reserve(count: number): void {
    if (this.length + count <= this.units.length) return
    const larger = new Uint16Array(2 * this.units.length + count)
    larger.set(this.units.subarray(0, this.length))
    this.units = larger
  }

  add(unit: number): void {
    this.units[this.length++] = unit
  }

  addCodePoint(codePoint: number): void {
    if (codePoint <= 0xffff) this.add(codePoint)
    else {
      this.add(0xd800 + ((codePoint - 0x10000) >> 10))
      this.add(0xdc00 + ((codePoint - 0x10000) & 0x3ff))
    }
  }

  /** Appends a copy of units that are in use. Like the others that append, it trusts that there is room. */
  copy(from: number, to: number): void {
    this.units.copyWithin(this.length, from, to)
    this.length += to - from
  }
}

/**
 * Appends the text between two indices in another form. Reports whether the form differs; when it does not, nothing is
 * appended. A form is never longer than the text, and the caller has reserved as much.
 */
export type Decode = (arena: TextArena, from: number, to: number) => boolean

function hexValue(unit: number): number {
  if (unit >= 0x30 && unit <= 0x39) return unit - 0x30
  const letter = unit | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** The number that the hexadecimal digits between two indices write; -1 when one is no digit, or lies behind `to`. */
export function hexAt(units: Uint16Array, from: number, digits: number, to: number): number {
  if (from + digits > to) return -1
  let value = 0
  for (let i = from; i < from + digits; i++) {
    const digit = hexValue(units[i] as number)
    if (digit === -1) return -1
    value = value * 16 + digit
  }
  return value
}

/** Index of the first of a unit between two indices; `to` when there is none. */
export function indexOfUnit(units: Uint16Array, unit: number, from: number, to: number): number {
  for (let i = from; i < to; i++) if (units[i] === unit) return i
  return to
}
