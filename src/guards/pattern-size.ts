interface Group {
  readonly at: number
  size: number
}

/** What a look at the brackets of a pattern finds. */
export interface PatternSize {
  /** Instructions that the pattern takes, about: what stands under a counted repetition counts as often. */
  readonly size: number
  /** Index of a parenthesis without its partner; -1 when all have one. */
  readonly loneParenthesis: number
}

const COUNTED = /\{(\d+)(?:(,)(\d*))?\}/y
const BRACED_ESCAPE = /\\[pPx]\{[^}]*\}/y

function matchAt(regex: RegExp, text: string, at: number): RegExpExecArray | null {
  regex.lastIndex = at
  return regex.exec(text)
}

/** Index behind the escape sequence at `at`. */
function endOfEscape(pattern: string, at: number): number {
  return at + (matchAt(BRACED_ESCAPE, pattern, at)?.[0].length ?? 2)
}

/** Index behind the character class that begins at `at`; a `]` in first place is a character of it. */
function endOfClass(pattern: string, at: number): number {
  let i = at + 1
  if (pattern[i] === '^') i++
  if (pattern[i] === ']') i++
  while (i < pattern.length && pattern[i] !== ']') {
    const name = pattern.startsWith('[:', i) ? pattern.indexOf(':]', i) : -1
    if (name !== -1) i = name + 2
    else i = pattern[i] === '\\' ? endOfEscape(pattern, i) : i + 1
  }
  return i + 1
}

function endOfQuoted(pattern: string, at: number): number {
  const end = pattern.indexOf('\\E', at)
  return end === -1 ? pattern.length : end + 2
}

/**
 * Measures a pattern before the engine builds it, since `(…{100}){10}` takes a thousand times the place of its text.
 * For what is no pattern the answer is a guess; the engine tells then.
 */
export function patternSize(pattern: string): PatternSize {
  const open: Group[] = []
  let group: Group = { at: -1, size: 0 }
  let atom = 0
  let i = 0
  while (i < pattern.length) {
    const c = pattern[i]
    const counted = c === '{' ? matchAt(COUNTED, pattern, i) : null
    if (c === '(') {
      open.push(group)
      group = { at: i, size: 0 }
      i++
    } else if (c === ')') {
      const outer = open.pop()
      if (!outer) return { size: group.size, loneParenthesis: i }
      atom = group.size + 2
      outer.size += atom
      group = outer
      i++
    } else if (counted) {
      const times = Number(counted[3] || counted[1])
      group.size += atom * Math.max(0, times - 1)
      atom *= Math.max(1, times)
      i += counted[0].length
    } else {
      const quoted = pattern.startsWith('\\Q', i)
      const end = quoted
        ? endOfQuoted(pattern, i)
        : c === '['
          ? endOfClass(pattern, i)
          : c === '\\'
            ? endOfEscape(pattern, i)
            : i + 1
      atom = quoted ? end - i : 1
      group.size += atom
      i = end
    }
  }
  const size = open.reduce((sum, one) => sum + one.size, group.size)
  return { size, loneParenthesis: group.at }
}
