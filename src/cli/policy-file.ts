import { AppError } from '../core/errors.ts'
import { type JsonLimits, parseStrictJson } from '../core/strict-json.ts'
import { locateAll, type Position, positionAt } from '../policy/locate.ts'
import { parsePolicy } from '../policy/parse-policy.ts'
import type { PolicyProblem } from '../policy/problems.ts'
import type { Policy } from '../policy/rule.ts'
import { type Io, MisuseError } from './io.ts'
import { findJsonFault } from './json-fault.ts'
import { readTextFile } from './text-file.ts'

export const MAX_FILE_BYTES = 16 * 1024 * 1024
/** What 100,000 rules need; `when` nests up to 8 deep, and claims of tests deeper. */
const LIMITS: JsonLimits = { maxDepth: 64, maxMembers: 2_000_000 }

export interface LocatedProblem extends PolicyProblem {
  /** Where in the file; `null` where that is not known. */
  readonly position: Position | null
}

/** A problem of a file in one line, as editors and other tools understand it. */
export function problemLine(
  kind: 'error' | 'warning',
  file: string,
  { path, message, position }: LocatedProblem,
): string {
  const place = position ? `:${position.line}:${position.column}` : ''
  return `${kind}: ${file}${place}: ${path === '' ? '' : `${path}: `}${message}`
}

/** What is wrong with a file, one line for each problem: exit code 1. */
export class FileProblemsError extends Error {
  override readonly name = 'FileProblemsError'
  readonly lines: readonly string[]

  constructor(file: string, problems: readonly LocatedProblem[]) {
    super(`${file} is not valid`)
    this.lines = problems.map((problem) => problemLine('error', file, problem))
  }
}

/** Finds the places of problems in the text of their document. */
export function locateProblems<P extends PolicyProblem>(text: string, problems: readonly P[]): (P & LocatedProblem)[] {
  const positions = locateAll(
    text,
    problems.map(({ path }) => path),
  )
  return problems.map((problem, i) => ({ ...problem, position: positions[i] ?? null }))
}

type ParsedJson =
  | { readonly json: unknown; readonly problem: undefined }
  | { readonly json: undefined; readonly problem: LocatedProblem }

/** Parses JSON of any origin: every limit and every fault becomes a problem with its place. */
export function parseJsonText(text: string): ParsedJson {
  try {
    return { json: parseStrictJson(text, LIMITS), problem: undefined }
  } catch (err) {
    if (!(err instanceof AppError)) throw err
    const message = err.message.replace(/^Body: |\.$/g, '')
    const isLimit = /deeper than|more than|occurs twice/.test(message) // of a text that may well be JSON
    const fault = isLimit ? undefined : findJsonFault(text)
    if (!fault) return { json: undefined, problem: { path: '', message, position: null } }
    const position = positionAt(text, fault.offset)
    return { json: undefined, problem: { path: '', message: `not JSON: ${fault.message}`, position } }
  }
}

/** @throws {FileProblemsError} */
export async function readJsonFile(io: Io, file: string): Promise<{ text: string; json: unknown }> {
  const text = await readTextFile(io, file, MAX_FILE_BYTES)
  const { json, problem } = parseJsonText(text)
  if (problem) throw new FileProblemsError(file, [problem])
  return { text, json }
}

export type JudgedPolicy =
  | { readonly policy: Policy; readonly problems: readonly [] }
  | { readonly policy: undefined; readonly problems: readonly LocatedProblem[] }

/** Parses the text of a policy; every problem comes with its place. */
export function judgePolicyText(text: string): JudgedPolicy {
  const { json, problem } = parseJsonText(text)
  if (problem) return { policy: undefined, problems: [problem] }
  const { policy, problems } = parsePolicy(json)
  return policy ? { policy, problems: [] } : { policy: undefined, problems: locateProblems(text, problems) }
}

export interface PolicyFile {
  readonly file: string
  readonly text: string
  readonly policy: Policy
}

/** Reads a policy that has no problems. @throws {FileProblemsError} with all of them */
export async function readPolicyFile(io: Io, file: string): Promise<PolicyFile> {
  const text = await readTextFile(io, file, MAX_FILE_BYTES)
  const { policy, problems } = judgePolicyText(text)
  if (!policy) throw new FileProblemsError(file, problems)
  return { file, text, policy }
}

/** Refuses to read two things from standard input. */
export function refuseTwoStdins(...files: readonly (string | undefined)[]): void {
  if (files.filter((file) => file === '-').length > 1) throw new MisuseError('Only one file can be standard input.')
}
