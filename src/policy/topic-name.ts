import { utf8 } from '../core/bytes.ts'

export interface TopicLimits {
  /** Bytes of UTF-8; MQTT itself carries at most 65,535. */
  readonly maxBytes: number
}

const MAX_LEVELS = 128

/** Control characters, and the non-characters at which brokers close the connection (OASIS MQTT 5.0 §1.5.4). */
const REFUSED = /[\p{Cc}\p{Noncharacter_Code_Point}]/u

/** Says what is wrong with the characters, the length or the depth of a topic name or filter; `undefined` when nothing is. */
export function topicTextProblem(text: string, { maxBytes }: TopicLimits): string | undefined {
  if (text === '') return 'it is empty'
  if (text.length > maxBytes || utf8(text).length > maxBytes) return `it is longer than ${maxBytes} bytes`
  if (!text.isWellFormed()) return 'it is not well-formed Unicode'
  if (REFUSED.test(text)) return 'it holds a control character or a non-character'
  if (text.split('/').length > MAX_LEVELS) return `it has more than ${MAX_LEVELS} levels`
  return undefined
}

/**
 * Says what is wrong with a topic name, in words that complete "the topic is refused because …"; `undefined` when it may
 * be published to. Names are compared byte for byte afterwards: nothing is normalised.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (no wildcards), §4.7.3
 */
export function validateTopicName(topic: string, limits: TopicLimits): string | undefined {
  const problem = topicTextProblem(topic, limits)
  if (problem !== undefined) return problem
  return /[+#]/.test(topic) ? 'it holds a wildcard, and a message has one topic' : undefined
}
