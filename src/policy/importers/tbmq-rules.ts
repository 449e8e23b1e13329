import type { MatcherDocument, WhenDocument } from '../document.ts'
import type { Reader } from '../problems.ts'
import type { ImportDraft } from './import-draft.ts'
import { javaMatcher } from './java-pattern.ts'
import { refuseUnknown, textsOf } from './read-source.ts'

const PUBLISH_NAMES = ['pubAuthRulePatterns', 'pub']
const SUBSCRIBE_NAMES = ['subAuthRulePatterns', 'sub']
const MAX_PATTERNS = 10_000
const everything: readonly MatcherDocument[] = [{ filter: '#', dollar: true }]

/** Above the tiers of every credential. */
export const TOP_PRIORITY = 1_000_000

/** Rules for one subject: a list of patterns for each direction. */
export interface RuleTarget {
  readonly name: string
  readonly when: WhenDocument
  readonly priority: number
  /** Whether `${cn}` stands for the name of a certificate. */
  readonly hasCn: boolean
}

function readPatterns(
  rules: Reader,
  names: readonly string[],
  hasCn: boolean,
  draft: ImportDraft,
): readonly MatcherDocument[] {
  const name = names.find((one) => rules.has(one))
  if (name === undefined || rules.json[name] === null) return []
  return textsOf(rules, name, MAX_PATTERNS).flatMap(({ text, path }) => javaMatcher(text, { path, hasCn, draft }) ?? [])
}

/** Adds a rule for each direction in which something is allowed. An absent or empty list allows nothing. */
export function addPatternRules(rules: Reader, { name, when, priority, hasCn }: RuleTarget, draft: ImportDraft): void {
  refuseUnknown(rules, [...PUBLISH_NAMES, ...SUBSCRIBE_NAMES])
  const directions = [
    { verb: 'publish', actions: ['publish'], topics: readPatterns(rules, PUBLISH_NAMES, hasCn, draft) },
    {
      verb: 'subscribe',
      actions: ['subscribe', 'receive'],
      topics: readPatterns(rules, SUBSCRIBE_NAMES, hasCn, draft),
    },
  ] as const
  for (const { verb, actions, topics } of directions) {
    if (topics.length === 0) continue
    const id = draft.idFor(`${name}-${verb}`, rules.path, verb)
    const condition = Object.keys(when).length > 0 ? { when } : {}
    draft.addRule(rules.path, { id, effect: 'allow', priority, ...condition, actions, topics })
  }
  draft.note(
    'stricter',
    '',
    'a SUBSCRIBE needs a pattern that contains its filter; TBMQ matches the text of the filter, so that [^/]+ takes #',
  )
}

function addEverything(holder: Reader, target: RuleTarget, draft: ImportDraft): void {
  draft.note('ambiguous', holder.at('authRules'), 'null is no restriction in TBMQ, so everything is allowed')
  draft.addRule(holder.at('authRules'), {
    id: draft.idFor(`${target.name}-everything`, holder.path, 'everything'),
    effect: 'allow',
    priority: target.priority,
    ...(Object.keys(target.when).length > 0 ? { when: target.when } : {}),
    actions: ['publish', 'subscribe', 'receive'],
    topics: everything,
  })
}

/** Adds the rules that a member `authRules` gives: `null` there is no restriction at all. */
export function addAuthRules(holder: Reader, target: RuleTarget, draft: ImportDraft): void {
  const isNull = holder.json['authRules'] === null
  const rules = isNull ? undefined : holder.object('authRules')
  if (isNull) addEverything(holder, target, draft)
  else if (rules) addPatternRules(rules, target, draft)
  else if (!holder.has('authRules'))
    holder.refuse(
      'authRules',
      'required: {"pubAuthRulePatterns": […], "subAuthRulePatterns": […]}; the default of a provider is not known here',
    )
}
