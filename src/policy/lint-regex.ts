/**
 * Finds a `.` that stands for one character: outside of classes and quotations, not escaped and not repeated. In a name such
 * as `v1.2` it was meant as a dot.
 */
export function hasUnescapedDot(pattern: string): boolean {
  let isInClass = false
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]
    if (c === '\\') {
      if (pattern[++i] !== 'Q') continue
      const end = pattern.indexOf('\\E', i)
      if (end === -1) return false
      i = end + 1
    } else if (c === '[') isInClass = true
    else if (c === ']') isInClass = false
    else if (c === '.' && !isInClass && !'*+?{'.includes(pattern[i + 1] ?? ' ')) return true
  }
  return false
}
