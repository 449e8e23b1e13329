import { quote } from '../policy/problems.ts'
import type { TestResult } from '../policy/simulate.ts'
import { decisionText } from './decision-text.ts'

/** What a test that failed expected, and what it got instead. */
export function failedTestText({ name, expected, actual }: TestResult): string {
  return `${quote(name)} expected ${decisionText(expected as Partial<typeof actual>)}; got ${decisionText(actual)}`
}
