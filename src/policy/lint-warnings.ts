import { quote } from './problems.ts'
import type { Rule } from './rule.ts'

/** What a warning is about. */
export const lintCodes = [
  'allow-everything',
  'implicit-actions',
  'identity-wildcard',
  'unreachable-rule',
  'denied-allow',
  'union-only',
  'share-in-pattern',
  'leading-slash',
  'unprovided-variable',
  'negation-without-exists',
  'unsure-deny',
  'regex-unescaped-dot',
  'retain-on-wildcard',
  'unfiltered-surface',
  'lint-incomplete',
] as const

export type LintCode = (typeof lintCodes)[number]

/** Something that is allowed, but rarely meant. */
export interface LintWarning {
  readonly code: LintCode
  /** As in `rules[3].topics[0].regex`; empty for the document itself. */
  readonly path: string
  /** Says what happens, and what to write instead. */
  readonly message: string
}

/** Warnings of one code that are told one by one; of more there is only the number. */
const MAX_PER_CODE = 20

/** The path of a member, as problems name it. */
export function memberPath(path: string, name: string): string {
  if (!/^[A-Za-z_][\w-]*$/.test(name)) return `${path}[${quote(name)}]`
  return path === '' ? name : `${path}.${name}`
}

/** The path of one pattern of rule `i`. */
export function topicPath({ document, matchers }: Rule, i: number, j: number): string {
  const path = `rules[${i}].topics[${j}]`
  return typeof document.topics?.[j] === 'string' ? path : memberPath(path, matchers[j]?.kind ?? '')
}

/** Collects warnings, few of each kind, so that a document with 100,000 rules is told about on one screen. */
export class Warnings {
  readonly #found: { readonly rule: number; readonly warning: LintWarning }[] = []
  readonly #counts = new Map<LintCode, number>()

  /** `rule` is the number of the rule that it is about, −1 for the document. */
  add(code: LintCode, rule: number, path: string, message: string): void {
    const count = (this.#counts.get(code) ?? 0) + 1
    this.#counts.set(code, count)
    if (count <= MAX_PER_CODE) this.#found.push({ rule, warning: { code, path, message } })
  }

  /** In the order of the document; the numbers of those that are not told come last. */
  all(): LintWarning[] {
    const told = this.#found.sort((a, b) => a.rule - b.rule).map(({ warning }) => warning)
    const untold = lintCodes.flatMap((code): LintWarning[] => {
      const more = (this.#counts.get(code) ?? 0) - MAX_PER_CODE
      if (more <= 0) return []
      return [
        { code, path: 'rules', message: `${more} more of this kind; correct those that are told, then look again` },
      ]
    })
    return [...told, ...untold]
  }
}
