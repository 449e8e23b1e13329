import type { PolicyDocument } from '../document.ts'

/** What a preset is made of. */
export interface PresetSource {
  /** One sentence: who may do what. */
  readonly description: string
  /** Levels in front of every topic unless others are asked for; empty for none. */
  readonly namespace: string
  /** Writes the rules and the tests. `at` puts the namespace in front of a topic, `rule` makes it text of a pattern too. */
  write(at: {
    readonly topic: (rest: string) => string
    readonly rule: (rest: string) => string
  }): Omit<PolicyDocument, 'schema' | 'id' | 'description'>
}
