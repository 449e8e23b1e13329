import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createSession } from '#src/policy/decide.ts'
import type { PolicyDocument, RuleDocument } from '#src/policy/document.ts'
import { lintPolicy } from '#src/policy/lint.ts'
import { lintCodes } from '#src/policy/lint-warnings.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import type { Policy } from '#src/policy/rule.ts'
import { patience } from '#test/support/patience.ts'
import { documentOf, lintCases } from './lint-cases.ts'
import { documentArbitrary } from './properties/arbitrary/document.ts'
import { identityArbitrary } from './properties/arbitrary/identity.ts'
import { requestArbitrary } from './properties/arbitrary/request.ts'
import { compileDocument } from './properties/compile-document.ts'
import { propertySeed } from './properties/seed.ts'
import { Tally } from './properties/tally.ts'

function policyOf(document: PolicyDocument): Policy {
  const { policy, problems } = parsePolicy(JSON.parse(JSON.stringify(document)))
  assert.ok(policy, JSON.stringify(problems))
  return policy
}

describe('each code: one document that warns, with a place and what to write instead, and one that does not', () => {
  for (const { code, why, warns, path, says, quiet, options, more } of lintCases) {
    test(`${code}: ${why}`, () => {
      const found = lintPolicy(policyOf(documentOf(warns, more)), options)
      const [warning, ...others] = found.filter((one) => one.code === code)
      assert.ok(warning, `expected ${code}, found ${JSON.stringify(found)}`)
      assert.deepEqual([warning.path, others.map((one) => one.path)], [path, []])
      assert.match(warning.message, says)
      const still = lintPolicy(policyOf(documentOf(quiet, more)), options).filter((one) => one.code === code)
      assert.deepEqual(still, [])
    })
  }

  test('unfiltered-surface: subscribe: filtered, unless the surface is known to check or not known at all', () => {
    const policy = policyOf(documentOf([{ topics: ['a'] }], { options: { subscribe: 'filtered' } }))
    assert.deepEqual(
      lintPolicy(policy, { delivery: false }).map(({ code, path }) => [code, path]),
      [['unfiltered-surface', 'options.subscribe']],
    )
    assert.deepEqual([...lintPolicy(policy, { delivery: true }), ...lintPolicy(policy)], [])
  })

  test('every code has a case', () => {
    const named = new Set<string>([...lintCases.map(({ code }) => code), 'lint-incomplete'])
    assert.deepEqual(
      lintCodes.filter((code) => !named.has(code)),
      [],
    )
  })
})

test('a document without a doubtful place has no warnings', () => {
  const policy = policyOf(
    documentOf([
      { actions: ['publish'], retain: 'forbid', topics: ['sensors/${clientId}/#'] },
      { actions: ['subscribe', 'receive'], topics: ['commands/${clientId}/#'], when: { type: 'device' } },
    ]),
  )
  assert.deepEqual(lintPolicy(policy), [])
})

test('rules that are switched off are not looked at', () => {
  assert.deepEqual(lintPolicy(policyOf(documentOf([{ enabled: false, topics: ['#', '/a', '$share/g/a'] }]))), [])
})

test('warnings come in the order of the document, and of many alike only the number is told', () => {
  const rules = Array.from({ length: 1_000 }, (_, i) => ({ topics: [`/a/${i}`, { regex: 'a.b' }] }))
  const found = lintPolicy(policyOf(documentOf(rules)))
  const slashes = found.filter(({ code }) => code === 'leading-slash')
  assert.deepEqual(
    [slashes.length, slashes[0]?.path, slashes[19]?.path],
    [21, 'rules[0].topics[0]', 'rules[19].topics[0]'],
  )
  assert.match(slashes[20]?.message ?? '', /^980 more of this kind/)
  assert.deepEqual(
    found.slice(0, 3).map(({ path }) => path),
    ['rules[0].topics[0]', 'rules[0].topics[1].regex', 'rules[1].topics[0]'],
  )
})

