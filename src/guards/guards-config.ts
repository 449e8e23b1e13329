import type { Secret } from '../core/secret.ts'
import type { Qos } from '../policy/document.ts'
import type { PayloadSchema } from './payload-schema.ts'
import type { Searcher } from './searcher.ts'
import type { TopicFilters } from './topic-filters.ts'

/** Capacities and rates of one pair of buckets. */
export interface Limit {
  /** 0: messages are not limited. */
  readonly messagesPerSecond: number
  /** 0: bytes are not limited. */
  readonly bytesPerSecond: number
  /** At least 1. */
  readonly burst: number
}

export interface RateLimitConfig {
  readonly enabled: boolean
  readonly global: Limit | null
  readonly perClient: Limit | null
  readonly perTopic: readonly { readonly topic: string; readonly limit: Limit }[]
  readonly keyBy: 'client_id' | 'username' | 'client_ip'
}

export interface QosConfig {
  readonly enabled: boolean
  readonly maxQos: Qos
  readonly downgrade: boolean
  readonly perTopic: readonly { readonly topic: string; readonly maxQos: Qos }[]
}

export interface RetainedConfig {
  readonly enabled: boolean
  readonly allowRetained: boolean
  readonly allowedTopics: TopicFilters
  readonly blockedTopics: TopicFilters
  /** Bytes, inclusive; `null` for no limit of its own. */
  readonly maxSize: number | null
}

export type AttackClass = 'sqli' | 'cmd' | 'xss' | 'path'
/** From the lowest to the highest. */
export const severities = ['low', 'medium', 'high', 'critical'] as const
export type Severity = (typeof severities)[number]

export interface CustomPattern {
  readonly name: string
  readonly severity: Severity
  readonly searcher: Searcher
}

export interface SchemaConfig {
  readonly topics: TopicFilters
  readonly blockOnFailure: boolean
  readonly schema: PayloadSchema
}

export interface InspectionConfig {
  readonly enabled: boolean
  /** Bytes, inclusive; 0 for no limit of its own. */
  readonly maxPayloadSize: number
  readonly classes: readonly AttackClass[]
  readonly customPatterns: readonly CustomPattern[]
  readonly jsonSchema: SchemaConfig | null
  readonly blockBinary: boolean
  readonly excludeTopics: TopicFilters
}

export interface GeneralConfig {
  readonly blockMode: boolean
  readonly failOpen: boolean
  readonly logPackets: boolean
  readonly protocolVersions: readonly ProtocolVersion[]
}

export type ProtocolVersion = '3.1' | '3.1.1' | '5.0'

/** The guards of an integration, or of a gateway: checked, complete, its patterns and schema compiled. */
export interface GuardsConfig {
  readonly rateLimit: RateLimitConfig
  readonly qos: QosConfig
  readonly retained: RetainedConfig
  readonly inspection: InspectionConfig
  readonly general: GeneralConfig
}

export type AuthProvider =
  | { readonly type: 'file'; readonly path: string; readonly hotReload: boolean }
  | {
      readonly type: 'jwt'
      readonly issuer: string | null
      readonly audience: string | null
      readonly jwksUrl: string | null
      readonly secret: Secret | null
      readonly usernameClaim: string
    }
  | {
      readonly type: 'http'
      readonly url: string
      readonly timeoutMs: number
      readonly headers: Readonly<Record<string, Secret>>
    }
  | { readonly type: 'certificate'; readonly extractFrom: CertificateField }

export type CertificateField = 'common_name' | 'subject_alternative_name' | 'serial_number'

export interface AuthConfig {
  readonly enabled: boolean
  readonly allowAnonymous: boolean
  readonly providers: readonly AuthProvider[]
  readonly clientIdPattern: Searcher | null
  readonly minClientIdLength: number
  readonly maxClientIdLength: number
}

export interface AclRule {
  readonly name: string
  readonly match?: Readonly<Record<string, unknown>>
  readonly topics: readonly string[]
  readonly actions?: readonly string[]
  readonly decision: 'allow' | 'deny'
  readonly 'max-qos'?: Qos
  readonly priority?: number
}

/** The section as it is written, its shape checked and its defaults filled in: an importer makes a policy of it. */
export interface AclConfig {
  readonly enabled: boolean
  readonly 'default-action': 'allow' | 'deny'
  readonly rules: readonly AclRule[]
}

/** The whole document of a gateway. */
export interface GatewayConfig extends GuardsConfig {
  readonly auth: AuthConfig
  readonly acl: AclConfig
}
