const REPLACEMENT = 0xfffd

/** Bytes that follow the first of a sequence; 0 for a byte that begins none (RFC 3629 §4). */
function followers(first: number): number {
  if (first >= 0xc2 && first <= 0xdf) return 1
  if (first >= 0xe0 && first <= 0xef) return 2
  return first >= 0xf0 && first <= 0xf4 ? 3 : 0
}

/** Bounds of the second byte, which keep out overlong forms, surrogates and what is beyond Unicode. */
function lowestSecond(first: number): number {
  return first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
}

function highestSecond(first: number): number {
  return first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
}

/**
 * Writes UTF-8 as UTF-16 code units, of which there are never more than bytes; what is no UTF-8 becomes U+FFFD as in the
 * Encoding Standard. Returns the number of units.
 */
export function writeUtf8(bytes: Uint8Array, units: Uint16Array): number {
  let length = 0
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i++] as number
    if (first < 0x80) {
      units[length++] = first
      continue
    }
    const count = followers(first)
    let [lowest, highest] = [lowestSecond(first), highestSecond(first)]
    let codePoint = first & (0x3f >> count)
    let left = count
    while (left > 0 && i < bytes.length) {
      const byte = bytes[i] as number
      if (byte < lowest || byte > highest) break
      codePoint = codePoint * 64 + (byte & 0x3f)
      ;[lowest, highest] = [0x80, 0xbf]
      left--
      i++
    }
    if (count === 0 || left > 0) units[length++] = REPLACEMENT
    else if (codePoint <= 0xffff) units[length++] = codePoint
    else {
      units[length++] = 0xd800 + ((codePoint - 0x10000) >> 10)
      units[length++] = 0xdc00 + ((codePoint - 0x10000) & 0x3ff)
    }
  }
  return length
}
