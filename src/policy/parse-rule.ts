import type { Qos, RuleAction } from './document.ts'
import { type DocumentBudget, MAX_PATTERN_LENGTH, parseMatcher } from './parse-matcher.ts'
import { parseWhen } from './parse-when.ts'
import { isJsonObject, kindOf, quote, Reader } from './problems.ts'
import type { Capture, Matcher, Requirement, Rule, ShareGroup } from './rule.ts'
import { isCapture } from './rule.ts'
import { type Aliases, parseTemplate, resolvePath } from './template.ts'

const MEMBERS = [
  'id',
  'description',
  'enabled',
  'effect',
  'priority',
  'when',
  'actions',
  'topics',
  'require',
  'qos',
  'maxQos',
  'qosMode',
  'retain',
  'shared',
  'shareGroups',
  'will',
  'overlap',
]
const ACTIONS: readonly RuleAction[] = ['publish', 'subscribe', 'receive', 'connect', 'unsubscribe']
const DEFAULT_ACTIONS: readonly RuleAction[] = ['publish', 'subscribe', 'receive']
const MAX_ID = 128
const MAX_PRIORITY = 1_000_000_000
const MAX_TOPICS = 10_000
const MAX_REQUIREMENTS = 16
const MAX_TEMPLATES = 100

function parseActions(reader: Reader): ReadonlySet<RuleAction> {
  if (!reader.has('actions')) return new Set(DEFAULT_ACTIONS)
  const listed = reader.list('actions', ACTIONS.length).flatMap(({ value, path }) => {
    const action = ACTIONS.find((one) => one === value)
    if (action === undefined) reader.problems.add(path, `must be one of ${ACTIONS.join(', ')}`)
    return action ?? []
  })
  if (Array.isArray(reader.json['actions']) && reader.json['actions'].length === 0)
    reader.refuse('actions', 'names no action; leave the rule out, or say enabled: false')
  return new Set(listed)
}

function parseQos(reader: Reader): readonly Qos[] | null {
  if (!reader.has('qos')) return null
  const levels = reader.list('qos', 3).flatMap(({ value, path }): Qos[] => {
    if (value === 0 || value === 1 || value === 2) return [value]
    reader.problems.add(path, 'must be 0, 1 or 2')
    return []
  })
  if (Array.isArray(reader.json['qos']) && reader.json['qos'].length === 0) reader.refuse('qos', 'names no QoS')
  return levels
}

/** Templates of `require` hold `${topic.name}` only, and the captures are those of every matcher. */
function parseRequireTemplate(text: string): readonly (string | Capture)[] | string {
  const parts: (string | Capture)[] = []
  for (const [i, piece] of text.split(/\$\{([^}]*)\}/).entries()) {
    if (i % 2 === 0) {
      if (piece.includes('${')) return '`${` without `}`'
      if (piece !== '') parts.push(piece)
      continue
    }
    const name = /^topic\.([A-Za-z0-9_]+)$/.exec(piece)?.[1]
    if (name === undefined) return `a template of require holds \${topic.name} only, not ${quote(piece)}`
    parts.push({ capture: name })
  }
  return parts
}

function parseRequire(reader: Reader, aliases: Aliases): readonly Requirement[] {
  return reader.list('require', MAX_REQUIREMENTS).flatMap(({ value, path }) => {
    if (!isJsonObject(value)) {
      reader.problems.add(path, `must be an object, is ${kindOf(value)}`)
      return []
    }
    const entry = new Reader(value, path, reader.problems)
    entry.refuseUnknown(['in', 'any'])
    const pathText = entry.text('in', MAX_PATTERN_LENGTH)
    if (!entry.has('in')) entry.refuse('in', 'required: the array of the identity, as in scopes')
    if (!entry.has('any')) entry.refuse('any', 'required: the templates, one of which must be an element')
    const steps = pathText === undefined ? [] : resolvePath(pathText, aliases)
    if (typeof steps === 'string') entry.refuse('in', steps)
    const templates = entry.list('any', MAX_TEMPLATES).flatMap(({ value: template, path: place }) => {
      const parts =
        typeof template === 'string' ? parseRequireTemplate(template) : `must be text, is ${kindOf(template)}`
      if (typeof parts !== 'string') return [parts]
      reader.problems.add(place, parts)
      return []
    })
    if (typeof steps === 'string' || pathText === undefined) return []
    return [{ path: steps, pathText, templates }]
  })
}

