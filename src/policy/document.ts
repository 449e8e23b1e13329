/** `schema` of a policy document. */
export const POLICY_SCHEMA = 'mqtt-policy/1'

export type Effect = 'allow' | 'deny'
export type Qos = 0 | 1 | 2

/** What a rule can name. A Will is a publish. */
export type RuleAction = 'publish' | 'subscribe' | 'receive' | 'connect' | 'unsubscribe'

/** Comparison of the text of an identity member: exactly one operator, `mode` aside. */
export type TextCondition =
  | string
  | { readonly eq: string }
  | { readonly in: readonly string[] }
  | { readonly glob: string }
  | { readonly regex: string; readonly mode?: 'full' | 'search' }
  | { readonly exists: boolean }
  | { readonly not: TextCondition }

/** Test of a set of the identity; a list means `anyOf`. */
export type SetCondition =
  | readonly string[]
  | {
      readonly anyOf?: readonly string[]
      readonly allOf?: readonly string[]
      readonly noneOf?: readonly string[]
      readonly anyPrefix?: readonly string[]
    }

/** All members must hold. Keys that are not listed are paths into the identity, or aliases of them. */
export interface WhenDocument {
  readonly type?: string | readonly string[]
  readonly auth?: string | readonly string[]
  readonly listener?: string | readonly string[]
  readonly protocol?: number | readonly number[]
  readonly tls?: boolean
  readonly ip?: string | readonly string[]
  readonly groups?: SetCondition
  readonly roles?: SetCondition
  readonly scopes?: SetCondition
  readonly anyOf?: readonly WhenDocument[]
  readonly allOf?: readonly WhenDocument[]
  readonly noneOf?: readonly WhenDocument[]
  readonly [path: string]: unknown
}

export type MatcherDocument =
  | string
  | { readonly filter: string; readonly dollar?: boolean }
  | { readonly eq: string }
  | { readonly regex: string; readonly subscribe?: 'semantic' | 'text'; readonly dollar?: boolean }

export interface RuleDocument {
  readonly id: string
  readonly description?: string
  readonly enabled?: boolean
  readonly effect: Effect
  readonly priority?: number
  readonly when?: WhenDocument
  readonly actions?: readonly RuleAction[]
  /** Absent with `connect`, required otherwise. */
  readonly topics?: readonly MatcherDocument[]
  readonly require?: readonly { readonly in: string; readonly any: readonly string[] }[]
  readonly qos?: readonly Qos[]
  readonly maxQos?: Qos
  readonly qosMode?: 'deny' | 'cap'
  readonly retain?: 'any' | 'forbid' | 'require' | 'strip'
  readonly shared?: 'any' | 'forbid' | 'require'
  readonly shareGroups?: readonly string[]
  readonly will?: boolean
  readonly overlap?: 'refuse' | 'filter'
}

export interface TestDocument {
  readonly name?: string
  readonly as: Readonly<Record<string, unknown>>
  readonly do: string
  readonly topic?: string
  readonly qos?: Qos
  readonly retain?: boolean
  readonly expect:
    | Effect
    | {
        readonly decision: Effect
        readonly reason?: string
        readonly rule?: string | null
        readonly qos?: Qos
        readonly retain?: boolean
      }
}

/** A policy as it is written: JSON, unknown members refused except under `x-…`. */
export interface PolicyDocument {
  readonly schema: typeof POLICY_SCHEMA
  readonly id: string
  readonly revision?: number
  readonly description?: string
  readonly default?:
    | Effect
    | {
        readonly publish?: Effect
        readonly subscribe?: Effect
        readonly connect?: Effect
        readonly unsubscribe?: Effect
      }
  readonly options?: {
    readonly subscribe?: 'strict' | 'filtered'
    readonly receive?: 'derive' | 'explicit'
    readonly maxTopicBytes?: number
    readonly maxTopicLevels?: number
    readonly rejectControlChars?: boolean
  }
  readonly aliases?: Readonly<Record<string, string>>
  readonly rules: readonly RuleDocument[]
  readonly tests?: readonly TestDocument[]
}
