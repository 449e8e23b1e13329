import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { guardsOf, publish, TestClock } from './fixtures.ts'

const strict = {
  'rate-limit': { enabled: true, global: { 'messages-per-second': 1, burst: 2 } },
  qos: { enabled: true, 'max-qos': 1, downgrade: false },
  retained: { enabled: true, 'allow-retained': false },
  inspection: { enabled: true, 'max-payload-size': 100, patterns: { sqli: true } },
}
const attack = "' or 1=1--"

test('the order is rate, QoS, retained, inspection: the first refusal is the one that is told', () => {
  const clock = new TestClock()
  const guards = guardsOf(strict, { clock })
  const rules = [
    publish(guards, attack, { qos: 2, retain: true }),
    publish(guards, attack, { qos: 2, retain: true }),
    publish(guards, attack, { qos: 2, retain: true }),
  ].map(({ refusal }) => refusal?.rule)
  assert.deepEqual(rules, ['qos-denied', 'qos-denied', 'rate-limited'])
  clock.nowMs = 10_000
  assert.equal(publish(guards, attack, { retain: true }).refusal?.rule, 'retained-denied')
  assert.equal(publish(guards, attack).refusal?.rule, 'inspection-blocked')
})

test('inspection looks at the size first, and does not read what is too large', () => {
  const { refusal } = publish(guardsOf(strict), attack.padEnd(101))
  assert.deepEqual(refusal?.classes, ['size-limit'])
})

test('size: inclusive, and 0 is unlimited', () => {
  const guards = (size: number) => guardsOf({ inspection: { enabled: true, 'max-payload-size': size } })
  assert.equal(publish(guards(10), new Uint8Array(10)).refusal, null)
  assert.equal(publish(guards(10), new Uint8Array(11)).refusal?.class, 'size-limit')
  assert.equal(publish(guards(0), new Uint8Array(1_000_000)).refusal, null)
})

test('binary: refused only with block-binary, and patterns are looked for all the same', () => {
  const payload = Buffer.concat([Buffer.from([0xff]), Buffer.from(attack)])
  const patterns = { sqli: true }
  assert.deepEqual(publish(guardsOf({ inspection: { enabled: true, patterns } }), payload).refusal?.classes, ['sqli'])
  const both = publish(guardsOf({ inspection: { enabled: true, patterns, 'block-binary': true } }), payload)
  assert.deepEqual(both.refusal?.classes, ['binary-payload', 'sqli'])
  assert.equal(both.refusal?.class, 'binary-payload')
})

test('an excluded topic is not looked at in any way', () => {
  const inspection = {
    ...strict.inspection,
    'block-binary': true,
    'exclude-topics': ['logs/#'],
    'json-schema': { topics: ['#'], schema: false },
  }
  assert.equal(publish(guardsOf({ inspection }), new Uint8Array(1_000).fill(0xff), { topic: 'logs/a' }).refusal, null)
  assert.notEqual(publish(guardsOf({ inspection }), 'x', { topic: 'log' }).refusal, null)
})

test('block-on-failure: false records the class and forwards; with a pattern beside it the message is refused', () => {
  const jsonSchema = { topics: ['t'], schema: { type: 'object' }, 'block-on-failure': false }
  const guards = guardsOf({ inspection: { enabled: true, patterns: { sqli: true }, 'json-schema': jsonSchema } })
  const { refusal, findings } = publish(guards, '5')
  assert.equal(refusal, null)
  assert.deepEqual(
    findings.map((one) => [one.rule, one.class]),
    [['inspection-blocked', 'schema-validation']],
  )
  const both = publish(guards, attack)
  assert.deepEqual(both.refusal?.classes, ['sqli', 'schema-validation'])
})

for (const [how, guards] of [
  ['the document', () => guardsOf({ ...strict, general: { 'block-mode': false } })],
  ['the caller', () => guardsOf(strict, { blockMode: false })],
] as const) {
  test(`detect-only by ${how}: nothing is refused or changed, the first finding is told, buckets are charged`, () => {
    const one = guards()
    assert.equal(one.blockMode, false)
    const outcomes = Array.from({ length: 3 }, () => publish(one, attack, { qos: 2, retain: true }))
    for (const outcome of outcomes) assert.deepEqual([outcome.refusal, outcome.qos, outcome.retain], [null, 2, true])
    assert.deepEqual(
      outcomes.map(({ findings }) => findings.map(({ rule }) => rule)),
      [['qos-denied'], ['qos-denied'], ['rate-limited']],
    )
    assert.equal(one.checkSubscribe('a', 2), 2)
  })
}

test('detect-only does not lower the QoS either', () => {
  const guards = guardsOf({ qos: { enabled: true, 'max-qos': 0 }, general: { 'block-mode': false } })
  assert.deepEqual(publish(guards, 'x', { qos: 2 }), { refusal: null, qos: 2, retain: false, findings: [] })
})

test('what the caller says goes before the document', () => {
  assert.equal(guardsOf({ ...strict, general: { 'block-mode': false } }, { blockMode: true }).blockMode, true)
})

const brokenClock = {
  monotonic: (): number => {
    throw new Error('no time')
  },
}

test('an error of the rate limit refuses, and with fail-open lets through and is told', () => {
  const closed = guardsOf(strict, { clock: brokenClock })
  const { refusal } = publish(closed, 'x')
  assert.equal(refusal?.rule, 'rate-limited')
  assert.match(String(refusal?.cause), /no time/)
  assert.equal(refusal?.retryAfterS, undefined)

  const open = guardsOf({ ...strict, general: { 'fail-open': true } }, { clock: brokenClock })
  const outcome = publish(open, 'x')
  assert.equal(outcome.refusal, null)
  assert.deepEqual(
    outcome.findings.map(({ rule }) => rule),
    ['rate-limited'],
  )
  assert.equal(publish(open, attack).refusal?.rule, 'inspection-blocked', 'the other guards still judge')
})

test('a clock that gives no number is an error, not an empty bucket', () => {
  const guards = guardsOf(strict, { clock: { monotonic: () => Number.NaN } })
  assert.match(String(publish(guards, 'x').refusal?.cause), /clock/)
})

test('an error of the inspection refuses, and with fail-open lets through and is told', () => {
  /** Claims a length and has no bytes to read. */
  const payload = Object.defineProperty(new Uint8Array(1), 'length', { get: () => assert.fail('unreadable') })
  const closed = guardsOf({ inspection: strict.inspection })
  assert.equal(publish(closed, payload).refusal?.rule, 'inspection-blocked')
  const open = guardsOf({ inspection: strict.inspection, general: { 'fail-open': true } })
  const { refusal, findings } = publish(open, payload)
  assert.equal(refusal, null)
  assert.match(String(findings[0]?.cause), /unreadable/)
})

test('fail-open concerns errors only', () => {
  const guards = guardsOf({ ...strict, general: { 'fail-open': true } })
  assert.equal(publish(guards, attack).refusal?.rule, 'inspection-blocked')
  assert.equal(publish(guards, 'x', { qos: 2 }).refusal?.rule, 'qos-denied')
})

test('an integration has modes, and nothing else of the general section of a gateway', () => {
  const general = { 'block-mode': true, 'fail-open': false, 'log-packets': true, 'protocol-versions': ['5.0'] }
  const paths = parseGuards({ general }, { source: 'integration' }).problems.map(({ path }) => path)
  assert.deepEqual(paths, ['general.log-packets', 'general.protocol-versions'])
  assert.deepEqual(parseGuards({ general }, { source: 'gateway' }).problems, [])
})
