import { accessActions } from './access.ts'
import { type Effect, POLICY_SCHEMA, type PolicyDocument, type Qos } from './document.ts'
import { type Identity, identityFields } from './identity.ts'
import { inSlices } from './in-slices.ts'
import { fullBudget, MAX_REGEX_SIZE } from './parse-matcher.ts'
import { parseRule } from './parse-rule.ts'
import { isJsonObject, kindOf, type PolicyProblem, Problems, quote, Reader } from './problems.ts'
import type { Policy, PolicyOptions, PolicyTest, Rule } from './rule.ts'
import { type Aliases, resolvePath } from './template.ts'
import { defaultSyntaxLimits } from './topic-syntax.ts'

export type ParseResult =
  | { readonly policy: Policy; readonly problems: readonly [] }
  | { readonly policy: undefined; readonly problems: readonly PolicyProblem[] }

const MEMBERS = ['schema', 'id', 'revision', 'description', 'default', 'options', 'aliases', 'rules', 'tests']
export const MAX_RULES = 100_000
const MAX_ALIASES = 100
const MAX_TESTS = 10_000
const MAX_REVISION = 1_000_000_000
const DEFAULTS = { publish: 'deny', subscribe: 'deny', connect: 'allow', unsubscribe: 'allow' } as const

function parseDefaults(reader: Reader): Policy['defaults'] {
  if (isJsonObject(reader.json['default'])) {
    const members = reader.object('default')
    members?.refuseUnknown(Object.keys(DEFAULTS))
    const effectOf = (name: keyof typeof DEFAULTS): Effect => members?.word(name, ['allow', 'deny']) ?? DEFAULTS[name]
    return {
      publish: effectOf('publish'),
      subscribe: effectOf('subscribe'),
      connect: effectOf('connect'),
      unsubscribe: effectOf('unsubscribe'),
    }
  }
  const effect = reader.word('default', ['allow', 'deny']) ?? 'deny'
  return { ...DEFAULTS, publish: effect, subscribe: effect }
}

function parseOptions(reader: Reader): PolicyOptions {
  const options = reader.object('options') ?? new Reader({}, reader.at('options'), reader.problems)
  options.refuseUnknown(['subscribe', 'receive', 'maxTopicBytes', 'maxTopicLevels', 'rejectControlChars'])
  return {
    subscribe: options.word('subscribe', ['strict', 'filtered']) ?? 'strict',
    receive: options.word('receive', ['derive', 'explicit']) ?? 'derive',
    maxTopicBytes: options.integer('maxTopicBytes', 1, 65_535) ?? defaultSyntaxLimits.maxTopicBytes,
    maxTopicLevels: options.integer('maxTopicLevels', 1, 128) ?? defaultSyntaxLimits.maxTopicLevels,
    rejectControlChars: options.boolean('rejectControlChars', true),
  }
}

function parseAliases(reader: Reader): Aliases {
  const aliases = new Map<string, readonly string[]>()
  const given = reader.object('aliases')
  if (!given) return aliases
  const names = Object.keys(given.json)
  if (names.length > MAX_ALIASES) reader.refuse('aliases', `more than ${MAX_ALIASES}`)
  for (const name of names.slice(0, MAX_ALIASES)) {
    const target = given.text(name, 1_024)
    if (!/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/.test(name))
      given.refuse(name, 'an alias is a word of letters, digits, _ and -')
    else if ((identityFields as readonly string[]).includes(name) || name === 'topic')
      given.refuse(name, 'is the name of a member of the identity')
    else if (target !== undefined) {
      const path = resolvePath(target, new Map())
      if (typeof path === 'string') given.refuse(name, path)
      else aliases.set(name, path)
    }
  }
  return aliases
}

/** The identity of a test: members by their types, so that a misspelt one is not a silent "unknown". */
function parseIdentity(reader: Reader): Identity {
  reader.refuseUnknown(identityFields)
  for (const name of ['clientId', 'username', 'type', 'ip', 'listener', 'auth', 'org', 'sub']) reader.text(name, 65_535)
  for (const name of ['groups', 'roles', 'scopes']) {
    for (const { value, path } of reader.list(name, 1_000))
      if (typeof value !== 'string') reader.problems.add(path, `must be text, is ${kindOf(value)}`)
  }
  reader.integer('protocol', 3, 5)
  reader.boolean('tls', false)
  for (const name of ['claims', 'cert']) reader.object(name)
  return reader.json as Identity
}

const REASONS = /^(rule|default|filtered|deny-overlap|qos-exceeds|invalid-action|invalid-topic:[a-z-]+)$/

/** What a test expects: a decision, or an object with it and more. */
function parseExpected(reader: Reader): PolicyTest['expect'] | undefined {
  if (typeof reader.json['expect'] === 'string') {
    const decision = reader.word('expect', ['allow', 'deny'])
    return decision && { decision }
  }
  const expected = reader.object('expect')
  if (!expected) return undefined
  expected.refuseUnknown(['decision', 'reason', 'rule', 'qos', 'retain'])
  if (!expected.has('decision')) expected.refuse('decision', 'required')
  const decision = expected.word('decision', ['allow', 'deny'])
  const reason = expected.text('reason', 64)
  if (reason !== undefined && !REASONS.test(reason)) expected.refuse('reason', 'no decision has this reason')
  const rule = expected.json['rule'] === null ? null : expected.text('rule', 128)
  const qos = expected.integer('qos', 0, 2) as Qos | undefined
  return (
    decision && {
      decision,
      ...(reason !== undefined && { reason }),
      ...(rule !== undefined && { rule }),
      ...(qos !== undefined && { qos }),
      ...(expected.has('retain') && { retain: expected.boolean('retain', false) }),
    }
  )
}

