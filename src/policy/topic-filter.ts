import { type TopicLimits, topicTextProblem } from './topic-name.ts'

export interface SubscriptionFilter {
  /** Group of a shared subscription; `null` for an ordinary one. */
  readonly group: string | null
  /** The filter that topics are matched against, without the share prefix. */
  readonly filter: string
}

const SHARE_PREFIX = '$share/'

/**
 * Splits `$share/<group>/<filter>`; everything else is its own filter. Validate before: a malformed share prefix is
 * taken as an ordinary filter here.
 *
 * @see OASIS MQTT 5.0 §4.8.2
 */
export function parseSubscriptionFilter(filter: string): SubscriptionFilter {
  if (!filter.startsWith(SHARE_PREFIX)) return { group: null, filter }
  const end = filter.indexOf('/', SHARE_PREFIX.length)
  if (end === -1) return { group: null, filter }
  return { group: filter.slice(SHARE_PREFIX.length, end), filter: filter.slice(end + 1) }
}

function shareProblem(filter: string): string | undefined {
  if (filter !== '$share' && !filter.startsWith(SHARE_PREFIX)) return undefined
  const { group, filter: inner } = parseSubscriptionFilter(filter)
  if (group === null || inner === '') return 'a shared subscription is $share/<group>/<filter>'
  return /^[^+#]+$/.test(group) ? undefined : 'the group of a shared subscription is one name without wildcards'
}

/**
 * Says what is wrong with a topic filter, in words that complete "the filter is refused because …"; `undefined` when it
 * is one.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (wildcards), §4.8.2 (shared subscriptions)
 */
export function validateTopicFilter(filter: string, limits: TopicLimits): string | undefined {
  const problem = topicTextProblem(filter, limits) ?? shareProblem(filter)
  if (problem !== undefined) return problem
  const levels = filter.split('/')
  for (const [i, level] of levels.entries()) {
    if (level === '#' && i < levels.length - 1) return '# must be the last level' // [MQTT-4.7.1-1]
    if (level.length > 1 && /[+#]/.test(level)) return 'a wildcard must be a whole level' // [MQTT-4.7.1-2], [MQTT-4.7.1-3]
  }
  return undefined
}
