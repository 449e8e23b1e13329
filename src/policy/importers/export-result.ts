import type { PolicyProblem } from '../problems.ts'
import type { ImportNote } from './import-result.ts'

export type ExportResult =
  | { readonly text: string; readonly notes: readonly ImportNote[] }
  | { readonly text: undefined; readonly problems: readonly PolicyProblem[] }
