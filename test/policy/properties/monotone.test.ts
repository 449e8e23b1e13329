import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createSession } from '#src/policy/decide.ts'
import { documentArbitrary, stricterArbitrary, strictFilters } from './arbitrary/document.ts'
import { identityArbitrary } from './arbitrary/identity.ts'
import { narrowingArbitrary } from './arbitrary/narrowing.ts'
import { requestArbitrary, subscriptionArbitrary } from './arbitrary/request.ts'
import { compileDocument } from './compile-document.ts'
import { propertySeed } from './seed.ts'
import { Tally } from './tally.ts'

const seed = propertySeed()

test('adding a deny never allows anything', (t) => {
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  const cases = fc.record({
    both: stricterArbitrary,
    identity: identityArbitrary,
    requests: fc.array(requestArbitrary, { minLength: 10, maxLength: 10 }),
    delivery: fc.boolean(),
  })
  const property = fc.property(cases, ({ both: { document, stricter }, identity, requests, delivery }) => {
    const [before, after] = [document, stricter].map((one) => createSession(compileDocument(one), identity))
    for (const requestFor of requests) {
      const request = requestFor(stricter)
      const words = [before, after].map((session) => session?.decide(request, delivery).decision)
      tally.add(words.join(' → '))
      assert.notDeepEqual(words, ['deny', 'allow'], JSON.stringify({ identity, request }))
    }
  })
  fc.assert(property, { seed, numRuns: 3000 })
  t.diagnostic(tally.toString())
  tally.assertReached({ 'deny → deny': 5000, 'allow → allow': 4000, 'allow → deny': 400 })
})

test('narrowing a subscription never denies, in strict mode and with filters alone', (t) => {
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  const cases = fc.record({
    document: documentArbitrary.map(strictFilters),
    identity: identityArbitrary,
    subscriptions: fc.array(fc.tuple(subscriptionArbitrary, narrowingArbitrary), { minLength: 10, maxLength: 10 }),
    delivery: fc.boolean(),
  })
  const property = fc.property(cases, ({ document, identity, subscriptions, delivery }) => {
    const session = createSession(compileDocument(document), identity)
    for (const [requestFor, narrow] of subscriptions) {
      const wide = requestFor(document)
      const narrower = { ...wide, topic: narrow(wide.topic) }
      if (narrower.topic === wide.topic || session.decide(wide, delivery).decision === 'deny') continue
      tally.add('narrowed')
      const { decision, reason } = session.decide(narrower, delivery)
      // A name of more levels or bytes than the filter may be beyond a limit.
      if (reason.startsWith('invalid-topic:too-')) continue
      assert.equal(decision, 'allow', JSON.stringify({ identity, wide, narrower }))
      tally.add('and allowed')
    }
  })
  fc.assert(property, { seed, numRuns: 5000 })
  t.diagnostic(tally.toString())
  tally.assertReached({ narrowed: 3000, 'and allowed': 3000 })
})

test('the order of rules and matchers never matters', (t) => {
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  const cases = fc.record({
    document: documentArbitrary.filter(({ rules }) => rules.length > 1),
    keys: fc.infiniteStream(fc.nat(1_000_000)),
    identity: identityArbitrary,
    requests: fc.array(requestArbitrary, { minLength: 12, maxLength: 12 }),
    delivery: fc.boolean(),
  })
  const property = fc.property(cases, ({ document, keys, identity, requests, delivery }) => {
    const shuffled = <T>(list: readonly T[]): T[] =>
      list
        .map((item) => ({ item, key: keys.next().value ?? 0 }))
        .sort((a, b) => a.key - b.key)
        .map(({ item }) => item)
    const rules = shuffled(document.rules).map((rule) =>
      rule.topics === undefined ? rule : { ...rule, topics: shuffled(rule.topics) },
    )
    const isChanged = rules.some(({ id }, i) => id !== document.rules[i]?.id)
    tally.add(isChanged ? 'other orders' : 'same order')
    const [one, other] = [document, { ...document, rules }].map((of) => createSession(compileDocument(of), identity))
    for (const requestFor of requests) {
      const request = requestFor(document)
      const decision = one?.decide(request, delivery)
      assert.deepEqual(other?.decide(request, delivery), decision, JSON.stringify({ identity, request, rules }))
      tally.add(`by ${decision?.rule === null ? 'no rule' : 'a rule'}`)
    }
  })
  fc.assert(property, { seed, numRuns: 1500 })
  t.diagnostic(tally.toString())
  tally.assertReached({ 'other orders': 1000, 'by a rule': 3000 })
})
