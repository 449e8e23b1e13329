import fs from 'node:fs'
import path from 'node:path'
import { listSources, readSource } from '../../test/arch/read-source.ts'

/**
 * What a test file needs: from outside this repository, but for `database`, our own PostgreSQL, and `time`, for cases that are
 * drawn by the thousand.
 */
export type Need =
  | 'database'
  | 'mosquitto'
  | 'mosquitto-plugin'
  | 'java'
  | 'openssl'
  | 'postgres'
  | 'browser'
  | 'netns'
  | 'vectors'
  | 'time'

export interface TestFile {
  /** Relative to the root of the repository, with forward slashes. */
  file: string
  needs: ReadonlySet<Need>
}

/** How a need shows in the sources under `test/`: the support for it, a package, or a variable that is read. */
const signs: readonly { need: Need; file?: string; package?: string; variable?: string }[] = [
  { need: 'database', file: 'test/support/database.ts' },
  { need: 'mosquitto', file: 'test/support/mosquitto.ts' },
  { need: 'mosquitto-plugin', file: 'test/support/mosquitto-plugin/build.ts' },
  { need: 'java', file: 'test/support/java/jdk.ts' },
  { need: 'openssl', file: 'test/support/certificates.ts' },
  { need: 'netns', file: 'test/support/network-namespace.ts' },
  { need: 'browser', package: 'playwright-core' },
  { need: 'time', package: 'fast-check' },
  { need: 'postgres', variable: 'SEALWIRE_TEST_POSTGRES_URL' },
  { need: 'vectors', variable: 'SEALWIRE_VECTORS' },
]

/**
 * Lists the test files whose path contains one of the filters (none: all), each with what it and the files under `test/`
 * that it imports need. Sorted, so that a run can be repeated.
 */
export function listTestFiles(root: string, filters: readonly string[] = []): TestFile[] {
  const wanted = filters.map((filter) => path.relative(root, path.resolve(root, filter)).split(path.sep).join('/'))
  return listSources(path.join(root, 'test'))
    .map((file) => `test/${file}`)
    .filter(
      (file) => file.endsWith('.test.ts') && (wanted.length === 0 || wanted.some((filter) => file.includes(filter))),
    )
    .map((file) => ({ file, needs: needsOf(root, file) }))
}

function needsOf(root: string, file: string): ReadonlySet<Need> {
  const needs = new Set<Need>()
  const seen = new Set<string>()
  const visit = (place: string) => {
    if (seen.has(place) || !place.startsWith('test/') || !fs.existsSync(path.join(root, place))) return
    seen.add(place)
    if (!place.endsWith('.ts')) return
    const { imports, variables } = readSource(fs.readFileSync(path.join(root, place), 'utf8'), place)
    for (const sign of signs) {
      const isPackageUsed = sign.package !== undefined && imports.includes(sign.package)
      const isVariableRead = sign.variable !== undefined && variables.includes(sign.variable)
      if (sign.file === place || isPackageUsed || isVariableRead) needs.add(sign.need)
    }
    for (const name of imports) {
      if (name.startsWith('#test/')) visit(name.slice(1))
      else if (name.startsWith('.')) visit(path.posix.join(path.posix.dirname(place), name))
    }
  }
  visit(file)
  return needs
}

/** Tests that start commands, databases or threads of their own, or work through tables, random cases or every bit: they take their time. */
const SLOW =
  /^test\/((ops|cli|faults|guards|identity|broker-auth|policy\/(importers|properties|regex))\/|(db\/embedded|envelope\/(every-bit|tamper)|kms\/aws|messaging\/pool-(storms|turns)|signing\/crypto-threads)\.)/

/** A unit test needs nothing but this repository, and is done in a moment. */
export function isUnitTest({ file, needs }: TestFile): boolean {
  return needs.size === 0 && !SLOW.test(file)
}
