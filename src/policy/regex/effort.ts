/**
 * What regexes may still cost one decision, in steps of their automata: all that are tried share it. When it is used up, an
 * allow does not match and a deny does.
 */
export interface Effort {
  left: number
}

/** Tens of milliseconds, reached by hostile policies only: an ordinary match costs tens of steps, a comparison with a filter hundreds. */
export const DECISION_EFFORT = 1_000_000

export function fullEffort(): Effort {
  return { left: DECISION_EFFORT }
}