function parseTest(value: unknown, path: string, index: number, problems: Problems): PolicyTest | undefined {
  if (!isJsonObject(value)) return problems.add(path, `must be an object, is ${kindOf(value)}`)
  const reader = new Reader(value, path, problems)
  reader.refuseUnknown(['name', 'as', 'do', 'topic', 'qos', 'retain', 'expect'])
  for (const name of ['as', 'do', 'expect']) if (!reader.has(name)) reader.refuse(name, 'required')
  const as = reader.object('as')
  const identity = as && parseIdentity(as)
  const action = reader.word('do', accessActions)
  const expect = parseExpected(reader)
  const qos = reader.integer('qos', 0, 2) as Qos | undefined
  if (!identity || action === undefined || expect === undefined) return undefined
  return {
    name: reader.text('name', 256) ?? `tests[${index}]`,
    as: identity,
    do: action,
    topic: reader.text('topic', 65_535) ?? '',
    qos: qos ?? 0,
    retain: reader.boolean('retain', false),
    expect,
  }
}

/** Refuses a rule whose id another one has. */
function refuseTwin(rule: Rule | undefined, i: number, seen: Map<string, number>, problems: Problems): void {
  if (!rule) return
  const first = seen.get(rule.id)
  if (first === undefined) seen.set(rule.id, i)
  else problems.add(`rules[${i}].id`, `${quote(rule.id)} is the id of rules[${first}] too`)
}

/** Whether some deliveries of a document are filtered, which a shared subscription cannot be. */
function refuseSharesBesideFilters(
  reader: Reader,
  { subscribe }: PolicyOptions,
  rules: readonly (Rule | undefined)[],
): void {
  const filters = subscribe === 'filtered' || rules.some((rule) => rule?.overlap === 'filter')
  if (!filters) return
  for (const [i, rule] of rules.entries()) {
    if (!rule || (rule.shareGroups === null && rule.shared === 'any')) continue
    reader.problems.add(
      `rules[${i}].${rule.shareGroups ? 'shareGroups' : 'shared'}`,
      'share conditions do not go together with overlap: filter or subscribe: filtered: a delivery does not say its group',
    )
  }
}

function* parseSteps(json: unknown, maxRegexSize = MAX_REGEX_SIZE): Generator<void, ParseResult> {
  const problems = new Problems()
  if (!isJsonObject(json)) {
    problems.add('', `a policy is an object, this is ${kindOf(json)}`)
    return { policy: undefined, problems: problems.found }
  }
  const reader = new Reader(json, '', problems)
  reader.refuseUnknown(MEMBERS)
  if (json['schema'] !== POLICY_SCHEMA) reader.refuse('schema', `must be ${JSON.stringify(POLICY_SCHEMA)}`)
  const id = reader.text('id', 128)
  if (!reader.has('id') || id === '') reader.refuse('id', 'required: the name of the policy')
  reader.text('description', 4_096)
  const revision = reader.integer('revision', 1, MAX_REVISION) ?? null
  const defaults = parseDefaults(reader)
  const options = parseOptions(reader)
  const aliases = parseAliases(reader)
  if (!reader.has('rules')) reader.refuse('rules', 'required: a list, empty to refuse everything')
  const rules: (Rule | undefined)[] = []
  const ids = new Map<string, number>()
  const budget = fullBudget(maxRegexSize)
  for (const { value, path } of reader.list('rules', MAX_RULES)) {
    if (problems.full) break
    const rule = parseRule(value, path, aliases, problems, budget)
    refuseTwin(rule, rules.length, ids, problems)
    rules.push(rule)
    yield
  }
  refuseSharesBesideFilters(reader, options, rules)
  const tests = reader.list('tests', MAX_TESTS).map(({ value, path }, i) => parseTest(value, path, i, problems))
  if (problems.found.length > 0) return { policy: undefined, problems: problems.found }
  const policy: Policy = {
    document: json as unknown as PolicyDocument,
    id: id ?? '',
    revision,
    defaults,
    options,
    rules: rules.filter((rule) => rule !== undefined),
    tests: tests.filter((test) => test !== undefined),
  }
  return { policy, problems: [] }
}

/**
 * Checks a policy document that has been parsed as JSON. Every problem is told at once, each with its place, up to 100; a
 * document with any is not used.
 *
 * @param maxRegexSize instructions that its regexes may come to; what they cost to compile follows it
 */
export function parsePolicy(json: unknown, maxRegexSize = MAX_REGEX_SIZE): ParseResult {
  const steps = parseSteps(json, maxRegexSize)
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

/** The same in slices of a few milliseconds, so that a large document holds nobody up. */
export async function parsePolicyInSlices(json: unknown): Promise<ParseResult> {
  return inSlices(parseSteps(json))
}
