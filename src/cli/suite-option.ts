import { Option } from 'commander'
import { ML_KEM_SUITE, type SuiteName, X_WING_SUITE } from '../sdk/index.ts'

const suites: ReadonlyMap<string, SuiteName> = new Map([
  ['ml-kem-768', ML_KEM_SUITE],
  ['x-wing', X_WING_SUITE],
])

/** `--suite`, by the name of its KEM. */
export function suiteOption(description: string): Option {
  return new Option('--suite <suite>', description).choices([...suites.keys()])
}

/** The suite behind what `--suite` was given. */
export function suiteOf(word: string | undefined): { suite?: SuiteName } {
  const suite = word === undefined ? undefined : suites.get(word)
  return suite ? { suite } : {}
}

/** What `--suite` calls a suite; the whole name of one that it does not know. */
export function shortSuite(name: string): string {
  return [...suites].find(([, suite]) => suite === name)?.[0] ?? name
}
