import type { Qos } from './document.ts'
import type { TopicProblem } from './topic-syntax.ts'

/** What a client can ask for. Any other word is refused as `invalid-action`. */
export const accessActions = ['publish', 'will', 'subscribe', 'receive', 'connect', 'unsubscribe'] as const

export type AccessAction = (typeof accessActions)[number]

export interface AccessRequest {
  readonly action: AccessAction
  /** The topic name; for `subscribe` and `unsubscribe` the filter as sent, share prefix included; `''` for `connect`. */
  readonly topic: string
  /** Requested; 0 when absent. */
  readonly qos?: Qos
  readonly retain?: boolean
}

export type Reason =
  | 'rule'
  | 'default'
  | 'filtered'
  | 'deny-overlap'
  | 'qos-exceeds'
  | 'invalid-action'
  | `invalid-topic:${TopicProblem}`

export interface Decision {
  readonly decision: 'allow' | 'deny'
  readonly reason: Reason
  /** Id of the rule that decided; the smallest one where several did. */
  readonly rule: string | null
  /** Forwarded QoS of a publish or Will, granted QoS of a subscription; `null` else. */
  readonly qos: Qos | null
  /** Forwarded retain flag of a publish or Will; `null` else. */
  readonly retain: boolean | null
}
