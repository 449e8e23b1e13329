import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { AccessRequest, Decision } from '#src/policy/access.ts'
import { createSession } from '#src/policy/decide.ts'
import type { PolicyDocument, RuleDocument } from '#src/policy/document.ts'
import { linearDecide } from '../model/reference-decide.ts'
import { referencePolicy } from '../model/reference-policy.ts'
import { createReferenceSession } from '../model/reference-session.ts'
import { documentArbitrary } from './arbitrary/document.ts'
import { identityArbitrary } from './arbitrary/identity.ts'
import { requestArbitrary } from './arbitrary/request.ts'
import { compileDocument } from './compile-document.ts'
import type { Tally } from './tally.ts'

const cases = fc.record({
  document: documentArbitrary,
  identities: fc.array(identityArbitrary, { minLength: 2, maxLength: 3 }),
  requests: fc.array(requestArbitrary, { minLength: 8, maxLength: 14 }),
})

/** What a rule is made of, as far as it can go wrong on its own. */
function featuresOf(rule: RuleDocument): readonly string[] {
  const written = JSON.stringify(rule.topics ?? [])
  const signs: readonly [string, boolean][] = [
    ['when', rule.when !== undefined],
    ['require', rule.require !== undefined],
    ['eq', written.includes('"eq"')],
    ['regex', written.includes('"regex"')],
    ['text', written.includes('"text"')],
    ['dollar', written.includes('"dollar":true')],
    ['no dollar', written.includes('"dollar":false')],
    ['variable', /[^$]\$\{/.test(written)],
    ['list', written.includes('[]}')],
    ['enc', written.includes('|enc}')],
    ['path', written.includes('|path}')],
    ['capture', written.includes('+:')],
    ['literal ${', written.includes('$${')],
    ['shared', rule.shared !== undefined && rule.shared !== 'any'],
    ['shareGroups', rule.shareGroups !== undefined],
    ['qos', rule.qos !== undefined],
    ['cap', rule.qosMode === 'cap'],
    ['strip', rule.retain === 'strip'],
    ['will', rule.will === false],
    ['overlap filter', rule.overlap === 'filter'],
    ['tier', (rule.priority ?? 0) !== 0],
  ]
  const features = signs.flatMap(([name, isThere]) => (isThere ? [`${rule.effect} by ${name}`] : []))
  return [...features, ...Object.keys(rule.when ?? {}).map((key) => `when ${key}`)]
}

function count(
  tally: Tally,
  { rules }: PolicyDocument,
  { action }: AccessRequest,
  { decision, reason, rule }: Decision,
) {
  tally.add('pairs')
  tally.add(`${action} ${decision} ${reason}`)
  const decided = rules.find(({ id }) => id === rule)
  for (const feature of decided === undefined ? [] : featuresOf(decided)) tally.add(feature)
}

/** Holds the engine against the evaluator that reads the specification word by word. Throws with the smallest case it finds. */
export function checkEngineAgainstModel(options: { seed: number; numRuns: number }, tally: Tally): void {
  const property = fc.property(cases, ({ document, identities, requests }) => {
    const compiled = compileDocument(document)
    const reference = referencePolicy(document)
    const sessions = identities.map((identity) => ({
      identity,
      session: createSession(compiled, identity),
      model: createReferenceSession(reference, identity),
    }))
    // Sessions take turns, so that one that remembers for another is found out.
    for (const request of requests.map((requestFor) => requestFor(document))) {
      for (const { identity, session, model } of sessions) {
        for (const delivery of request.action === 'subscribe' ? [true, false] : [true]) {
          const carveOutsBefore = model.carveOuts
          const wanted = linearDecide(model, request, delivery)
          assert.deepEqual(session.decide(request, delivery), wanted, JSON.stringify({ identity, request, delivery }))
          count(tally, document, request, wanted)
          if (wanted.decision === 'allow' && model.carveOuts > carveOutsBefore) tally.add('allow after a carve-out')
        }
      }
    }
  })
  fc.assert(property, options)
}
