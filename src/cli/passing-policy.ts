import { compilePolicy } from '../policy/compile-policy.ts'
import { runTests } from '../policy/simulate.ts'
import type { PolicyDocument } from '../sdk/index.ts'
import type { Io } from './io.ts'
import { FileProblemsError, locateProblems, readPolicyFile } from './policy-file.ts'
import { failedTestText } from './test-text.ts'

/**
 * Reads a policy that may decide: one without problems, whose own tests pass.
 *
 * @throws {FileProblemsError} with every problem, or every test that failed
 */
export async function readPassingPolicy(io: Io, file: string): Promise<PolicyDocument> {
  const { policy, text } = await readPolicyFile(io, file)
  const failed = runTests(compilePolicy(policy)).flatMap((result, i) =>
    result.passed ? [] : [{ path: `tests[${i}]`, message: failedTestText(result) }],
  )
  if (failed.length > 0) throw new FileProblemsError(file, locateProblems(text, failed))
  return policy.document as unknown as PolicyDocument
}
