import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AccessRequest, Decision } from '#src/policy/access.ts'
import { createSession } from '#src/policy/decide.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { explain, type TraceStep } from '#src/policy/explain.ts'
import { simulate } from '#src/policy/simulate.ts'
import { documentArbitrary } from './arbitrary/document.ts'
import { identityArbitrary } from './arbitrary/identity.ts'
import { requestArbitrary } from './arbitrary/request.ts'
import { compileDocument } from './compile-document.ts'
import { propertySeed } from './seed.ts'
import { Tally } from './tally.ts'

const cases = fc.record({
  document: documentArbitrary,
  identity: identityArbitrary,
  requests: fc.array(requestArbitrary, { minLength: 10, maxLength: 10 }),
  delivery: fc.boolean(),
})

/** Steps of the highest tier in which a rule applies. */
function decidingTier(trace: readonly TraceStep[]): readonly TraceStep[] {
  const applying = trace.filter(({ applies }) => applies)
  const highest = Math.max(...applying.map(({ priority }) => priority))
  return applying.filter(({ priority }) => priority === highest)
}

/** Names, CONNECT and UNSUBSCRIBE follow from their trace: the highest tier decides, and a deny in it wins. */
function assertFollows({ decision, reason, rule }: Decision, trace: readonly TraceStep[], tally: Tally): void {
  const tier = decidingTier(trace)
  const denies = tier.filter(({ effect }) => effect === 'deny')
  tally.add(reason === 'default' ? 'default' : `${decision} follows from its trace`)
  if (reason === 'default') assert.deepEqual(tier, [])
  else if (denies.length > 0)
    assert.deepEqual(
      { decision, reason, isIn: denies.some((step) => step.rule === rule) },
      { decision: 'deny', reason: 'rule', isIn: true },
    )
  else {
    assert.ok(tier.some((step) => step.rule === rule && step.effect === 'allow'))
    assert.equal(reason, decision === 'allow' ? 'rule' : 'qos-exceeds')
  }
}

function assertSubscription({ decision, reason, rule }: Decision, trace: readonly TraceStep[], tally: Tally): void {
  const applying = trace.filter(({ applies }) => applies)
  const own = trace.find((step) => step.rule === rule)
  tally.add(`subscription ${decision} ${reason}`)
  if (reason === 'default' && decision === 'deny') assert.ok(applying.every(({ effect }) => effect === 'deny'))
  if (reason === 'default' || reason === 'filtered') return
  assert.deepEqual(
    { applies: own?.applies, effect: own?.effect, why: own?.why },
    { applies: true, effect: decision, why: 'matched' },
  )
  // Of an allow, every deny in the tiers above was carved out or filters; of a deny, no tier above has an allow that covers.
  const above = applying.filter(({ priority, effect }) => priority > (own?.priority ?? 0) && effect === 'allow')
  assert.deepEqual(above, [])
}

function assertTrace(
  document: PolicyDocument,
  { action }: AccessRequest,
  decision: Decision,
  trace: readonly TraceStep[],
  tally: Tally,
): void {
  if (decision.reason.startsWith('invalid-')) {
    tally.add('malformed')
    assert.deepEqual(decidingTier(trace), [])
    return
  }
  assert.deepEqual(trace.map((step) => step.rule).toSorted(), document.rules.map(({ id }) => id).toSorted())
  for (const { applies, why } of trace) assert.equal(applies, why === 'matched')
  for (const { why } of trace) tally.add(`why ${why.replace(/:.*/, '')}`)
  if (action === 'subscribe') assertSubscription(decision, trace, tally)
  else assertFollows(decision, trace, tally)
}

test('the simulator decides as the engine, and its trace leads to the decision', (t) => {
  const seed = propertySeed()
  t.diagnostic(`SEALWIRE_SEED=${seed}`)
  const tally = new Tally()
  const property = fc.property(cases, ({ document, identity, requests: requestsFor, delivery }) => {
    const compiled = compileDocument(document)
    const requests = requestsFor.map((requestFor) => requestFor(document))
    const session = createSession(compiled, identity)
    const simulated = simulate(compiled, identity, requests, delivery)
    assert.equal(simulated.length, requests.length)
    for (const [i, { trace, ...decision }] of simulated.entries()) {
      const request = requests[i] ?? assert.fail('more answers than requests')
      assert.deepEqual(decision, session.decide(request, delivery))
      assert.deepEqual(trace, explain(compiled, identity, request, delivery))
      try {
        assertTrace(document, request, decision, trace, tally)
      } catch (err) {
        throw new Error(JSON.stringify({ identity, request, delivery, decision, trace }), { cause: err })
      }
    }
  })
  fc.assert(property, { seed, numRuns: 3000 })
  t.diagnostic(tally.toString())
  tally.assertReached({
    malformed: 500,
    'allow follows from its trace': 1000,
    'deny follows from its trace': 1000,
    default: 2000,
    'subscription allow rule': 500,
    'subscription allow default': 100,
    'subscription allow filtered': 20,
    'subscription deny rule': 300,
    'subscription deny deny-overlap': 100,
    'subscription deny default': 500,
  })
  const reasons = [
    'matched',
    'disabled',
    'action',
    'when',
    'share',
    'qos',
    'retain',
    'will',
    'unresolved',
    'require',
    'topic',
  ]
  tally.assertReached(Object.fromEntries(reasons.map((why) => [`why ${why}`, 100])))
})
