import type { SetCondition, TextCondition, WhenDocument } from './document.ts'
import { memberPath } from './lint-warnings.ts'

/** What one comparison in a `when` says about a member of the identity. */
export interface Comparison {
  /** Path of the member, aliases resolved: `claims.email`. */
  readonly member: string
  /** Whether it holds for a member that is missing. */
  readonly holdsWithout: boolean
  /** Whether it asks for nothing but presence or absence. */
  readonly isExists: boolean
  /** Whether the whole `when` can hold only where it does. */
  readonly isCertain: boolean
  /** Place in the document. */
  readonly path: string
  /** The pattern, where there is one. */
  readonly regex: string | undefined
}

interface Scope {
  readonly aliases: Readonly<Record<string, string>>
  readonly isNegated: boolean
  readonly isCertain: boolean
}

/** Members that are no text, and that every surface knows of everybody. */
const KNOWN_OF_ALL: ReadonlySet<string> = new Set(['type', 'auth', 'listener', 'protocol', 'tls', 'ip'])
const SETS: ReadonlySet<string> = new Set(['groups', 'roles', 'scopes'])

function compareText(condition: TextCondition, member: string, path: string, scope: Scope): Comparison {
  const { isCertain } = scope
  if (typeof condition === 'object' && 'not' in condition)
    return compareText(condition.not, member, path, { ...scope, isNegated: !scope.isNegated })
  const isExists = typeof condition === 'object' && 'exists' in condition
  const holdsWithout = (isExists && !condition.exists) !== scope.isNegated
  const regex = typeof condition === 'object' && 'regex' in condition ? condition.regex : undefined
  return { member, holdsWithout, isExists, isCertain, path, regex }
}

function* compareSet(condition: SetCondition, member: string, path: string, scope: Scope): Generator<Comparison> {
  const tests = 'length' in condition ? { anyOf: condition } : condition
  const names = (['anyOf', 'allOf', 'noneOf', 'anyPrefix'] as const).filter((name) => tests[name] !== undefined)
  for (const name of names) {
    if (tests[name]?.length === 0) continue // always true, or never
    const holdsWithout = (name === 'noneOf') !== scope.isNegated
    const isCertain = scope.isCertain && (!scope.isNegated || names.length === 1)
    yield { member, holdsWithout, isExists: false, isCertain, path, regex: undefined }
  }
}

function* compareParts(
  parts: readonly WhenDocument[],
  path: string,
  outer: Scope,
  isAll: boolean,
): Generator<Comparison> {
  // All parts of `allOf` hold where it does; the negation of `anyOf` is that none does.
  const isCertain = outer.isCertain && (isAll !== outer.isNegated || parts.length === 1)
  for (const [i, part] of parts.entries()) yield* compareAll(part, `${path}[${i}]`, { ...outer, isCertain })
}

function* compareAll(when: WhenDocument, path: string, outer: Scope): Generator<Comparison> {
  const keys = Object.keys(when)
  const scope = { ...outer, isCertain: outer.isCertain && (!outer.isNegated || keys.length === 1) }
  for (const key of keys) {
    const place = memberPath(path, key)
    if (key === 'anyOf' || key === 'allOf') yield* compareParts(when[key] ?? [], place, scope, key === 'allOf')
    else if (key === 'noneOf') {
      yield* compareParts(when.noneOf ?? [], place, { ...scope, isNegated: !scope.isNegated }, false)
    } else if (SETS.has(key)) yield* compareSet(when[key] as SetCondition, key, place, scope)
    else if (!KNOWN_OF_ALL.has(key)) {
      const member = Object.hasOwn(scope.aliases, key) ? (scope.aliases[key] as string) : key
      yield compareText(when[key] as TextCondition, member, place, scope)
    }
  }
}

/** Every comparison in a checked `when`, but for those with members that every identity has. */
export function comparisonsIn(
  when: WhenDocument,
  path: string,
  aliases: Readonly<Record<string, string>>,
): readonly Comparison[] {
  return [...compareAll(when, path, { aliases, isNegated: false, isCertain: true })]
}
