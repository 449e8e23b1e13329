import type { TopicProblem } from '#src/policy/topic-syntax.ts'

export interface TopicOptions {
  readonly maxTopicBytes: number
  readonly maxTopicLevels: number
  readonly rejectControlChars: boolean
}

function textProblem(text: string, options: TopicOptions): TopicProblem | undefined {
  if (text === '') return 'empty'
  if (!text.isWellFormed()) return 'ill-formed-utf'
  if (text.includes('\u0000')) return 'nul'
  if (options.rejectControlChars && /[\u0001-\u001f\u007f-\u009f]/.test(text)) return 'control-char'
  if (Buffer.byteLength(text) > options.maxTopicBytes) return 'too-long'
  return text.split('/').length > options.maxTopicLevels ? 'too-many-levels' : undefined
}

/** What is wrong with a topic name. A delivered name may begin like a shared subscription. */
export function nameProblem(name: string, options: TopicOptions, isDelivered: boolean): TopicProblem | undefined {
  const problem = textProblem(name, options)
  if (problem !== undefined) return problem
  if (/[+#]/.test(name)) return 'wildcard-in-name'
  return !isDelivered && name.split('/')[0] === '$share' ? 'share-in-name' : undefined
}

export interface RequestedFilter {
  readonly group: string | null
  /** Without the share prefix. */
  readonly text: string
}

function withoutShare(text: string): RequestedFilter | TopicProblem {
  const [first, group = '', ...rest] = text.split('/')
  if (first !== '$share') return { group: null, text }
  const filter = rest.join('/')
  if (filter === '') return 'share-without-filter'
  if (group === '') return 'share-empty-group'
  return /[+#]/.test(group) ? 'share-wildcard-group' : { group, text: filter }
}

/** Takes a share prefix off, or says what is wrong with the filter. */
export function requestedFilter(sent: string, options: TopicOptions): RequestedFilter | TopicProblem {
  const filter = withoutShare(sent)
  if (typeof filter === 'string') return filter
  const problem = textProblem(filter.text, options)
  if (problem !== undefined) return problem
  const levels = filter.text.split('/')
  for (const [i, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || i !== levels.length - 1)) return 'bad-hash'
    if (level.includes('+') && level !== '+') return 'bad-plus'
  }
  return filter.group === null ? filter : (textProblem(filter.group, options) ?? filter)
}
