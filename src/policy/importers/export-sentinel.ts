import type { PolicyDocument, RuleAction, RuleDocument, TextCondition, WhenDocument } from '../document.ts'
import { ExportReader, type ExportRule, literalFilter } from './export-reader.ts'
import type { ExportResult } from './export-result.ts'

type Match = Readonly<Record<string, unknown>>

/** Members of `when` that compare text, with the names that they have in a match. */
const textMembers = { username: 'username', clientId: 'client-id' } as const

function exportText(
  name: keyof typeof textMembers,
  condition: TextCondition,
  path: string,
  reader: ExportReader,
): Match {
  const key = textMembers[name]
  const eq = typeof condition === 'string' ? condition : 'eq' in condition ? condition.eq : undefined
  if (eq !== undefined) return { [key]: eq }
  if (typeof condition === 'string' || !('regex' in condition) || condition.mode !== 'search') {
    reader.refuse(path, 'a match compares a text with eq, or with a regex that is searched for (mode: search)')
    return {}
  }
  if (/\\[dwsQ]/i.test(condition.regex))
    reader.refuse(
      path,
      '\\d, \\w and \\s stand for Unicode there, and \\Q is unknown; write the characters, as in [0-9]',
    )
  return { [`${key}-regex`]: condition.regex }
}

function oneOf(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? value[0] : value
}

function exportGroups(groups: WhenDocument['groups'], path: string, reader: ExportReader): Match {
  const tests = Array.isArray(groups)
    ? { anyOf: groups as readonly string[] }
    : (groups as { readonly anyOf?: readonly string[] })
  if (Object.keys(tests).some((name) => name !== 'anyOf'))
    reader.refuse(path, 'a match has any of some groups, and no other test')
  return { groups: tests.anyOf ?? [] }
}

function exportMember(name: string, when: WhenDocument, path: string, reader: ExportReader): Match {
  const value = when[name]
  if (name === 'username' || name === 'clientId') return exportText(name, value as TextCondition, path, reader)
  if (name === 'groups') return exportGroups(when.groups, path, reader)
  const single = oneOf(value)
  if (name === 'ip' && typeof single === 'string') return { 'client-ip': single }
  if (name === 'protocol' && typeof single === 'number') return { 'protocol-version': single }
  const isKnown = name === 'ip' || name === 'protocol'
  reader.refuse(path, isKnown ? 'a match has one of them; write a rule for each' : 'has no counterpart there')
  return {}
}

function exportWhen(when: WhenDocument, path: string, reader: ExportReader): Match {
  const members = Object.keys(when).map((name) => exportMember(name, when, `${path}.when.${name}`, reader))
  return Object.assign({}, ...members) as Match
}

function exportActions(actions: readonly RuleAction[], path: string, reader: ExportReader): readonly string[] {
  if (actions.includes('connect'))
    reader.refuse(`${path}.actions`, 'connect is no action that rules are asked about there')
  if (actions.includes('receive') && !actions.includes('subscribe'))
    reader.refuse(`${path}.actions`, 'a delivery has no rules of its own there; name subscribe beside receive')
  return actions.filter((action) => action !== 'receive')
}

/** Within a tier a deny decides, and of several allows the one that changes the message least. */
function compareRules({ rule: a }: ExportRule, { rule: b }: ExportRule): number {
  const byEffect = Number(a.effect === 'allow') - Number(b.effect === 'allow')
  return (b.priority ?? 0) - (a.priority ?? 0) || byEffect || (b.maxQos ?? 2) - (a.maxQos ?? 2)
}

function qosModes(rules: readonly ExportRule[]): ReadonlySet<RuleDocument['qosMode']> {
  return new Set(rules.filter(({ rule }) => rule.maxQos !== undefined).map(({ rule }) => rule.qosMode ?? 'deny'))
}

/** Writes a document as the gateway's own, so that importing it again decides alike. */
export function exportSentinel(document: PolicyDocument): ExportResult {
  const reader = new ExportReader(document)
  reader.requireOptions({})
  const rules = reader.rules(['maxQos', 'qosMode'], true).toSorted(compareRules)
  const modes = qosModes(rules)
  if (modes.size > 1)
    reader.refuse('', 'the gateway downgrades everywhere or nowhere: give every maxQos the same qosMode')
  const written = rules.map(({ path, rule, filters }, rank) => {
    const match = exportWhen(rule.when ?? {}, path, reader)
    return {
      name: rule.id,
      ...(Object.keys(match).length > 0 ? { match } : {}),
      topics: filters.flatMap((parts) => literalFilter(parts, `${path}.topics`, reader) ?? []),
      actions: exportActions(rule.actions ?? ['publish', 'subscribe', 'receive'], path, reader),
      decision: rule.effect,
      ...(rule.maxQos === undefined ? {} : { 'max-qos': rule.maxQos }),
      priority: rules.length - rank,
    }
  })
  const qos = modes.has('deny') ? { qos: { downgrade: false } } : {}
  return reader.finish(
    () => `${JSON.stringify({ acl: { enabled: true, 'default-action': 'deny', rules: written }, ...qos }, null, 2)}\n`,
  )
}
