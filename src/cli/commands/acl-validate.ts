import type { Command } from 'commander'
import { compilePolicy } from '../../policy/compile-policy.ts'
import { runTests } from '../../policy/simulate.ts'
import { counted } from '../counted.ts'
import { exit } from '../exit-codes.ts'
import { type Io, printable } from '../io.ts'
import { judgePolicyText, type LocatedProblem, locateProblems, MAX_FILE_BYTES, problemLine } from '../policy-file.ts'
import { failedTestText } from '../test-text.ts'
import { readTextFile } from '../text-file.ts'
import {
  addLintOptions,
  type LintCommandOptions,
  type LocatedWarning,
  lintFile,
  warningJson,
  warningLine,
} from './acl-lint.ts'

const EXAMPLES = `
Examples:
  $ sealwire acl validate policy.json
  $ sealwire acl validate policy.json --json | jq '.problems'
  $ sealwire acl get pol_… | sealwire acl validate -

Checks the form, then the meaning, then runs the tests in the document; what is valid is looked through for what is rarely
meant. Every problem comes with its place. Exit code 0 with or without warnings, 1 when it is not valid, 2 when it cannot
be read.`

interface Verdict {
  readonly problems: readonly LocatedProblem[]
  readonly warnings: readonly LocatedWarning[]
  /** `null` where they could not be read. */
  readonly rules: number | null
  readonly tests: { readonly run: number; readonly failed: number }
}

function judge(file: string, text: string, options: LintCommandOptions): Verdict {
  const { policy, problems } = judgePolicyText(text)
  if (!policy) return { problems, warnings: [], rules: null, tests: { run: 0, failed: 0 } }
  const results = runTests(compilePolicy(policy))
  const failed = results.flatMap((result, i) =>
    result.passed ? [] : [{ path: `tests[${i}]`, message: failedTestText(result) }],
  )
  return {
    problems: locateProblems(text, failed),
    warnings: lintFile({ file, text, policy }, options),
    rules: policy.rules.length,
    tests: { run: results.length, failed: failed.length },
  }
}

function summary({ problems, warnings, rules, tests }: Verdict): string {
  const wrong = problems.length > 0 ? `not valid: ${counted(problems.length, 'problem')}` : 'valid'
  if (rules === null) return wrong
  const failed = tests.failed > 0 ? `, ${tests.failed} of them failed` : ''
  const found = [counted(rules, 'rule'), `${counted(tests.run, 'test')}${failed}`, counted(warnings.length, 'warning')]
  return `${wrong}${problems.length > 0 ? '; ' : ': '}${found.join(', ')}`
}

function verdictJson({ problems, warnings, rules, tests }: Verdict): string {
  const told = problems.map(({ path, message, position }) => {
    return { path, message, line: position?.line ?? null, column: position?.column ?? null }
  })
  return JSON.stringify({
    valid: problems.length === 0,
    problems: told,
    warnings: warnings.map(warningJson),
    rules,
    tests,
  })
}

/** `sealwire acl validate FILE` says whether a policy could decide, and every place where it is wrong. */
export function addAclValidate(acl: Command, io: Io, setExitCode: (code: number) => void): void {
  addLintOptions(acl.command('validate <file>'))
    .description('check a policy, run the tests in it, and warn of what is rarely meant')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, options: LintCommandOptions) => {
      const verdict = judge(file, await readTextFile(io, file, MAX_FILE_BYTES), options)
      if (verdict.problems.length > 0) setExitCode(exit.failed)
      if (options.json) return io.out(verdictJson(verdict))
      for (const problem of verdict.problems) io.err(printable(problemLine('error', file, problem)))
      for (const warning of verdict.warnings) io.err(warningLine(file, warning))
      io.out(summary(verdict))
    })
}
