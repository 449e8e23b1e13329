import { commandPatterns } from './command-patterns.ts'
import type { AttackClass } from './guards-config.ts'
import { scriptPatterns } from './script-patterns.ts'
import { sqlPatterns } from './sql-patterns.ts'

/** `../` counts where a path or a part of one begins, and NUL wherever it was encoded. */
const pathPatterns: readonly string[] = [String.raw`(?:^|[^\w.])\.\.(?:;[^/\\\s]*)?[/\\]`, String.raw`\x00`]

/** In the order in which they are reported. */
export const attackClasses = ['sqli', 'cmd', 'xss', 'path'] as const satisfies readonly AttackClass[]

/** What each class looks for, in RE2 syntax and whatever the case. */
export const attackPatterns: Readonly<Record<AttackClass, readonly string[]>> = {
  sqli: sqlPatterns,
  cmd: commandPatterns,
  xss: scriptPatterns,
  path: pathPatterns,
}
