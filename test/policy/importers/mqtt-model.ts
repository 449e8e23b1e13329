/** Whether a name is among those that a filter stands for; `dollar`: whether that takes names with a `$` in front. */
export function stands(filter: string, name: string, dollar = false): boolean {
  const [wanted, given] = [filter.split('/'), name.split('/')]
  if (!dollar && name.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false
  const from = (i: number): boolean => {
    if (wanted[i] === '#') return true
    if (i === wanted.length) return i === given.length
    return i < given.length && (wanted[i] === '+' || wanted[i] === given[i]) && from(i + 1)
  }
  // `a/#` stands for `a` too: its level above
  return (
    from(0) ||
    (wanted.at(-1) === '#' && wanted.length === given.length + 1 && stands(wanted.slice(0, -1).join('/'), name, dollar))
  )
}

/** Every text of 1 to `depth` levels, but the empty one. */
export function levelTexts(levels: readonly string[], depth: number): readonly string[] {
  let last = [...levels]
  const all = [...last]
  for (let i = 1; i < depth; i++) {
    last = last.flatMap((text) => levels.map((level) => `${text}/${level}`))
    all.push(...last)
  }
  return all.filter((text) => text !== '')
}

/** Every filter of 1 to `depth` levels. */
export function filterTexts(levels: readonly string[], depth: number): readonly string[] {
  return levelTexts([...levels, '+', '#'], depth).filter((text) => !text.includes('#/'))
}
