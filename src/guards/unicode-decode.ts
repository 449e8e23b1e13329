import { type Decode, hexAt, indexOfUnit } from './text-arena.ts'

const BACKSLASH = 0x5c
const LETTER_U = 0x75

/** Decodes `\uXXXX` wherever it stands. */
export const unicodeDecode: Decode = (arena, from, to) => {
  const { units } = arena
  let changed = false
  let copied = from
  for (let at = indexOfUnit(units, BACKSLASH, from, to); at < to; ) {
    const unit = units[at + 1] === LETTER_U ? hexAt(units, at + 2, 4, to) : -1
    if (unit !== -1) {
      arena.copy(copied, at)
      arena.add(unit)
      copied = at + 6
      changed = true
    }
    at = indexOfUnit(units, BACKSLASH, unit === -1 ? at + 1 : copied, to)
  }
  if (changed) arena.copy(copied, to)
  return changed
}
