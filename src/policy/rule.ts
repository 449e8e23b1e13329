import type { AccessAction } from './access.ts'
import type { Effect, PolicyDocument, Qos, RuleAction, RuleDocument, TestDocument } from './document.ts'
import type { Identity } from './identity.ts'
import type { ANY, REST } from './levels.ts'
import type { RegexPart } from './regex/check-regex.ts'
import type { TemplatePart, Variable } from './template.ts'
import type { SyntaxLimits } from './topic-syntax.ts'

/** `+:name`: one level, whose text a `require` can name. */
export interface Capture {
  readonly capture: string
}

/** A level with variables in it; with `|path` it may come to several levels. */
export interface TemplateLevel {
  readonly parts: readonly TemplatePart[]
  /** As written. */
  readonly text: string
}

export type PatternLevel = string | typeof ANY | typeof REST | Capture | TemplateLevel

export function isCapture(level: PatternLevel): level is Capture {
  return typeof level === 'object' && 'capture' in level
}

export function isTemplate(level: PatternLevel): level is TemplateLevel {
  return typeof level === 'object' && 'parts' in level
}

export interface FilterMatcher {
  readonly kind: 'filter'
  readonly text: string
  readonly levels: readonly PatternLevel[]
  readonly dollar: boolean
}

/** Compares the text of a filter level by level; `+` and `#` are ordinary text here. */
export interface EqMatcher {
  readonly kind: 'eq'
  readonly text: string
  readonly levels: readonly (string | Capture | TemplateLevel)[]
}

export interface RegexMatcher {
  readonly kind: 'regex'
  readonly text: string
  readonly parts: readonly RegexPart[]
  /** The variables that stand in the holes of `parts`, by number. */
  readonly variables: readonly Variable[]
  readonly subscribe: 'semantic' | 'text'
  /** The rule of section 3: whether names that begin with `$` are looked at, the pattern's own literal `$` included. */
  readonly dollar: boolean
}

export type Matcher = FilterMatcher | EqMatcher | RegexMatcher

/** One member of `when`. */
export interface WhenMember {
  readonly key: string
  readonly holds: (identity: Identity) => boolean
}

/** Each requirement is met when some template, rendered with captures, is an element of the identity's array at `path`. */
export interface Requirement {
  readonly path: readonly string[]
  readonly pathText: string
  readonly templates: readonly (readonly (string | Capture)[])[]
}

/** A share group: text, or text around one variable. */
export type ShareGroup = readonly TemplatePart[]

/** A rule that has been checked, with every default filled in. */
export interface Rule {
  readonly id: string
  readonly effect: Effect
  readonly enabled: boolean
  readonly priority: number
  readonly actions: ReadonlySet<RuleAction>
  readonly when: readonly WhenMember[]
  readonly matchers: readonly Matcher[]
  readonly require: readonly Requirement[]
  /** `null`: any. */
  readonly qos: readonly Qos[] | null
  /** `null`: no limit. */
  readonly maxQos: Qos | null
  readonly qosMode: 'deny' | 'cap'
  readonly retain: 'any' | 'forbid' | 'require' | 'strip'
  readonly shared: 'any' | 'forbid' | 'require'
  /** `null`: any group. */
  readonly shareGroups: readonly ShareGroup[] | null
  readonly will: boolean
  readonly overlap: 'refuse' | 'filter'
  readonly document: RuleDocument
}

export interface PolicyOptions extends SyntaxLimits {
  readonly subscribe: 'strict' | 'filtered'
  readonly receive: 'derive' | 'explicit'
}

/** A case that the document brings to judge itself by. */
export interface PolicyTest {
  readonly name: string
  readonly as: Identity
  readonly do: AccessAction
  readonly topic: string
  readonly qos: Qos
  readonly retain: boolean
  readonly expect: Exclude<TestDocument['expect'], Effect>
}

/** A policy document that has been checked. */
export interface Policy {
  readonly document: PolicyDocument
  readonly id: string
  readonly revision: number | null
  readonly defaults: Readonly<Record<'publish' | 'subscribe' | 'connect' | 'unsubscribe', Effect>>
  readonly options: PolicyOptions
  readonly rules: readonly Rule[]
  readonly tests: readonly PolicyTest[]
}