/** Milliseconds of this process, which the load of the machine does not change as it does the time of the clock. */
function cpuMs(run: () => void): number {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

describe('large documents', () => {
  const workloads: Record<string, { count: number; rule: (i: number) => Partial<RuleDocument> }> = {
    'with patterns of their own': { count: 100_000, rule: (i) => ({ topics: [`a/${i % 100}/b${i}/#`] }) },
    'in one tier each': {
      count: 20_000,
      rule: (i) => ({ effect: i % 2 ? 'allow' : 'deny', priority: i, topics: [`a/${i % 1000}/+/#`] }),
    },
    'with one pattern and conditions of their own': {
      count: 20_000,
      rule: (i) => ({ when: { username: `u${i}` }, topics: ['a/#'] }),
    },
  }
  for (const [name, { count, rule }] of Object.entries(workloads)) {
    test(`${count} rules ${name} are all compared, in seconds`, () => {
      const policy = policyOf(documentOf(Array.from({ length: count }, (_, i) => rule(i))))
      let found: ReturnType<typeof lintPolicy> = []
      const ms = cpuMs(() => (found = lintPolicy(policy)))
      assert.ok(ms < patience(10_000), `${ms} ms`)
      assert.ok(!found.some(({ code }) => code === 'lint-incomplete'))
    })
  }

  test('patterns that cover each other in every way are not compared to the end, which is said', () => {
    const levels = (i: number) => Array.from({ length: 15 }, (_, bit) => ((i >> bit) & 1 ? '+' : 'a')).join('/')
    const policy = policyOf(documentOf(Array.from({ length: 2 ** 15 }, (_, i) => ({ topics: [levels(i)] }))))
    let found: ReturnType<typeof lintPolicy> = []
    const ms = cpuMs(() => (found = lintPolicy(policy)))
    assert.ok(ms < patience(20_000), `${ms} ms`)
    assert.equal(found.filter(({ code }) => code === 'lint-incomplete').length, 1)
  })
})

/** The document without what a warning calls unreachable. */
function without({ rules, ...document }: PolicyDocument, path: string): PolicyDocument {
  const [, rule, topic] = /^rules\[(\d+)\](?:\.topics\[(\d+)\].*)?$/.exec(path) ?? []
  const kept = rules.flatMap((one, i) => {
    if (String(i) !== rule) return [one]
    if (topic === undefined) return []
    return [{ ...one, topics: one.topics?.filter((_, j) => String(j) !== topic) ?? [] }]
  })
  return { ...document, rules: kept }
}

test('what is told to be unreachable can be taken out of a document without changing a decision', () => {
  const tally = new Tally()
  const property = fc.property(
    fc.record({
      document: documentArbitrary,
      identities: fc.array(identityArbitrary, { minLength: 2, maxLength: 3 }),
      requests: fc.array(requestArbitrary, { minLength: 20, maxLength: 30 }),
    }),
    ({ document, identities, requests }) => {
      const found = lintPolicy(policyOf(document)).filter(
        ({ code }) => code === 'unreachable-rule' || code === 'denied-allow',
      )
      const isFiltered = document.options?.subscribe === 'filtered'
      for (const { code, path } of found) {
        const [whole, rest] = [compileDocument(document), compileDocument(without(document, path))]
        for (const identity of identities) {
          const sessions = [createSession(whole, identity), createSession(rest, identity)]
          for (const request of requests.map((requestFor) => requestFor(document))) {
            // An allow whose names are all refused still lets a filter overlap it, though nothing is delivered.
            if (isFiltered && request.action === 'subscribe') continue
            const [wanted, actual] = sessions.map((session) => session.decide(request))
            assert.deepEqual(actual, wanted, JSON.stringify({ code, path, identity, request }))
            tally.add(`${code} ${request.action} ${wanted?.decision}`)
          }
        }
      }
    },
  )
  fc.assert(property, { seed: propertySeed(), numRuns: 1_200 })
  tally.assertReached({
    'unreachable-rule publish allow': 100,
    'unreachable-rule publish deny': 100,
    'unreachable-rule subscribe allow': 50,
    'unreachable-rule subscribe deny': 100,
    'unreachable-rule receive allow': 20,
    'denied-allow publish deny': 20,
    'denied-allow subscribe deny': 20,
  })
})

test('a filter that is told to be shared out among rules is refused, while each of its names is allowed', () => {
  const levels = ['a', 'b', '+']
  const topic = fc.array(fc.constantFrom(...levels), { minLength: 1, maxLength: 3 }).map((some) => some.join('/'))
  const open = fc.tuple(topic, fc.boolean()).map(([text, isOpen]) => (isOpen ? `${text}/#` : text))
  let told = 0
  const property = fc.property(fc.array(open, { minLength: 2, maxLength: 8 }), (topics) => {
    const document = documentOf(topics.map((one) => ({ topics: [one] })))
    const session = createSession(compileDocument(document), {})
    for (const { code, message } of lintPolicy(policyOf(document))) {
      if (code !== 'union-only') continue
      told++
      const filter = /SUBSCRIBE to "([^"]*)"/.exec(message)?.[1] ?? ''
      assert.equal(session.decide({ action: 'subscribe', topic: filter }).decision, 'deny', filter)
      const fixed = filter.replaceAll('+', 'x').split('/').slice(0, -1)
      for (let more = fixed.length === 0 ? 1 : 0; more < 6; more++) {
        const name = [...fixed, ...Array<string>(more).fill('y')].join('/')
        assert.equal(session.decide({ action: 'receive', topic: name }).decision, 'allow', `${name} of ${filter}`)
      }
    }
  })
  fc.assert(property, { seed: propertySeed(), numRuns: 3_000 })
  assert.ok(told > 100, `only ${told}`)
})
