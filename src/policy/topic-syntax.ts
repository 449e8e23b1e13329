import { utf8Length } from './utf8-length.ts'

/** Limits of topic names and filters, for one policy or one surface. */
export interface SyntaxLimits {
  /** Bytes of UTF-8; MQTT itself carries at most 65,535. */
  readonly maxTopicBytes: number
  readonly maxTopicLevels: number
  /** Refuses U+0001–1F and U+007F–9F. NUL is always refused. */
  readonly rejectControlChars: boolean
}

export const defaultSyntaxLimits: SyntaxLimits = {
  maxTopicBytes: 65_535,
  maxTopicLevels: 128,
  rejectControlChars: true,
}

export type TopicProblem =
  | 'empty'
  | 'nul'
  | 'control-char'
  | 'ill-formed-utf'
  | 'too-long'
  | 'too-many-levels'
  | 'wildcard-in-name'
  | 'bad-hash'
  | 'bad-plus'
  | 'share-in-name'
  | 'share-without-filter'
  | 'share-empty-group'
  | 'share-wildcard-group'

/** What one pass over a text finds in its characters. */
const NUL = 1
const CONTROL = 2
const BEYOND_ASCII = 4
const WILDCARD = 8

/** What a character says about the text that it stands in; the bits of all are or-ed. */
export function characterBits(c: number): number {
  if (c > 0x2b && c < 0x7f) return 0
  if (c === 0x2b || c === 0x23) return WILDCARD
  if (c < 0x20) return c === 0 ? NUL : CONTROL
  if (c < 0x7f) return 0
  return c <= 0x9f ? CONTROL | BEYOND_ASCII : BEYOND_ASCII
}

/** A text, read once: the bits of its characters, and the number of its levels. */
export interface TextScan {
  readonly bits: number
  readonly levels: number
}

function scan(text: string): TextScan {
  let bits = 0
  let levels = 1
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x2f) levels++
    else bits |= characterBits(c)
  }
  return { bits, levels }
}

function textProblem(text: string, bits: number, levels: number, limits: SyntaxLimits): TopicProblem | undefined {
  if (text === '') return 'empty'
  const ascii = (bits & BEYOND_ASCII) === 0
  if (!ascii && !text.isWellFormed()) return 'ill-formed-utf'
  if (bits & NUL) return 'nul'
  if (bits & CONTROL && limits.rejectControlChars) return 'control-char'
  if ((ascii ? text.length : utf8Length(text)) > limits.maxTopicBytes) return 'too-long'
  return levels > limits.maxTopicLevels ? 'too-many-levels' : undefined
}

function isShared(text: string): boolean {
  return text.startsWith('$share/') || text === '$share'
}

/**
 * Says what is wrong with a topic name; `undefined` when it is one. A name that is published may not look like a shared
 * subscription; one that is delivered may.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (no wildcards), §4.7.3, §4.8.2
 */
export function topicNameProblem(name: string, limits: SyntaxLimits, isDelivery = false): TopicProblem | undefined {
  const { bits, levels } = scan(name)
  return scannedNameProblem(name, bits, levels, limits, isDelivery)
}

/** `topicNameProblem` for a text that was read already. */
export function scannedNameProblem(
  name: string,
  bits: number,
  levels: number,
  limits: SyntaxLimits,
  isDelivery: boolean,
): TopicProblem | undefined {
  const problem = textProblem(name, bits, levels, limits)
  if (problem !== undefined) return problem
  if (bits & WILDCARD) return 'wildcard-in-name'
  return !isDelivery && isShared(name) ? 'share-in-name' : undefined
}

function wildcardProblem(levels: readonly string[]): TopicProblem | undefined {
  for (const [i, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || i < levels.length - 1)) return 'bad-hash' // [MQTT-4.7.1-1]
    if (level.includes('+') && level !== '+') return 'bad-plus' // [MQTT-4.7.1-2]
  }
  return undefined
}

/** Says what is wrong with a filter that has no share prefix; `undefined` when it is one. */
export function filterProblem(filter: string, limits: SyntaxLimits): TopicProblem | undefined {
  const { bits, levels } = scan(filter)
  const problem = textProblem(filter, bits, levels, limits)
  if (problem !== undefined) return problem
  return bits & WILDCARD ? wildcardProblem(filter.split('/')) : undefined
}

/** A subscription as a client sends it, taken apart: `$share/<group>/<filter>`, or a filter alone. */
export interface SharedFilter {
  readonly group: string | null
  readonly filter: string
}

interface SplitShare {
  readonly group: string
  readonly filter: string
}

const SHARE_PREFIX_LENGTH = 7

function splitShare(text: string): SplitShare | TopicProblem {
  const end = text.indexOf('/', SHARE_PREFIX_LENGTH)
  if (end === -1 || end === text.length - 1) return 'share-without-filter'
  const group = text.slice(SHARE_PREFIX_LENGTH, end)
  if (group === '') return 'share-empty-group'
  if (group.includes('+') || group.includes('#')) return 'share-wildcard-group'
  return { group, filter: text.slice(end + 1) }
}

/**
 * Takes the share prefix off a filter, or says what is wrong with it.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (wildcards), §4.8.2 (shared subscriptions)
 */
export function parseSharedFilter(text: string, limits: SyntaxLimits): SharedFilter | TopicProblem {
  if (!isShared(text)) return filterProblem(text, limits) ?? { group: null, filter: text }
  const shared = splitShare(text)
  if (typeof shared === 'string') return shared
  const { group, filter } = shared
  return filterProblem(filter, limits) ?? textProblem(group, scan(group).bits, 1, limits) ?? shared
}
