import { AppError } from '../core/errors.ts'
import type { AccessRequest, Decision } from '../policy/access.ts'
import { compilePolicy } from '../policy/compile-policy.ts'
import { createSession } from '../policy/decide.ts'
import type { PolicyDocument } from '../policy/document.ts'
import type { TraceStep } from '../policy/explain.ts'
import type { Identity } from '../policy/identity.ts'
import { type ImportDialect, importPolicy } from '../policy/importers/import-policy.ts'
import type { ImportNote, ImportOptions } from '../policy/importers/import-result.ts'
import { type LintWarning, lintPolicy } from '../policy/lint.ts'
import { parsePolicy } from '../policy/parse-policy.ts'
import type { PolicyProblem } from '../policy/problems.ts'
import { runTests, simulate } from '../policy/simulate.ts'
import { describeTest, invalidPolicy } from './invalid-policy.ts'

/** What a caller's document is asked, with the document as JSON text. */
export interface Jobs {
  examine: { job: ExaminationJob; result: Examination }
  simulate: { job: SimulationJob; result: Simulated[] }
  import: { job: ImportJob; result: Imported }
}

export interface ExaminationJob {
  readonly text: string
  /** Whether to look for what is rarely meant as well. */
  readonly lint: boolean
}

export interface Examination {
  /** Any, and the document is none; the rest is then empty. */
  readonly problems: readonly PolicyProblem[]
  readonly warnings: readonly LintWarning[]
  /** Number of embedded tests. */
  readonly tests: number
  readonly failed: number
  /** Those that failed, in words, at most 100. */
  readonly failedTests: readonly PolicyProblem[]
  readonly rules: number
}

export interface SimulationJob {
  readonly text: string
  readonly identity: Identity
  readonly requests: readonly AccessRequest[]
  /** Whether the surface can check deliveries. */
  readonly delivery: boolean
  /** Whether each decision comes with a step for every rule. */
  readonly trace: boolean
}

export interface ImportJob {
  readonly dialect: ImportDialect
  /** The source as JSON; a source that is no JSON is a string in it. */
  readonly json: string
  readonly options: ImportOptions
}

export interface Imported {
  readonly document: PolicyDocument
  /** What means something else here than there. */
  readonly notes: readonly ImportNote[]
}

export type Simulated = Decision & { readonly trace?: readonly TraceStep[] }

const MAX_TOLD = 100
/** Characters of JSON that the answer of a simulation may have. */
const MAX_ANSWER = 4 * 1024 * 1024

/** Parses and compiles a document, and runs its tests. */
export function examine({ text, lint }: ExaminationJob): Examination {
  const { policy, problems } = parsePolicy(JSON.parse(text))
  if (!policy) return { problems, warnings: [], tests: 0, failed: 0, failedTests: [], rules: 0 }
  const results = runTests(compilePolicy(policy))
  const failed = [...results.entries()].filter(([, { passed }]) => !passed)
  return {
    problems: [],
    warnings: lint ? lintPolicy(policy).slice(0, MAX_TOLD) : [],
    tests: results.length,
    failed: failed.length,
    failedTests: failed.slice(0, MAX_TOLD).map(([index, result]) => describeTest(result, index)),
    rules: policy.rules.length,
  }
}

/**
 * Decides requests one after another.
 *
 * @throws {AppError} `policy.invalid` for a document that is none; `request.invalid` when the answer would be too long
 */
export function simulateRequests(job: SimulationJob): Simulated[] {
  const { policy, problems } = parsePolicy(JSON.parse(job.text))
  if (!policy) throw invalidPolicy(problems)
  const compiled = compilePolicy(policy)
  const session = createSession(compiled, job.identity)
  let length = 0
  return job.requests.map((request) => {
    const decisions = job.trace
      ? simulate(compiled, job.identity, [request], job.delivery)
      : [session.decide(request, job.delivery)]
    const decision = decisions[0] as Simulated
    length += JSON.stringify(decision).length
    if (length <= MAX_ANSWER) return decision
    const instead = job.trace ? 'send fewer requests at once, or trace: false' : 'send fewer requests at once'
    throw new AppError('request.invalid', `requests: the answer would be longer than 4 MiB; ${instead}.`)
  })
}

/** Translates the rules of another product. @throws {AppError} `policy.invalid` with every problem */
export function importDocument({ dialect, json, options }: ImportJob): Imported {
  const imported = importPolicy(dialect, JSON.parse(json), options)
  if (imported.document === undefined) throw invalidPolicy(imported.problems)
  return imported
}
