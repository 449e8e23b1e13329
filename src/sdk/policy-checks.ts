import type { CallOptions, Connection } from './connection.ts'
import { fromWire, toWire } from './wire-names.ts'

/** A policy of schema `mqtt-policy/1`; its members are named as there. */
export type PolicyDocument = Readonly<Record<string, unknown>>

/** Something wrong with a document; `path` is such as `rules[3].topics[0]`, empty for the whole. */
export interface PolicyProblem {
  path: string
  message: string
}

export interface PolicyVerdict {
  valid: boolean
  /** At most 100; tests that failed are among them. */
  problems: PolicyProblem[]
  warnings: (PolicyProblem & { code: string })[]
  rules: number
  tests: { run: number; failed: number }
}

export type AccessAction = 'publish' | 'will' | 'subscribe' | 'receive' | 'connect' | 'unsubscribe'

export interface SimulationInput {
  /** Either this or `document`. */
  policyId?: string
  /** Of that policy; the active one by default. */
  revision?: number
  document?: PolicyDocument
  /** Who asks; members are named as in policies. */
  identity: Readonly<Record<string, unknown>>
  /** 1 to 1,000. */
  requests: readonly { action: AccessAction; topic?: string; qos?: 0 | 1 | 2; retain?: boolean }[]
  /** Whether the surface can check each delivery; `true` by default. */
  delivery?: boolean
  /** A step for each rule beside each decision; `true` by default. */
  trace?: boolean
}

/** What became of one rule. */
export interface TraceStep {
  rule: string
  effect: 'allow' | 'deny'
  priority: number
  applies: boolean
  /** `matched`, or why it was passed over. */
  why: string
  pattern: string | null
  /** A topic name that shows it. */
  example: string | null
}

export interface AccessDecision {
  decision: 'allow' | 'deny'
  reason: string
  /** Id of the rule that decided. */
  rule: string | null
  qos: 0 | 1 | 2 | null
  retain: boolean | null
  trace?: TraceStep[]
}

export interface Simulation {
  /** `null` for a document that is not stored. */
  policyId: string | null
  revision: number | null
  /** In the order of the requests. */
  decisions: AccessDecision[]
}

export type ImportDialect =
  | 'sentinel'
  | 'celine'
  | 'celine-scopes'
  | 'tbmq'
  | 'cloudsignal'
  | 'mosquitto'
  | 'mosquitto-dynsec'
  | 'emqx'
  | 'aws'

export interface ImportInput {
  dialect: ImportDialect
  /** The source: a text, or JSON as it is. */
  input: unknown
  options?: {
    /** Id of the document. */
    id?: string
    /** CloudSignal: the first rule that matches decides. */
    ordered?: boolean
    /** CloudSignal: takes the slash off the front of topics. */
    stripLeadingSlash?: boolean
  }
}

export interface ImportedPolicy {
  document: PolicyDocument
  /** Places of the source that mean something else in the document. */
  notes: { path: string; kind: 'stricter' | 'ambiguous' | 'dropped' | 'changed'; message: string }[]
}

/** A document to begin with. */
export interface PolicyPreset {
  name: string
  description: string
  document: PolicyDocument
}

const PATH = '/api/v2/policies'

/** Renames every member but the document, whose members belong to its author. */
export function besideDocument<T>(data: unknown): T & { document: PolicyDocument } {
  const { document, ...members } = data as { document: PolicyDocument }
  return { ...(fromWire(members) as T), document }
}

/** What can be asked about documents without storing one. */
export function createPolicyChecks({ call }: Pick<Connection, 'call'>) {
  return {
    /** Checks a document and runs its tests; stores nothing. */
    async validate(document: PolicyDocument, options?: CallOptions): Promise<PolicyVerdict> {
      const request = { method: 'POST', path: `${PATH}/validate`, body: { document }, repeatable: true } as const
      return fromWire(await call(request, options)) as PolicyVerdict
    },

    /** Decides requests as the surfaces would, and says why; does nothing else. */
    async simulate({ policyId, ...input }: SimulationInput, options?: CallOptions): Promise<Simulation> {
      const body = { policy_id: policyId, ...input }
      const request = { method: 'POST', path: `${PATH}/simulate`, body, repeatable: true } as const
      return fromWire(await call(request, options)) as Simulation
    },

    /** Translates the rules of another product; stores nothing. */
    async import({ dialect, input, options: more }: ImportInput, options?: CallOptions): Promise<ImportedPolicy> {
      const body = { dialect, input, options: toWire(more) }
      const request = { method: 'POST', path: `${PATH}/import`, body, repeatable: true } as const
      return besideDocument<Omit<ImportedPolicy, 'document'>>(await call(request, options))
    },

    /** Documents to begin with; `namespace` are the levels in front of every topic. */
    async presets({ namespace }: { namespace?: string } = {}, options?: CallOptions): Promise<PolicyPreset[]> {
      const query = namespace === undefined ? '' : `?namespace=${encodeURIComponent(namespace)}`
      return (await call({ method: 'GET', path: `${PATH}/presets${query}` }, options)) as PolicyPreset[]
    },
  }
}
