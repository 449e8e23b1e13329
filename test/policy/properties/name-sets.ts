/** Every sequence of 1 to `depth` levels, but for the empty text, which is no topic. */
export function sequences(levels: readonly string[], depth: number): readonly string[] {
  let last: readonly string[] = levels
  const all = [...last]
  for (let i = 1; i < depth; i++) {
    last = last.flatMap((text) => levels.map((level) => `${text}/${level}`))
    all.push(...last)
  }
  return all.filter((text) => text !== '')
}

/**
 * Whether a filter matches a name, straight from the standard. With `dollar` a wildcard in the first level also stands for a
 * name that begins with `$`.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (wildcards), §4.7.2 (topics beginning with `$`)
 */
export function matchesByStandard(filter: string, name: string, dollar = false): boolean {
  if (!dollar && name.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false
  return matchesLevels(filter.split('/'), name.split('/'))
}

function matchesLevels([wanted, ...pattern]: readonly string[], levels: readonly string[]): boolean {
  if (wanted === undefined) return levels.length === 0
  if (wanted === '#') return true
  const [actual, ...rest] = levels
  if (actual === undefined) return false
  return (wanted === '+' || wanted === actual) && matchesLevels(pattern, rest)
}
