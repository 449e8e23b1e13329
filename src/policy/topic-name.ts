import { type SyntaxLimits, type TopicProblem, topicNameProblem } from './topic-syntax.ts'

export interface TopicLimits {
  /** Bytes of UTF-8; MQTT itself carries at most 65,535. */
  readonly maxBytes: number
}

const MAX_LEVELS = 128

/** Non-characters, at which brokers close the connection (OASIS MQTT 5.0 §1.5.4). */
const NON_CHARACTER = /\p{Noncharacter_Code_Point}/u

/** The words for each problem, which complete "it is refused because …". */
const words: Readonly<Record<TopicProblem, string>> = {
  empty: 'it is empty',
  nul: 'it holds a control character or a non-character',
  'control-char': 'it holds a control character or a non-character',
  'ill-formed-utf': 'it is not well-formed Unicode',
  'too-long': 'it is longer than',
  'too-many-levels': `it has more than ${MAX_LEVELS} levels`,
  'wildcard-in-name': 'it holds a wildcard, and a message has one topic',
  'bad-hash': '# must be the last level, and a whole one',
  'bad-plus': 'a wildcard must be a whole level',
  'share-in-name': 'it begins with $share, which is for subscriptions',
  'share-without-filter': 'a shared subscription is $share/<group>/<filter>',
  'share-empty-group': 'the group of a shared subscription is one name without wildcards',
  'share-wildcard-group': 'the group of a shared subscription is one name without wildcards',
}

export function syntaxLimits({ maxBytes }: TopicLimits): SyntaxLimits {
  return { maxTopicBytes: maxBytes, maxTopicLevels: MAX_LEVELS, rejectControlChars: true }
}

/** Says in words what is wrong with a topic or filter, which may hold no non-characters either. */
export function describeProblem(
  text: string,
  problem: TopicProblem | undefined,
  limits: TopicLimits,
): string | undefined {
  if (problem === 'too-long') return `${words['too-long']} ${limits.maxBytes} bytes`
  if (problem !== undefined) return words[problem]
  return NON_CHARACTER.test(text) ? words['control-char'] : undefined
}

/**
 * Says what is wrong with a topic name, in words that complete "the topic is refused because …"; `undefined` when it may
 * be published to. Names are compared byte for byte afterwards: nothing is normalised.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (no wildcards), §4.7.3
 */
export function validateTopicName(topic: string, limits: TopicLimits): string | undefined {
  return describeProblem(topic, topicNameProblem(topic, syntaxLimits(limits)), limits)
}
