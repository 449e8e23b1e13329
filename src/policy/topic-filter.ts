import { describeProblem, syntaxLimits, type TopicLimits } from './topic-name.ts'
import { parseSharedFilter, type SharedFilter } from './topic-syntax.ts'

const SHARE_PREFIX = '$share/'

/**
 * Splits `$share/<group>/<filter>`; everything else is its own filter. Validate before: a malformed share prefix is
 * taken as an ordinary filter here.
 *
 * @see OASIS MQTT 5.0 §4.8.2
 */
export function parseSubscriptionFilter(filter: string): SharedFilter {
  if (!filter.startsWith(SHARE_PREFIX)) return { group: null, filter }
  const end = filter.indexOf('/', SHARE_PREFIX.length)
  if (end === -1) return { group: null, filter }
  return { group: filter.slice(SHARE_PREFIX.length, end), filter: filter.slice(end + 1) }
}

/**
 * Says what is wrong with a topic filter, in words that complete "the filter is refused because …"; `undefined` when it
 * is one.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (wildcards), §4.8.2 (shared subscriptions)
 */
export function validateTopicFilter(filter: string, limits: TopicLimits): string | undefined {
  const parsed = parseSharedFilter(filter, syntaxLimits(limits))
  return describeProblem(filter, typeof parsed === 'string' ? parsed : undefined, limits)
}
