import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { AccessRequest, Decision } from '#src/policy/access.ts'
import { decideBoth } from '#src/policy/combine.ts'
import { createSession } from '#src/policy/decide.ts'
import { documentArbitrary, withoutTexts } from './arbitrary/document.ts'
import { identityArbitrary } from './arbitrary/identity.ts'
import { requestArbitrary, subscriptionArbitrary } from './arbitrary/request.ts'
import { compileDocument } from './compile-document.ts'
import { someNames } from './strict-allow.ts'
import type { Tally } from './tally.ts'

const documents = { stored: documentArbitrary, own: documentArbitrary }

const cases = fc.record({
  ...documents,
  identity: identityArbitrary,
  requests: fc.array(requestArbitrary, { minLength: 10, maxLength: 14 }),
})

const subscriptions = fc.record({
  stored: documents.stored.map(withoutTexts),
  own: documents.own.map(withoutTexts),
  identity: identityArbitrary,
  requests: fc.array(subscriptionArbitrary, { minLength: 20, maxLength: 20 }),
})

const isRefusal = ({ decision, reason }: Decision) => decision === 'deny' && reason !== 'default'

/** What two decisions come to, by the words of the specification: nothing but their outcomes is looked at. */
function wanted(stored: Decision, own: Decision, request: AccessRequest, delivery: boolean) {
  const allows = [stored, ...(own.rule === null ? [] : [own])].filter(({ decision }) => decision === 'allow')
  if ([stored, own].some(isRefusal) || allows.length === 0) return { decision: 'deny', qos: null, retain: null }
  const levels = allows.flatMap(({ qos }) => qos ?? [])
  const flags = allows.flatMap(({ retain }) => retain ?? [])
  const isFiltered =
    request.action === 'subscribe' &&
    delivery &&
    (allows.length < 2 || allows.some(({ reason }) => reason === 'filtered'))
  return {
    decision: 'allow',
    qos: levels.length === 0 ? null : Math.min(...levels),
    retain: flags.length === 0 ? null : flags.every(Boolean),
    ...(isFiltered && { reason: 'filtered' }),
  }
}

/** Holds `decideBoth` against what each of two documents decides alone. Throws with the smallest case it finds. */
export function checkTwoDocuments(options: { seed: number; numRuns: number }, tally: Tally): void {
  const property = fc.property(cases, ({ stored, own, identity, requests }) => {
    const [first, second] = [stored, own].map((one) => createSession(compileDocument(one), identity)) as [
      ReturnType<typeof createSession>,
      ReturnType<typeof createSession>,
    ]
    for (const [i, requestFor] of requests.entries()) {
      const request = requestFor(i % 2 === 0 ? stored : own)
      for (const delivery of request.action === 'subscribe' ? [true, false] : [true]) {
        const [a, b] = [first.decide(request, delivery), second.decide(request, delivery)]
        const { by, ...both } = decideBoth(first, second, request, delivery)
        const told = `${JSON.stringify({ identity, request, delivery, a, b, both })}`
        const { reason, ...rest } = wanted(a, b, request, delivery)
        assert.deepEqual({ decision: both.decision, qos: both.qos, retain: both.retain }, rest, told)
        if (reason !== undefined) assert.equal(both.reason, reason, told)
        assert.equal((by === 'stored' ? a : b).rule, both.rule, told)
        assert.equal((by === 'stored' ? a : b).decision, both.decision, told)
        tally.add('pairs')
        tally.add(
          `${request.action}: ${a.decision} ${a.reason.replace(/:.*/, '')}, ${b.decision} ${b.reason.replace(/:.*/, '')}`,
        )
      }
    }
  })
  fc.assert(property, options)
}

/**
 * Looks for a subscription that both documents together grant although one of its names, asked for alone, is refused by either.
 * Throws with the smallest one it finds. Grants that rely on filtered deliveries promise less and are passed over.
 */
export function checkStrictAllowsOfTwo(options: { seed: number; numRuns: number }, tally: Tally): void {
  const property = fc.property(subscriptions, ({ stored, own, identity, requests }) => {
    const first = createSession(compileDocument(stored), identity)
    const second = createSession(compileDocument(own), identity)
    for (const [i, requestFor] of requests.entries()) {
      const request = requestFor(i % 2 === 0 ? stored : own)
      const { decision, reason, by } = decideBoth(first, second, request, false)
      if (decision === 'deny') continue
      tally.add(`strict allows by ${by}`)
      const prefix = /^\$share\/[^/]*\//.exec(request.topic)?.[0] ?? ''
      const filter = request.topic.slice(prefix.length)
      if (/[+#]/.test(filter)) tally.add('strict allows of more than one name')
      for (const name of someNames(filter)) {
        const alone = { ...request, topic: prefix + name }
        for (const one of [first, second]) {
          const { reason: why, decision: said } = one.decide(alone, false)
          if (said === 'allow' || why === 'default' || why.startsWith('invalid-topic:too-')) continue
          throw new Error(`${JSON.stringify({ identity, request })}: ${reason}, but ${name}: ${why}`)
        }
        const together = decideBoth(first, second, alone, false)
        if (together.decision === 'deny' && !together.reason.startsWith('invalid-topic:too-'))
          throw new Error(`${JSON.stringify({ identity, request })}: ${reason}, but ${name}: ${together.reason}`)
        tally.add('names')
      }
    }
  })
  fc.assert(property, options)
}
