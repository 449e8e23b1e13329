import type { SetCondition, TextCondition, WhenDocument } from './document.ts'
import type { Identity } from './identity.ts'
import { REST } from './levels.ts'
import { regexProblem } from './regex/check-regex.ts'
import { compileTopicRegex } from './regex/compile-regex.ts'
import { overlapWitness } from './regex/language.ts'
import type { Matcher, Policy, Rule } from './rule.ts'
import { isTemplate } from './rule.ts'
import type { Variable } from './template.ts'

type Change = (identity: Identity) => Identity
type Aliases = Readonly<Record<string, string>>

/** Identities that are made for one rule. */
const MAX_VARIANTS = 32

function withValue(object: unknown, path: readonly string[], value: unknown): Record<string, unknown> {
  const [name = '', ...rest] = path
  const members = typeof object === 'object' && object !== null ? (object as Record<string, unknown>) : {}
  const inner = Object.hasOwn(members, name) ? members[name] : undefined
  return { ...members, [name]: rest.length === 0 ? value : withValue(inner, rest, value) }
}

function set(path: readonly string[], value: unknown): Change {
  return (identity) => withValue(identity, path, value) as Identity
}

/** A text that a pattern takes, where one is found easily. */
function textLike(pattern: string): string | undefined {
  const bare = pattern.replace(/^(\(\?i\))?\^?/, '').replace(/(?<!\\)\$$/, '')
  if (regexProblem([bare])) return undefined
  return overlapWitness(compileTopicRegex([bare], []), [REST], { dollar: true })
}

/** What makes a comparison hold: each of these does. */
function textChoices(condition: TextCondition, path: readonly string[]): readonly Change[] {
  if (typeof condition === 'string') return [set(path, condition)]
  if ('eq' in condition) return [set(path, condition.eq)]
  if ('in' in condition) return condition.in.map((text) => set(path, text))
  if ('glob' in condition) return [set(path, condition.glob.replaceAll('*', 'x'))]
  if ('exists' in condition) return [set(path, condition.exists ? 'x' : undefined)]
  if ('not' in condition) return [set(path, 'other-1'), set(path, undefined)]
  const text = textLike(condition.regex)
  return text === undefined ? [] : [set(path, text)]
}

function setChoices(condition: SetCondition, name: 'groups' | 'roles' | 'scopes'): readonly Change[] {
  const tests = 'length' in condition ? { anyOf: condition } : condition
  const add = (elements: readonly string[]): Change => {
    return (identity) => ({ ...identity, [name]: [...(identity[name] ?? []), ...elements] })
  }
  const all = tests.allOf ?? []
  const any = tests.anyOf ?? tests.anyPrefix?.map((prefix) => `${prefix}x`)
  return any ? any.map((one) => add([...all, one])) : [add(all)]
}

function listed<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T]
}

function choicesOf(when: WhenDocument, key: string, aliases: Aliases): readonly Change[] {
  if (key === 'anyOf') return (when.anyOf ?? []).flatMap((part) => changesFor(part, aliases))
  if (key === 'allOf') {
    const parts = (when.allOf ?? []).map((part) => changesFor(part, aliases)[0])
    return [(identity) => parts.reduce((made, change) => change?.(made) ?? made, identity)]
  }
  if (key === 'noneOf') return []
  if (key === 'groups' || key === 'roles' || key === 'scopes') return setChoices(when[key] as SetCondition, key)
  if (key === 'ip') return listed(when.ip ?? []).map((net) => set(['ip'], net.replace(/\/.*$/, '')))
  if (key === 'type' || key === 'auth' || key === 'listener' || key === 'protocol' || key === 'tls')
    return listed<unknown>(when[key]).map((value) => set([key], value))
  const path = (Object.hasOwn(aliases, key) ? (aliases[key] as string) : key).split('.')
  return textChoices(when[key] as TextCondition, path)
}

/** Changes each of which makes a `when` hold, as far as that is easily done: one member at a time is varied. */
function changesFor(when: WhenDocument, aliases: Aliases): readonly Change[] {
  const choices = Object.keys(when).map((key) => choicesOf(when, key, aliases).slice(0, MAX_VARIANTS))
  const build = (varied: number, choice: number): Change => {
    return (identity) =>
      choices.reduce((made, some, i) => (some[i === varied ? choice : 0] ?? ((same) => same))(made), identity)
  }
  const others = choices.flatMap((some, varied) => some.slice(1).map((_, i) => build(varied, i + 1)))
  return [build(-1, 0), ...others].slice(0, MAX_VARIANTS)
}

/** Identities that a rule is probably for; they meet its `when` unless that is an unusual one. */
export function identitiesFor({ document }: Rule, base: Identity, aliases: Aliases): readonly Identity[] {
  return document.when ? changesFor(document.when, aliases).map((change) => change(base)) : []
}

export function variablesIn(matcher: Matcher): readonly Variable[] {
  if (matcher.kind === 'regex') return matcher.variables
  return matcher.levels.flatMap((level) =>
    isTemplate(level) ? level.parts.filter((part) => typeof part !== 'string') : [],
  )
}

/** An identity in which every variable of the policies has a value. */
export function commonIdentity(policies: readonly Policy[]): Identity {
  let identity: Identity = { clientId: 'client-1', username: 'user-1', type: 'device', sub: 'sub-1', org: 'org-1' }
  identity = { ...identity, ip: '192.0.2.1', protocol: 5, tls: true, auth: 'basic', listener: 'mqtt' }
  const seen = new Set<string>()
  for (const { rules } of policies) {
    for (const rule of rules) {
      for (const { path, each } of rule.matchers.flatMap(variablesIn)) {
        const name = path.join('.')
        if ((path[0] !== 'claims' && path[0] !== 'cert') || seen.has(name)) continue
        seen.add(name)
        const text = path.at(-1) ?? ''
        identity = set(path, each ? [`${text}-1`, `${text}-2`] : `${text}-1`)(identity)
      }
    }
  }
  return identity
}
