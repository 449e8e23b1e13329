import { parseExpression } from './parse-expression.ts'
import { type Expression, nothing } from './regular-expression.ts'

/** What the model asks of a topic regex. */
export interface RegexLanguage {
  matches(text: string): boolean
  /** `L'(f) ⊆ L(regex)`, or with `isExact` `L(f) ⊆ L(regex)`. */
  covers(filter: string, isExact: boolean): boolean
  /** `L(f) ∩ L(regex) ≠ ∅`. */
  overlaps(filter: string): boolean
}

/** Characters that stand for all others of their kind in names; those of the regex and the filter come on top. */
const KINDS = ['/', '$', 'z', 'Z', '5', '_', '-', ' ', 'é', '\u{1f600}', '\u0001', '\n', '\u0085', '\u2028']
const EDGE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/** How far a name has come along a filter: in a literal level by characters, in a wildcard as below. */
interface Progress {
  readonly level: number
  readonly within: number
}
const FRESH = 0
const FILLED = 1
const BEHIND_SLASH = 2

/** The names that a filter matches, character by character. Without `isExact` wildcards take no empty level and no edge character. */
class FilterNames {
  readonly #levels: readonly string[]
  readonly #isExact: boolean

  constructor(filter: string, isExact: boolean) {
    this.#levels = filter === '+/#' ? ['#'] : filter.split('/') // one set of names, in which `a` is no edge
    this.#isExact = isExact
  }

  readonly start: Progress = { level: 0, within: FRESH }

  isName({ level, within }: Progress): boolean {
    if (level === 0 && within === FRESH) return false
    const last = this.#levels.length - 1
    if (!this.#isLevel(this.#levels[level] ?? '', within)) return false
    return level === last || (this.#isExact && level === last - 1 && this.#levels[last] === '#')
  }

  #isLevel(wanted: string, within: number): boolean {
    return wanted === '+' || wanted === '#' ? this.#isExact || within === FILLED : within === wanted.length
  }

  step({ level, within }: Progress, c: string): Progress | undefined {
    const wanted = this.#levels[level] ?? ''
    if (c === '/' && wanted !== '#') {
      const isNext = this.#isLevel(wanted, within) && level + 1 < this.#levels.length
      return isNext ? { level: level + 1, within: FRESH } : undefined
    }
    if (wanted !== '+' && wanted !== '#')
      return wanted.startsWith(c, within) ? { level, within: within + c.length } : undefined
    if (level === 0 && within === FRESH && c === '$') return undefined
    if (this.#isExact || c !== '/') return this.#isExact || !EDGE.test(c) ? { level, within: FILLED } : undefined
    return within === FILLED ? { level, within: BEHIND_SLASH } : undefined
  }
}

/** Walks names and derivatives side by side, and reports whether `isWitness` is true of some name of the filter. */
function someName(
  filter: string,
  isExact: boolean,
  source: string,
  start: Expression,
  isWitness: (isMatched: boolean) => boolean,
): boolean {
  const names = new FilterNames(filter, isExact)
  const characters = [...new Set([...KINDS, ...Array.from(source), ...Array.from(filter)])].filter(
    (c) => !/[+#\u0000]/.test(c),
  )
  const open: [Progress, Expression][] = [[names.start, start]]
  const seen = new Set<string>()
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [progress, expression] = next
    if (names.isName(progress) && isWitness(expression.isNullable)) return true
    for (const c of characters) {
      const further = names.step(progress, c)
      if (further === undefined) continue
      const rest = expression.derive(c)
      const key = `${further.level} ${further.within} ${rest.id}`
      if (seen.has(key)) continue
      seen.add(key)
      open.push([further, rest])
    }
  }
  return false
}

const known = new Map<string, RegexLanguage>()

function createLanguage(source: string): RegexLanguage {
  const expression = parseExpression(source)
  const answers = new Map<string, boolean>()
  const remembered = (key: string, answer: () => boolean) => {
    const found = answers.get(key) ?? answer()
    answers.set(key, found)
    return found
  }
  return {
    matches(text) {
      let rest = expression
      for (const c of text) {
        rest = rest.derive(c)
        if (rest === nothing) return false
      }
      return rest.isNullable
    },
    covers: (filter, isExact) =>
      remembered(
        `${isExact} ${filter}`,
        () => !someName(filter, isExact, source, expression, (isMatched) => !isMatched),
      ),
    overlaps: (filter) =>
      remembered(`overlaps ${filter}`, () => someName(filter, true, source, expression, (isMatched) => isMatched)),
  }
}

/** The names that a regex matches. Languages are remembered, since random documents repeat few of them. */
export function regexLanguage(source: string): RegexLanguage {
  const language = known.get(source) ?? createLanguage(source)
  known.set(source, language)
  return language
}
