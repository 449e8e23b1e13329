import { test } from 'node:test'
import { propertySeed } from './seed.ts'
import { Tally } from './tally.ts'
import { checkStrictAllowsOfTwo, checkTwoDocuments } from './two-documents.ts'

test('two documents decide together what each of them decides alone comes to', (t) => {
  const seed = propertySeed()
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  checkTwoDocuments({ seed, numRuns: 1_500 }, tally)
  t.diagnostic(tally.toString())
  tally.assertReached({
    pairs: 15_000,
    'connect: deny default, allow default': 1,
    'connect: allow default, deny rule': 15,
    'publish: allow rule, allow rule': 80,
    'publish: allow rule, deny qos-exceeds': 2,
    'publish: deny rule, allow rule': 60,
    'subscribe: allow filtered, allow rule': 5,
    'subscribe: allow rule, deny default': 200,
    'subscribe: deny default, allow rule': 200,
    'subscribe: deny deny-overlap, allow rule': 20,
    'unsubscribe: deny default, allow default': 1,
  })
})

test('a filter that two documents grant holds no name that either of them denies', (t) => {
  const seed = propertySeed()
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  checkStrictAllowsOfTwo({ seed, numRuns: 1_000 }, tally)
  t.diagnostic(tally.toString())
  tally.assertReached({
    'strict allows by stored': 1_500,
    'strict allows by session': 700,
    'strict allows of more than one name': 1_000,
    names: 50_000,
  })
})
