import type { PolicyDocument } from '../document.ts'
import type { PolicyProblem } from '../problems.ts'

/** A place of the source that does not mean exactly the same in the document that was made of it. */
export interface ImportNote {
  /** Place in the source, as in `acl.rules[2].topics[0]` or `line 7`; empty for all of it. */
  readonly path: string
  /**
   * `stricter`: less is allowed than in the source. `ambiguous`: the source can be read in several ways. `dropped`: has no
   * counterpart, or no effect. `changed`: means something else in a spot that the message names.
   */
  readonly kind: 'stricter' | 'ambiguous' | 'dropped' | 'changed'
  readonly message: string
}

export type ImportResult =
  | { readonly document: PolicyDocument; readonly notes: readonly ImportNote[] }
  | { readonly document: undefined; readonly problems: readonly PolicyProblem[] }

export interface ImportOptions {
  /** Id of the document; the dialect when absent. */
  readonly id?: string
  /** CloudSignal "2.0": the first rule that matches decides. Without it a deny decides wherever it stands. */
  readonly ordered?: boolean
  /** CloudSignal: takes the slash off the front of topics. */
  readonly stripLeadingSlash?: boolean
}
