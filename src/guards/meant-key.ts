/** Spelling without what separates words: `default_action`, `defaultAction` and `default-action` are one. */
function bare(key: string): string {
  return key.toLowerCase().replace(/[-_ ]/g, '')
}

/** Insertions, deletions and replacements between two words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next[j] = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replaced)
    }
    row = next
  }
  return row[b.length] ?? a.length
}

const LONGEST_KEY = 40
const SHORT_KEY = 5

/** The known key that a misspelt one was probably meant to be: another way to separate words, or two letters off. */
export function meantKey(key: string, known: readonly string[]): string | undefined {
  if (key.length > LONGEST_KEY) return undefined
  const word = bare(key)
  const far = word.length < SHORT_KEY ? 1 : 2
  return known.find((one) => bare(one) === word) ?? known.find((one) => editDistance(bare(one), word) <= far)
}
