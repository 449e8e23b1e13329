import { test } from 'node:test'
import { propertySeed } from './seed.ts'
import { checkStrictAllows } from './strict-allow.ts'
import { Tally } from './tally.ts'

test('a strict allow of a filter never contains a refused topic', (t) => {
  const seed = propertySeed()
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  checkStrictAllows({ seed, numRuns: 5_000 }, tally)
  t.diagnostic(tally.toString())
  tally.assertReached({
    'policies × filters': 100_000,
    'strict allows': 10_000,
    'strict allows beside a deny': 4000,
    'strict allows of more than one name': 4000,
    names: 200_000,
  })
})
