import { checkEngineAgainstModel } from '#test/policy/properties/engine-equals-model.ts'
import { checkStrictAllows } from '#test/policy/properties/strict-allow.ts'
import { Tally } from '#test/policy/properties/tally.ts'
import type { SoakPart } from './soak-part.ts'

const WANTED = 1_000_000
/** Documents at a time: well below a second, so that progress shows. */
const CHUNK = 200

interface Subject {
  readonly title: string
  /** What a run counts towards the million. */
  readonly counted: string
  check(options: { seed: number; numRuns: number }, tally: Tally): void
}

const subjects: readonly Subject[] = [
  { title: 'strict allows are sound', counted: 'policies × filters', check: checkStrictAllows },
  { title: 'the engine equals the model', counted: 'pairs', check: checkEngineAgainstModel },
]

/** The properties of the policy engine that `npm test` looks at, until each has seen a million cases. */
export const policyPart: SoakPart = {
  name: 'policy',
  async run(seed, report) {
    const counts: Record<string, Record<string, number>> = {}
    for (const { title, counted, check } of subjects) {
      const tally = new Tally()
      const done = () => tally.counts.get(counted) ?? 0
      for (let chunk = 0; done() < WANTED; chunk++) {
        // The first chunk is the one that `SEALWIRE_SEED=… npm test` repeats.
        check({ seed: seed + chunk, numRuns: CHUNK }, tally)
        await report(title, done(), WANTED)
      }
      counts[title] = Object.fromEntries(tally.counts)
    }
    return counts
  },
}
