/** What is wrong with one place of a document. */
export interface GuardProblem {
  /** As in `inspection.patterns.custom-patterns[0].pattern`; empty for the document itself. */
  readonly path: string
  readonly message: string
}

/** Problems that are told at once; a document with more has more. */
const MAX_PROBLEMS = 100

/** Collects problems while a document is read to its end. */
export class Problems {
  readonly found: GuardProblem[] = []

  get full(): boolean {
    return this.found.length >= MAX_PROBLEMS
  }

  add(path: string, message: string): void {
    if (!this.full) this.found.push({ path, message })
  }
}

/** Longest text that is quoted in a message. */
const QUOTED = 64

/** Text of the document as a message shows it. */
export function quote(text: string): string {
  return JSON.stringify(text.length <= QUOTED ? text : `${text.slice(0, QUOTED).toWellFormed()}…`)
}

/** What a value is, in words that complete "must be text, is …"; never the value itself. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
