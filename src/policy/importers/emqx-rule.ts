import type { Effect, Qos, WhenDocument } from '../document.ts'

/** A rule of EMQX in either form, read but not yet translated. */
export interface EmqxRule {
  readonly path: string
  readonly effect: Effect
  /** `undefined`: everybody. */
  readonly when: WhenDocument | undefined
  readonly publish: boolean
  readonly subscribe: boolean
  /** `undefined`: any. */
  readonly qos: readonly Qos[] | undefined
  readonly retain: boolean | undefined
  readonly topics: readonly EmqxTopic[]
}

export interface EmqxTopic {
  readonly path: string
  readonly text: string
  /** Compares the text, wildcards and all. */
  readonly isEq: boolean
}
