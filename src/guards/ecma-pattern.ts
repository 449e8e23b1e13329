/** What `\s` stands for in ECMA-262: white space and line terminators; RE2's is ASCII and lacks U+000B. */
const SPACES = String.raw`\t\n\v\f\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
const ANY = String.raw`[^\n\r\x{2028}\x{2029}]`

/** Escapes that stand for one character, as code points or as the pair of surrogates that makes one. */
const PAIR = /\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})/y
const UNIT = /\\(?:u\{([0-9a-fA-F]+)\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))/y
const CONTROL = /\\c([a-zA-Z])/y

const hex = (codePoint: number) => String.raw`\x{${codePoint.toString(16)}}`

/** Says what RE2 has no counterpart for. */
class Untranslatable extends Error {
  override readonly name = 'Untranslatable'
}

function matchAt(regex: RegExp, text: string, at: number): RegExpExecArray | null {
  regex.lastIndex = at
  return regex.exec(text)
}

function escapeAt(pattern: string, at: number, inClass: boolean): { re2: string; end: number } {
  const pair = matchAt(PAIR, pattern, at)
  if (pair)
    return {
      re2: hex(String.fromCharCode(Number(`0x${pair[1]}`), Number(`0x${pair[2]}`)).codePointAt(0) ?? 0),
      end: at + 12,
    }
  const unit = matchAt(UNIT, pattern, at)
  if (unit) return { re2: hex(Number(`0x${unit[1] ?? unit[2] ?? unit[3]}`)), end: at + unit[0].length }
  const control = matchAt(CONTROL, pattern, at)
  if (control) return { re2: hex((control[1] as string).charCodeAt(0) % 32), end: at + 3 }
  return { re2: plainEscape(pattern[at + 1] ?? '', inClass), end: at + 2 }
}

function plainEscape(letter: string, inClass: boolean): string {
  if (letter === 's') return inClass ? SPACES : `[${SPACES}]`
  if (letter === 'S' && inClass) throw new Untranslatable(String.raw`\S inside […]: name its characters`)
  if (letter === 'S') return `[^${SPACES}]`
  if (letter === 'b' && inClass) return hex(8)
  if (letter === '0') return hex(0)
  if (letter === 'k' || (letter >= '1' && letter <= '9')) throw new Untranslatable('a back-reference')
  return letter === '/' || letter === '-' ? hex(letter.charCodeAt(0)) : `\\${letter}`
}

/**
 * Rewrites a regular expression of ECMA-262 in Unicode mode as RE2 that matches the same texts, or says why there is
 * none. Look-around passes through and is refused by RE2.
 *
 * @see JSON Schema 2020-12, Core §6.4 (regular expressions are ECMA-262)
 */
export function ecmaToRe2(pattern: string): { re2: string } | { problem: string } {
  try {
    RegExp(pattern, 'u')
  } catch {
    return { problem: 'is not a regular expression of ECMA-262 in Unicode mode' }
  }
  try {
    return { re2: translate(pattern) }
  } catch (err) {
    if (err instanceof Untranslatable)
      return { problem: `uses ${err.message}, which a linear-time engine does not have` }
    throw err
  }
}

function translate(pattern: string): string {
  let re2 = ''
  let inClass = false
  for (let i = 0; i < pattern.length; ) {
    const c = pattern[i] as string
    if (c === '\\') {
      const sequence = escapeAt(pattern, i, inClass)
      re2 += sequence.re2
      i = sequence.end
      continue
    }
    if (!inClass && pattern.startsWith('[]', i)) throw new Untranslatable('the empty class []')
    if (!inClass && pattern.startsWith('[^]', i)) {
      re2 += '(?s:.)'
      i += 3
      continue
    }
    re2 += c === '.' && !inClass ? ANY : c === '[' && inClass ? String.raw`\[` : c
    if (c === '[') inClass = true
    if (c === ']') inClass = false
    i++
  }
  return re2
}
