import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSession } from '#src/policy/decide.ts'
import { POLICY_SCHEMA, type PolicyDocument, type RuleDocument } from '#src/policy/document.ts'
import { referenceDecide } from '../model/reference-decide.ts'
import { compileDocument } from './compile-document.ts'

const limits: readonly Partial<RuleDocument>[] = [
  {},
  ...([0, 1] as const).flatMap((maxQos) => [{ maxQos }, { maxQos, qosMode: 'cap' as const }]),
]
const variants = limits.flatMap((limit) => [limit, { ...limit, retain: 'strip' as const }])
const requests = ([0, 1, 2] as const).flatMap((qos) =>
  [false, true].map((retain) => ({ action: 'publish' as const, topic: 't', qos, retain })),
)

test('of three allows the one that changes a message least wins, in every combination of limits', () => {
  const reasons = new Map<string, number>()
  for (const a of variants) {
    for (const b of variants) {
      for (const c of variants) {
        const rules = [a, b, c].map(
          (limit, i): RuleDocument => ({ id: `r${i}`, effect: 'allow', topics: ['t'], ...limit }),
        )
        const document: PolicyDocument = { schema: POLICY_SCHEMA, id: 'limits', rules }
        const session = createSession(compileDocument(document), {})
        for (const request of requests) {
          const wanted = referenceDecide(document, {}, request)
          assert.deepEqual(session.decide(request), wanted, JSON.stringify({ rules, request }))
          reasons.set(wanted.reason, (reasons.get(wanted.reason) ?? 0) + 1)
        }
      }
    }
  }
  assert.equal(variants.length, 10)
  assert.deepEqual([...reasons.keys()].toSorted(), ['qos-exceeds', 'rule'])
})
