import { type Comparison, comparisonsIn } from './lint-conditions.ts'
import { hasUnescapedDot } from './lint-regex.ts'
import { memberPath, type Warnings } from './lint-warnings.ts'
import type { Matcher, Policy, Rule } from './rule.ts'
import { isTemplate } from './rule.ts'
import type { TemplatePart, Variable } from './template.ts'

/** Members that every surface knows of everybody. */
const ALWAYS = ['clientId', 'type', 'auth', 'listener', 'protocol', 'tls', 'ip']

/**
 * Answers whether authentication always brings a member. `provides` names members, or the root of several (`claims`).
 * Without it claims and certificates are in doubt, and nothing else.
 */
function providedBy(provides: readonly string[] | undefined): (member: string) => boolean {
  if (!provides) return (member) => !/^(claims|cert)\./.test(member)
  const given = new Set([...ALWAYS, ...provides])
  return (member) => {
    for (let end = member.length; end > 0; end = member.lastIndexOf('.', end - 1))
      if (given.has(member.slice(0, end))) return true
    return false
  }
}

function isSet(member: string): boolean {
  return /^(groups|roles|scopes)$/.test(member)
}

function variablesOf(parts: readonly TemplatePart[]): readonly Variable[] {
  return parts.filter((part) => typeof part !== 'string')
}

function variablesIn(matcher: Matcher): readonly Variable[] {
  if (matcher.kind === 'regex') return matcher.variables
  return matcher.levels.flatMap((level) => (isTemplate(level) ? variablesOf(level.parts) : []))
}

/** Looks at the members of the identity that rules rely on. */
export class IdentityLinter {
  readonly #warnings: Warnings
  readonly #aliases: Readonly<Record<string, string>>
  readonly #isProvided: (member: string) => boolean
  /** Whether the members that nobody provides are known, and not only in doubt. */
  readonly #isSure: boolean
  /** Members whose absence some deny rule is about. */
  readonly #refusedWithout = new Set<string>()

  constructor({ document, rules }: Policy, provides: readonly string[] | undefined, warnings: Warnings) {
    this.#warnings = warnings
    this.#aliases = document.aliases ?? {}
    this.#isProvided = providedBy(provides)
    this.#isSure = provides !== undefined
    for (const [i, rule] of rules.entries()) {
      if (rule.effect !== 'deny' || !rule.enabled) continue
      for (const { member, isExists, holdsWithout } of this.#comparisons(rule, `rules[${i}]`))
        if (isExists && holdsWithout) this.#refusedWithout.add(member)
    }
  }

  #comparisons({ document }: Rule, path: string): readonly Comparison[] {
    return document.when ? comparisonsIn(document.when, `${path}.when`, this.#aliases) : []
  }

  /** Looks at one rule; `pathOf` gives the place of each of its patterns. */
  check(rule: Rule, i: number, pathOf: (matcher: number) => string): void {
    const path = `rules[${i}]`
    if (this.#isSure) {
      for (const [j, matcher] of rule.matchers.entries()) this.#checkVariables(variablesIn(matcher), rule, i, pathOf(j))
      for (const [j, group] of (rule.shareGroups ?? []).entries())
        this.#checkVariables(variablesOf(group), rule, i, `${path}.shareGroups[${j}]`)
      for (const [j, { path: steps }] of rule.require.entries())
        this.#checkMember(steps.join('.'), rule, i, memberPath(`${path}.require[${j}]`, 'in'))
    }
    const comparisons = this.#comparisons(rule, path)
    for (const one of comparisons) {
      if (one.regex !== undefined && hasUnescapedDot(one.regex)) {
        const message = '`.` stands for any character; write `\\.` for a dot, or `[^/]` where any character is meant'
        this.#warnings.add('regex-unescaped-dot', i, one.path, message)
      }
      if (rule.effect === 'allow') this.#checkAllow(one, comparisons, i)
      else this.#checkDeny(one, i)
    }
  }

  #checkVariables(variables: readonly Variable[], rule: Rule, i: number, path: string): void {
    for (const { path: steps } of variables) this.#checkMember(steps.join('.'), rule, i, path)
  }

  #checkMember(member: string, { effect }: Rule, i: number, path: string): void {
    if (this.#isProvided(member)) return
    const what = effect === 'allow' ? 'this allows nothing' : 'this refuses whatever could stand there'
    const message = `no provider brings ${member}, so that ${what}; use a member that one brings, or configure one that does`
    this.#warnings.add('unprovided-variable', i, path, message)
  }

  #checkAllow(one: Comparison, all: readonly Comparison[], i: number): void {
    const { member, path } = one
    if (!one.holdsWithout) {
      const message = `no provider brings ${member}, so that the rule never applies; use a member that one brings, or configure one that does`
      if (this.#isSure && one.isCertain && !this.#isProvided(member))
        this.#warnings.add('unprovided-variable', i, path, message)
      return
    }
    if (one.isExists || (this.#isSure ? this.#isProvided(member) : member === 'clientId')) return
    if (all.some((other) => other.member === member && !other.holdsWithout && other.isCertain)) return
    const instead = isSet(member)
      ? `name those that are allowed, as in "${member}": {"anyOf": […]}`
      : `add "allOf": [{${JSON.stringify(member)}: {"exists": true}}]`
    this.#warnings.add('negation-without-exists', i, path, `holds for an identity without ${member} too; ${instead}`)
  }

  #checkDeny({ member, holdsWithout, path }: Comparison, i: number): void {
    if (holdsWithout || this.#isProvided(member) || this.#refusedWithout.has(member)) return
    const second = isSet(member)
      ? ''
      : `add a deny rule with "when": {${JSON.stringify(member)}: {"exists": false}}, or `
    const message = `does not refuse an identity without ${member}; ${second}put the condition on the allow rules`
    this.#warnings.add('unsure-deny', i, path, message)
  }
}
