import type { Levels } from '../levels.ts'
import type { TopicRegex } from './compile-regex.ts'
import { DEAD, FULL } from './dfa.ts'
import type { Effort } from './effort.ts'
import { ExpressionAutomaton } from './expression-automaton.ts'
import { FilterAutomaton, NOWHERE } from './filter-automaton.ts'
import { DOLLAR } from './topic-characters.ts'

export interface LanguageOptions {
  /**
   * Whether covering is about every name that the filter matches. If not, the names are left out that a delivery check sees
   * to: those in which a wildcard stands for an empty level, for a control character or a separator of lines, and those of
   * the parent level of `/#`. What the filter itself spells is never left out.
   */
  readonly exact: boolean
  /** Whether the expression takes names that start with `$`. It does anyway where it starts with a literal `$` itself. */
  readonly dollar: boolean
  /** What comparisons may still cost; where it is used up, nothing can be said. */
  readonly effort?: Effort
}

/** Steps of the two automata together and instructions visited to build states: some 10 ms. */
const MAX_STEPS = 1_000_000

/** What setting a search up counts as. */
const SEARCH_STEPS = 100

/** A name, `null` where there is none, `undefined` where the automata are too large to say. */
type Answer = string | null | undefined

/** The pairs of states that a search has met, in the order of the length of their names. */
class Pairs {
  readonly filterStates: number[] = []
  readonly expressionStates: number[] = []
  readonly #parents: number[] = []
  readonly #characters: number[] = []
  readonly #seen = new Set<number>()
  readonly #filterSize: number

  constructor(filterSize: number) {
    this.#filterSize = filterSize
  }

  add(filterState: number, expressionState: number, parent: number, character: number): void {
    const key = expressionState * this.#filterSize + filterState
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    this.filterStates.push(filterState)
    this.expressionStates.push(expressionState)
    this.#parents.push(parent)
    this.#characters.push(character)
  }

  nameOf(pair: number): string {
    const characters: string[] = []
    for (let at = pair; at > 0; at = this.#parents[at] as number)
      characters.push(String.fromCodePoint(this.#characters[at] as number))
    return characters.reverse().join('')
  }
}

/** Finds the shortest name of a filter that the expression takes, or that it does not take. */
function shortestName(regex: TopicRegex, levels: Levels, options: LanguageOptions, taken: boolean): Answer {
  const { effort } = options
  const search = { most: Math.min(MAX_STEPS, effort?.left ?? MAX_STEPS), spent: 0 }
  if (search.most <= 0) return undefined
  const answer = searchName(regex, levels, options, taken, search)
  if (effort) effort.left -= search.spent
  return answer
}

function searchName(
  regex: TopicRegex,
  levels: Levels,
  { exact, dollar }: LanguageOptions,
  taken: boolean,
  search: { readonly most: number; spent: number },
): Answer {
  const filter = new FilterAutomaton(levels, exact)
  const expression = new ExpressionAutomaton(regex, exact)
  const isOutOfReach = filter.onlyNext(FilterAutomaton.start) === DOLLAR && !dollar && !regex.startsWithDollar
  const pairs = new Pairs(filter.size)
  pairs.add(FilterAutomaton.start, isOutOfReach ? DEAD : expression.start, 0, 0)
  search.spent = SEARCH_STEPS
  let steps = 0
  for (let pair = 0; pair < pairs.filterStates.length; pair++) {
    const filterState = pairs.filterStates[pair] as number
    const expressionState = pairs.expressionStates[pair] as number
    if (taken && expressionState === DEAD) continue
    if (filter.accepts(filterState) && expression.accepts(expressionState) === taken) return pairs.nameOf(pair)
    const only = filter.onlyNext(filterState)
    for (const character of only === undefined ? expression.choices(expressionState) : [only]) {
      const next = filter.step(filterState, character)
      search.spent = SEARCH_STEPS + ++steps + expression.work
      if (search.spent > search.most) return undefined
      if (next === NOWHERE) continue
      const reached = expression.step(expressionState, character)
      if (reached === FULL) return undefined
      pairs.add(next, reached, pair, character)
    }
  }
  return null
}

/**
 * The shortest name that a filter matches and the expression does not; `undefined` when the expression covers the filter, or
 * when that cannot be said. Filters are given in their levels, wildcards included, without share prefix.
 */
export function coverCounterExample(regex: TopicRegex, levels: Levels, options: LanguageOptions): string | undefined {
  return shortestName(regex, levels, options, false) ?? undefined
}

/**
 * Reports whether the expression takes every name that the filter matches: what an allow needs.
 *
 * @returns `undefined` when that takes more than 2,000 states or too many steps to say
 */
export function regexCoversFilter(regex: TopicRegex, levels: Levels, options: LanguageOptions): boolean | undefined {
  const counterExample = shortestName(regex, levels, options, false)
  return counterExample === undefined ? undefined : counterExample === null
}

/** The shortest name that the filter and the expression have in common; `undefined` when there is none or that cannot be said. */
export function overlapWitness(
  regex: TopicRegex,
  levels: Levels,
  { dollar }: Pick<LanguageOptions, 'dollar'>,
): string | undefined {
  return shortestName(regex, levels, { exact: true, dollar }, true) ?? undefined
}

/**
 * Reports whether the filter and the expression have a name in common, edge names included: what a deny needs.
 *
 * @returns `undefined` when that takes more than 2,000 states or too many steps to say
 */
export function regexOverlapsFilter(
  regex: TopicRegex,
  levels: Levels,
  options: Omit<LanguageOptions, 'exact'>,
): boolean | undefined {
  const witness = shortestName(regex, levels, { ...options, exact: true }, true)
  return witness === undefined ? undefined : witness !== null
}
