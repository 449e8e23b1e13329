import type { MatcherDocument, RuleAction, RuleDocument } from '../document.ts'
import { isJsonObject, kindOf } from '../problems.ts'
import { readErlangRules } from './emqx-file.ts'
import { readJsonRules } from './emqx-json.ts'
import type { EmqxRule, EmqxTopic } from './emqx-rule.ts'
import { filterFrom, mqttMatcher, type PatternPiece } from './foreign-filter.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { readJson, readText } from './read-source.ts'
import { unusableValueGuard } from './unusable-value-guard.ts'

const variables: Readonly<Record<string, string>> = {
  clientid: 'clientId',
  username: 'username',
  cert_common_name: 'cert.cn',
}

interface Matchers {
  readonly names: readonly MatcherDocument[]
  /** What only a SUBSCRIBE can be compared with. */
  readonly filterTexts: readonly MatcherDocument[]
  /** Patterns with variables in them. */
  readonly withVariables: readonly (readonly PatternPiece[])[]
}

function piecesOf({ path, text }: EmqxTopic, draft: ImportDraft): readonly PatternPiece[] | undefined {
  if (/%[cu](\/|$)/.test(text))
    return draft.refuse(
      path,
      'write ${clientid} for %c and ${username} for %u, which are variables in version 4 and text in version 5',
    )
  const pieces: PatternPiece[] = []
  for (const [i, part] of text.split(/\$\{([^{}]*)\}/).entries()) {
    const variable = i % 2 === 1 && Object.hasOwn(variables, part) ? variables[part] : undefined
    if (variable !== undefined) pieces.push({ variable })
    else if (i % 2 === 1) return draft.refuse(path, `known variables are ${Object.keys(variables).join(', ')}`)
    else if (part !== '') pieces.push(part)
  }
  return pieces
}

function matchersOf({ topics, effect }: EmqxRule, draft: ImportDraft): Matchers {
  const names: MatcherDocument[] = []
  const filterTexts: MatcherDocument[] = []
  const withVariables: (readonly PatternPiece[])[] = []
  for (const topic of topics) {
    if (topic.isEq && /(^|\/)\+[^/]|[^/]\+(\/|$)|[^/]#|#./.test(topic.text)) {
      draft.note('dropped', topic.path, 'no filter is spelt so')
      continue
    }
    const isText = topic.isEq && /[+#]/.test(topic.text)
    const pieces = topic.isEq ? [topic.text] : piecesOf(topic, draft)
    const filter = pieces && filterFrom(pieces, topic.path, draft)
    if (!pieces || filter === undefined) continue
    if (isText) filterTexts.push({ eq: filter })
    else names.push(mqttMatcher(filter, effect))
    if (pieces.some((piece) => typeof piece === 'object')) withVariables.push(pieces)
  }
  return { names, filterTexts, withVariables }
}

function publishPart({ qos, retain }: EmqxRule): Partial<RuleDocument> {
  return {
    actions: ['publish'],
    ...(qos ? { qos } : {}),
    ...(retain === undefined ? {} : { retain: retain ? 'require' : 'forbid' }),
  }
}

function subscribePart({ path, effect, qos }: EmqxRule, draft: ImportDraft): Partial<RuleDocument> {
  const actions: readonly RuleAction[] = ['subscribe', 'receive']
  if (!qos) return { actions }
  if (effect === 'allow')
    draft.note(
      'changed',
      path,
      'a SUBSCRIBE that asks for more gets the highest QoS of the list, where EMQX goes on to the next rule',
    )
  else draft.note('stricter', path, 'the QoS of a SUBSCRIBE does not limit a deny')
  return effect === 'allow' ? { actions, qos } : { actions }
}

/** Writes one rule as one or two: a publish and a subscribe differ in what they can be asked. */
function addRule(rule: EmqxRule, id: string, priority: number, draft: ImportDraft): void {
  const { names, filterTexts, withVariables } = matchersOf(rule, draft)
  const add = (part: Partial<RuleDocument>, topics: readonly MatcherDocument[], suffix: string) => {
    if (topics.length === 0) return
    const head = { id: draft.countedId(`${id}${suffix}`), effect: rule.effect, priority }
    draft.addRule(rule.path, { ...head, ...(rule.when ? { when: rule.when } : {}), ...part, topics })
  }
  const isOne = rule.publish && rule.subscribe && !rule.qos && rule.retain === undefined && filterTexts.length === 0
  if (isOne) add({ actions: ['publish', 'subscribe', 'receive'] }, names, '')
  if (rule.publish && !isOne) add(publishPart(rule), names, '-publish')
  if (rule.subscribe && !isOne) add(subscribePart(rule, draft), [...names, ...filterTexts], '-subscribe')
  if (rule.publish && names.length === 0 && filterTexts.length > 0)
    draft.note('dropped', rule.path, 'a publish never has a wildcard in its topic')
  if (withVariables.length > 0)
    draft.note(
      'stricter',
      '',
      'an id that holds / + or # is not put into a topic: a grant is left out, a deny refuses all below',
    )
  for (const pieces of rule.effect === 'deny' ? withVariables : []) {
    const guard = unusableValueGuard(pieces, '[/#]')
    const when = rule.when && guard?.when ? { allOf: [rule.when, guard.when] } : guard?.when
    if (!guard || !when) continue
    const actions = [
      ...(rule.publish ? (['publish'] as const) : []),
      ...(rule.subscribe ? (['subscribe', 'receive'] as const) : []),
    ]
    draft.addRule(rule.path, { id: draft.countedId(`${id}-unusable-ids`), priority, actions, ...guard, when })
  }
}

function rulesOf(input: unknown, draft: ImportDraft): readonly EmqxRule[] {
  if (typeof input === 'string' && !/^\s*\[\s*[{\]]|^\s*\{\s*"/.test(input.slice(0, 4_096))) {
    const text = readText(input, draft)
    return text === undefined ? [] : readErlangRules(text, draft)
  }
  const json = readJson(input, draft)
  if (Array.isArray(json) || isJsonObject(json)) return readJsonRules(json, draft)
  if (json !== undefined) draft.refuse('', `must be the text of acl.conf, or rules as JSON, is ${kindOf(json)}`)
  return []
}

/**
 * Imports rules of EMQX: the text of `acl.conf`, or the JSON rules of an HTTP answer, a token or the built-in database. The
 * first rule that matches decides, as there.
 */
export function importEmqx(input: unknown, { id = 'emqx' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const rules = rulesOf(input, draft)
  for (const [rank, rule] of rules.entries()) addRule(rule, `rule-${rank + 1}`, rules.length - rank, draft)
  draft.note(
    'stricter',
    '',
    'what no rule decides is refused; EMQX asks the next source, and then its setting no_match, which allows unless it is changed',
  )
  draft.note(
    'stricter',
    '',
    'a SUBSCRIBE needs a pattern that contains its filter, and a deny that overlaps it refuses; EMQX matches the filter as if it were a topic',
  )
  return draft.finish({ id, default: 'deny' })
}
