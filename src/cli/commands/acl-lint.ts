import type { Command } from 'commander'
import { type LintOptions, lintPolicy } from '../../policy/lint.ts'
import { type Io, printable } from '../io.ts'
import { locateProblems, type PolicyFile, problemLine, readPolicyFile } from '../policy-file.ts'

export interface LintCommandOptions {
  provides?: string[]
  /** `false` with --no-delivery; commander says `true` where nothing was said, which is not known. */
  delivery: boolean
  json?: true
}

const EXAMPLES = `
Examples:
  $ sealwire acl lint policy.json
  $ sealwire acl lint policy.json --provides username claims.email groups
  $ sealwire acl lint policy.json --no-delivery              for the hooks of EMQX, RabbitMQ, VerneMQ and TBMQ

Warns of what is allowed, but rarely meant, and says what to write instead. Warnings leave the exit code at 0.`

/** Adds the options that say what is known of the place where a policy decides. */
export function addLintOptions(command: Command): Command {
  return command
    .option('--provides <member...>', 'members of the identity that authentication always brings, such as claims.email')
    .option('--no-delivery', 'the policy decides where no delivery is checked')
}

export function lintOptions({ provides, delivery }: LintCommandOptions): LintOptions {
  return { ...(provides && { provides }), ...(!delivery && { delivery }) }
}

/** The warnings of a policy with their places. */
export function lintFile({ text, policy }: PolicyFile, options: LintCommandOptions) {
  return locateProblems(text, lintPolicy(policy, lintOptions(options)))
}

export type LocatedWarning = ReturnType<typeof lintFile>[number]

export function warningLine(file: string, warning: LocatedWarning): string {
  return printable(`${problemLine('warning', file, warning)} [${warning.code}]`)
}

/** A warning as JSON. */
export function warningJson({ code, path, message, position }: LocatedWarning) {
  return { code, path, message, line: position?.line ?? null, column: position?.column ?? null }
}

/** `sealwire acl lint FILE` prints a line for each place of a policy that is rarely meant. */
export function addAclLint(acl: Command, io: Io): void {
  addLintOptions(acl.command('lint <file>'))
    .description('look for what is allowed, but rarely meant')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (file: string, options: LintCommandOptions) => {
      const warnings = lintFile(await readPolicyFile(io, file), options)
      if (options.json) io.out(JSON.stringify(warnings.map(warningJson)))
      else for (const warning of warnings) io.out(warningLine(file, warning))
      if (warnings.length === 0) io.err('no warnings')
    })
}
