import { filterCovers } from '../policy/filter-sets.ts'
import { topicMatches } from '../policy/topic-matches.ts'
import { defaultSyntaxLimits, parseSharedFilter } from '../policy/topic-syntax.ts'

/** Says what is wrong with a filter of a guard; `undefined` when topics can be matched against it. */
export function guardFilterProblem(filter: string): string | undefined {
  const parsed = parseSharedFilter(filter, defaultSyntaxLimits)
  if (typeof parsed === 'string') return `is not an MQTT topic filter: ${parsed}`
  return parsed.group === null ? undefined : 'names topics, not a shared subscription: leave $share/<group>/ out'
}

/** What every topic that the filter matches begins with: the text before its first wildcard. */
function literalStart(filter: string): string {
  const wildcard = filter.search(/[+#]/)
  if (wildcard === -1) return filter
  return filter.slice(0, filter[wildcard] === '#' ? Math.max(0, wildcard - 1) : wildcard)
}

/** A list of MQTT filters, tried in their order. */
export class TopicFilters {
  readonly filters: readonly string[]
  readonly #starts: readonly string[]

  /** Takes filters that `guardFilterProblem` has nothing against. */
  constructor(filters: readonly string[]) {
    this.filters = filters
    this.#starts = filters.map(literalStart)
  }

  matches(topic: string): boolean {
    return this.firstMatch(topic) !== -1
  }

  /** Index of the first filter that matches a topic name; -1 when none does. */
  firstMatch(topic: string): number {
    return this.filters.findIndex((filter, i) => this.#matchesAt(i, filter, topic))
  }

  /** Index of every filter that matches, in order. */
  allMatches(topic: string): readonly number[] {
    return [...this.filters.keys()].filter((i) => this.#matchesAt(i, this.filters[i] as string, topic))
  }

  /** Index of the first filter that covers a subscription, share prefix aside; -1 when none does. */
  firstCovering(subscription: string): number {
    return this.filters.findIndex((filter) => filterCovers(filter, subscription))
  }

  #matchesAt(i: number, filter: string, topic: string): boolean {
    return topic.startsWith(this.#starts[i] as string) && topicMatches(filter, topic)
  }
}
