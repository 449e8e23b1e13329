import type { WhenDocument } from './document.ts'
import type { Identity } from './identity.ts'
import { ANY, type Levels, REST } from './levels.ts'
import { comparableText } from './render.ts'
import type { PatternLevel, Rule, TemplateLevel } from './rule.ts'
import { isTemplate } from './rule.ts'

/** Members of the identity by whose value rules are found instead of tried. */
export const keyedMembers = ['clientId', 'username', 'sub', 'org', 'groups', 'scopes'] as const

export type KeyedMember = (typeof keyedMembers)[number]

/** An equality condition that a rule can be looked up by. */
export interface RuleKey {
  readonly member: KeyedMember
  readonly values: readonly string[]
}

/** A rule with what is known before any request. */
export interface CompiledRule {
  readonly rule: Rule
  readonly id: string
  readonly isDeny: boolean
  readonly priority: number
  /** Place among all rules by priority, deny before allow, then id: of two that decide the same, the lower one is reported. */
  readonly order: number
  /** Number of its `when`, shared by rules with the same text; −1 without one. */
  readonly when: number
  readonly key: RuleKey | null
  /** Whether the key says all that `when` does. */
  readonly isKeyEnough: boolean
}

/** Where the text of a capture stands in the levels of a topic. */
export interface CapturePlace {
  readonly name: string
  readonly level: number
}

/** A template as it stands in an index: what it comes to depends on the identity, the effect and its place. */
export interface IndexedTemplate {
  readonly number: number
  readonly template: TemplateLevel
  /** A deny takes any level where one value is unusable. */
  readonly strict: boolean
  readonly startsPattern: boolean
}

export function spansLevels(level: PatternLevel): boolean {
  return isTemplate(level) && level.parts.some((part) => typeof part !== 'string' && part.modifier === 'path')
}

/** The filter that an `eq` spells, which its deliveries are judged by; `undefined` when it spells none. */
export function spelledFilter(levels: readonly PatternLevel[]): PatternLevel[] | undefined {
  const spelled = levels.map((level): PatternLevel => (level === '+' ? ANY : level === '#' ? REST : level))
  const rest = spelled.indexOf(REST)
  if (rest !== -1 && rest < spelled.length - 1) return undefined
  return spelled.some((level) => typeof level === 'string' && /[+#]/.test(level)) ? undefined : spelled
}

/** A pattern whose variables are filled in. */
export interface FilledPattern {
  /** In canonical form, captures as `+`. */
  readonly levels: Levels
  readonly captures: readonly CapturePlace[]
}

function textsOf(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { eq, in: listed } = value as { eq?: string; in?: readonly string[] }
  return eq === undefined ? listed : [eq]
}

function elementsOf(value: unknown): readonly string[] | undefined {
  if (Array.isArray(value)) return value as readonly string[]
  return typeof value === 'object' && value !== null ? (value as { anyOf?: readonly string[] }).anyOf : undefined
}

/** Finds an equality condition that every identity must meet for `when` to hold. */
export function keyOf(when: WhenDocument): RuleKey | null {
  for (const member of keyedMembers) {
    const value = when[member]
    if (value === undefined) continue
    const values = member === 'groups' || member === 'scopes' ? elementsOf(value) : textsOf(value)
    if (values) return { member, values }
  }
  for (const part of when.allOf ?? []) {
    const key = keyOf(part)
    if (key) return key
  }
  return null
}

/** Whether `when` says nothing beside a key that was found in it. */
export function saysOnlyKey(when: WhenDocument, { member }: RuleKey): boolean {
  const [only, ...more] = Object.keys(when)
  if (only !== member || more.length > 0) return false
  const value = when[member]
  const hasTests = typeof value === 'object' && value !== null && !Array.isArray(value)
  return !hasTests || Object.keys(value).length === 1
}

/** The values by which an identity finds keyed rules. */
export function keyValues(identity: Identity, member: KeyedMember): readonly string[] {
  const value: unknown = Object.hasOwn(identity, member) ? identity[member] : undefined
  if (member === 'groups' || member === 'scopes')
    return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
  const text = comparableText(value)
  return text === undefined ? [] : [text]
}

/** Orders texts by code point, as reports are; `<` on strings would compare UTF-16 units. */
export function compareByCodePoint(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x === y) continue
    const isSurrogate = (c: number) => c >= 0xd800 && c <= 0xdfff
    if (isSurrogate(x) !== isSurrogate(y)) return isSurrogate(x) ? 1 : -1
    return x - y
  }
  return a.length - b.length
}
