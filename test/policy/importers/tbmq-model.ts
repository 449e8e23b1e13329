/**
 * A matcher of the Java regular expressions that the tests are made of, by its own reading of them: literals, `.`, `[^/]`,
 * `\Q…\E`, groups with alternatives, `*`, `+`, `?`. Line separators are no character for `.`.
 */
export function javaMatches(pattern: string, text: string): boolean {
  let js = ''
  for (let i = 0; i < pattern.length; i++) {
    const rest = pattern.slice(i)
    if (rest.startsWith('\\Q')) {
      const end = rest.indexOf('\\E')
      js += rest.slice(2, end === -1 ? undefined : end).replace(/[^A-Za-z0-9]/g, (c) => `\\${c}`)
      i += end === -1 ? rest.length : end + 1
    } else if (rest.startsWith('\\')) {
      js += rest.slice(0, 2)
      i++
    } else js += rest.startsWith('.') ? '[^\\n\\r\\u0085\\u2028\\u2029]' : rest.charAt(0)
  }
  return new RegExp(`^(?:${js})$`).test(text)
}
