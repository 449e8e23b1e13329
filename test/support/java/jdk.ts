import { spawnSync } from 'node:child_process'
import { findCommand } from '../../../scripts/test/run-command.ts'

/** Finds a `java` that can run a source file as it is, which needs Java's compiler. */
export function findJava(): string | undefined {
  const java = findCommand(['java'])
  if (java === undefined) return undefined
  const { status, stdout } = spawnSync(java, ['--list-modules'], { encoding: 'utf8' })
  return status === 0 && stdout.includes('jdk.compiler') ? java : undefined
}
