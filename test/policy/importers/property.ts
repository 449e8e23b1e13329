import type { TestContext } from 'node:test'
import fc from 'fast-check'
import { propertySeed } from '../properties/seed.ts'

/** Holds for every value that is made; the seed is told, so that a run can be repeated. */
export function forEvery<T>(t: TestContext, values: fc.Arbitrary<T>, numRuns: number, holds: (value: T) => void): void {
  const seed = propertySeed()
  t.diagnostic(`seed ${seed}, ${numRuns} runs`)
  fc.assert(fc.property(values, holds), { seed, numRuns })
}