function parseShareGroups(reader: Reader, aliases: Aliases): readonly ShareGroup[] | null {
  if (!reader.has('shareGroups')) return null
  return reader.list('shareGroups', MAX_TEMPLATES).flatMap(({ value, path }) => {
    const refuse = (message: string) => {
      reader.problems.add(path, message)
      return []
    }
    if (typeof value !== 'string' || value === '') return refuse('must be the name of a group')
    const parts = parseTemplate(value, aliases)
    if ('message' in parts) return refuse(parts.message)
    if (parts.some((part) => typeof part === 'string' && /[/+#]/.test(part))) return refuse('a group has no /, + or #')
    const variables = parts.filter((part) => typeof part !== 'string')
    if (variables.length > 1) return refuse('at most one variable in a group')
    if (variables.some(({ each, modifier }) => each || modifier === 'path'))
      return refuse('no [] and no |path in a group')
    return [parts]
  })
}

/** Whether every template's captures are bound by every matcher. */
function refuseUnboundCaptures(reader: Reader, require: readonly Requirement[], matchers: readonly Matcher[]): void {
  if (require.length === 0) return
  const named = new Set(
    require
      .flatMap(({ templates }) => templates.flat())
      .flatMap((part) => (typeof part === 'string' ? [] : part.capture)),
  )
  for (const matcher of matchers) {
    const bound = new Set<unknown>(
      matcher.kind === 'regex' ? [] : matcher.levels.map((level) => (isCapture(level) ? level.capture : '')),
    )
    const missing = [...named].find((name) => !bound.has(name))
    if (matcher.kind === 'regex') reader.refuse('require', 'needs filters or eq: a regex binds no captures')
    else if (missing !== undefined)
      reader.refuse('require', `${quote(matcher.text)} does not bind \${topic.${missing}}; write +:${missing} in it`)
  }
}

type Checked = Omit<Rule, 'id' | 'document'>

/** Members that do not go together. */
function refuseContradictions(reader: Reader, rule: Checked): void {
  const only = (...actions: RuleAction[]) => [...rule.actions].every((action) => actions.includes(action))
  const isDeny = rule.effect === 'deny'
  if (isDeny) {
    for (const name of ['maxQos', 'qosMode']) if (reader.has(name)) reader.refuse(name, 'belongs to allow rules')
    if (rule.retain === 'strip') reader.refuse('retain', 'strip belongs to allow rules')
    for (const name of ['qos', 'retain', 'will'])
      if (reader.has(name) && !only('publish'))
        reader.refuse(name, 'on a deny rule this needs actions: ["publish"], because only a publish has it')
  }
  if (!isDeny && reader.has('overlap')) reader.refuse('overlap', 'belongs to deny rules')
  if (reader.has('qosMode') && !reader.has('maxQos')) reader.refuse('qosMode', 'needs maxQos')
  if (!rule.actions.has('subscribe'))
    for (const name of ['shared', 'shareGroups'])
      if (reader.has(name)) reader.refuse(name, 'needs the action subscribe')
  if (rule.actions.has('connect')) {
    if (!only('connect')) reader.refuse('actions', 'connect stands alone: it has no topic')
    for (const name of ['topics', 'require']) if (reader.has(name)) reader.refuse(name, 'a connect rule has no topic')
  } else if (!reader.has('topics')) reader.refuse('topics', 'required: the filters that the rule is about')
  else if (Array.isArray(reader.json['topics']) && reader.json['topics'].length === 0)
    reader.refuse('topics', 'names no topic; a rule without topics matches nothing')
  if (rule.shareGroups && rule.shared === 'forbid') reader.refuse('shareGroups', 'contradicts shared: forbid')
}

/** Reads one rule; with problems it is not to be used. */
export function parseRule(
  value: unknown,
  path: string,
  aliases: Aliases,
  problems: Reader['problems'],
  budget: DocumentBudget,
): Rule | undefined {
  if (!isJsonObject(value)) return problems.add(path, `must be an object, is ${kindOf(value)}`)
  const reader = new Reader(value, path, problems)
  reader.refuseUnknown(MEMBERS)
  const id = reader.text('id', MAX_ID)
  if (!reader.has('id') || id === '') reader.refuse('id', 'required: the name by which decisions report the rule')
  reader.text('description', 1_024)
  const effect = reader.word('effect', ['allow', 'deny'])
  if (!reader.has('effect')) reader.refuse('effect', 'required: "allow" or "deny"')
  const when = reader.object('when')
  const context = { aliases, isDeny: effect === 'deny', problems, budget }
  const rule: Checked = {
    effect: effect ?? 'deny',
    enabled: reader.boolean('enabled', true),
    priority: reader.integer('priority', -MAX_PRIORITY, MAX_PRIORITY) ?? 0,
    actions: parseActions(reader),
    when: when ? parseWhen(when, aliases) : [],
    matchers: reader.list('topics', MAX_TOPICS).flatMap((one) => parseMatcher(one.value, one.path, context) ?? []),
    require: parseRequire(reader, aliases),
    qos: parseQos(reader),
    maxQos: (reader.integer('maxQos', 0, 2) as Qos | undefined) ?? null,
    qosMode: reader.word('qosMode', ['deny', 'cap']) ?? 'deny',
    retain: reader.word('retain', ['any', 'forbid', 'require', 'strip']) ?? 'any',
    shared: reader.word('shared', ['any', 'forbid', 'require']) ?? 'any',
    shareGroups: parseShareGroups(reader, aliases),
    will: reader.boolean('will', true),
    overlap: reader.word('overlap', ['refuse', 'filter']) ?? 'refuse',
  }
  refuseUnboundCaptures(reader, rule.require, rule.matchers)
  refuseContradictions(reader, rule)
  return id === undefined ? undefined : { id, ...rule, document: value as unknown as Rule['document'] }
}
