/** Numbers that a seed repeats (mulberry32). */
export function createRandom(seed: number): { below(limit: number): number; pick<T>(list: readonly T[]): T } {
  let state = seed >>> 0
  function below(limit: number): number {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) % limit
  }
  return { below, pick: (list) => list[below(list.length)] as (typeof list)[number] }
}

/** A seed that no earlier run had; a test prints it. */
export function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number
}

/** A pattern of our subset, and the same for `RegExp` with the flag `u`, whose `.` takes U+0085. */
export interface RandomPattern {
  readonly ours: string
  readonly theirs: string
}

const DOT = '[^\\n\\r\\u0085\\u2028\\u2029]'
const same = (text: string): RandomPattern => ({ ours: text, theirs: text })
const atoms: readonly RandomPattern[] = [
  ...['a', 'b', '/', '\\$', '[ab]', '[^/]', '[^a]', '[^ab]', '[/a]', '\\w', '[^\\w/]'].map(same),
  { ours: '.', theirs: DOT },
  { ours: '.', theirs: DOT },
]
const quantifiers = ['*', '+', '?', '{2}', '{1,2}', '{2,}', '*?', '{0,2}?']

/** Makes a pattern over the characters a, b, / and $, with groups at most `depth` deep. */
export function randomPattern(random: ReturnType<typeof createRandom>, depth: number): RandomPattern {
  const alternatives = Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () => {
    const items = Array.from({ length: 1 + random.below(4) }, () => {
      const isGroup = depth > 0 && random.below(4) === 0
      const inner = isGroup ? randomPattern(random, depth - 1) : random.pick(atoms)
      const atom = isGroup ? { ours: `(${inner.ours})`, theirs: `(?:${inner.theirs})` } : inner
      const quantifier = random.below(3) === 0 ? random.pick(quantifiers) : ''
      return { ours: atom.ours + quantifier, theirs: atom.theirs + quantifier }
    })
    return { ours: items.map((one) => one.ours).join(''), theirs: items.map((one) => one.theirs).join('') }
  })
  return {
    ours: alternatives.map((one) => one.ours).join('|'),
    theirs: alternatives.map((one) => one.theirs).join('|'),
  }
}

/** Every text of 1 to `length` characters out of `alphabet`, the shorter ones first. */
export function allTexts(alphabet: readonly string[], length: number): string[] {
  const all: string[] = []
  let last = ['']
  for (let i = 0; i < length; i++) {
    last = last.flatMap((text) => alphabet.map((character) => text + character))
    for (const text of last) all.push(text)
  }
  return all
}
