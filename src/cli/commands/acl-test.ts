import type { Command } from 'commander'
import { compilePolicy } from '../../policy/compile-policy.ts'
import { POLICY_SCHEMA } from '../../policy/document.ts'
import { parsePolicy } from '../../policy/parse-policy.ts'
import { isJsonObject, quote } from '../../policy/problems.ts'
import type { PolicyTest } from '../../policy/rule.ts'
import { runTest, type TestResult } from '../../policy/simulate.ts'
import { exit } from '../exit-codes.ts'
import { type Io, printable } from '../io.ts'
import {
  FileProblemsError,
  locateProblems,
  problemLine,
  readJsonFile,
  readPolicyFile,
  refuseTwoStdins,
} from '../policy-file.ts'
import { failedTestText } from '../test-text.ts'

interface Options {
  tests?: string[]
  quiet?: true
}

const EXAMPLES = `
Examples:
  $ sealwire acl test policy.json
  $ sealwire acl test policy.json --tests regressions.json more.json

A file of tests is a list of them, or an object with the list as "tests":
  [{"name": "own topic", "as": {"clientId": "d1"}, "do": "publish", "topic": "sensors/d1/t", "expect": "allow"},
   {"as": {}, "do": "subscribe", "topic": "#", "expect": {"decision": "deny", "reason": "default"}}]
Exit code 0 when all pass, 1 when one fails or there is none, 2 when a file cannot be read.`

/** Tests with the file that they are in, and with what stands before their number in it. */
interface Batch {
  readonly file: string
  readonly text: string
  readonly tests: readonly PolicyTest[]
  readonly prefix: string
}

/** Reads a file of tests in the form that a policy has them in. */
async function readBatch(io: Io, file: string): Promise<Batch> {
  const { text, json } = await readJsonFile(io, file)
  const isList = Array.isArray(json)
  const tests: unknown = isList ? json : isJsonObject(json) ? json['tests'] : undefined
  if (tests === undefined) {
    const message = 'must be a list of tests, or an object with a list as "tests"'
    throw new FileProblemsError(file, locateProblems(text, [{ path: '', message }]))
  }
  const { policy, problems } = parsePolicy({ schema: POLICY_SCHEMA, id: 'tests', rules: [], tests })
  const prefix = isList ? '' : 'tests'
  if (policy) return { file, text, tests: policy.tests, prefix }
  const here = problems.map(({ path, message }) => ({ path: isList ? path.replace(/^tests/, '') : path, message }))
  throw new FileProblemsError(file, locateProblems(text, here))
}

/** `sealwire acl test FILE` runs the tests of a policy, and those of other files. */
export function addAclTest(acl: Command, io: Io, setExitCode: (code: number) => void): void {
  acl
    .command('test <file>')
    .description('run the tests in a policy, and those of other files')
    .option('--tests <file...>', 'files of tests to run as well')
    .option('--quiet', 'print only what fails')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, { tests: files = [], quiet }: Options) => {
      refuseTwoStdins(file, ...files)
      const { policy, text } = await readPolicyFile(io, file)
      const batches: Batch[] = [{ file, text, tests: policy.tests, prefix: 'tests' }]
      for (const one of files) batches.push(await readBatch(io, one))
      const compiled = compilePolicy(policy)
      let [run, failed] = [0, 0]
      for (const batch of batches) {
        const results = batch.tests.map((test) => runTest(compiled, test))
        run += results.length
        failed += tellResults(io, batch, results, quiet === true)
      }
      if (run === 0) {
        const hint =
          'add "tests": [{"as": {…}, "do": "publish", "topic": "…", "expect": "allow"}] to the policy, or pass --tests FILE'
        io.err(`error: there is no test in ${[file, ...files].join(', ')}\nhint: ${hint}`)
      }
      if (failed > 0 || run === 0) setExitCode(exit.failed)
      io.out(`${run - failed} passed, ${failed} failed`)
    })
}

/** Returns the number of tests that failed. */
function tellResults(io: Io, { file, text, prefix }: Batch, results: readonly TestResult[], isQuiet: boolean): number {
  const failed: { path: string; message: string }[] = []
  for (const [i, result] of results.entries()) {
    if (!result.passed) failed.push({ path: `${prefix}[${i}]`, message: failedTestText(result) })
    else if (!isQuiet) io.out(printable(`passed ${quote(result.name)}`))
  }
  for (const problem of locateProblems(text, failed)) io.err(printable(problemLine('error', file, problem)))
  return failed.length
}
