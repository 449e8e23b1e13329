import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Qos } from '#src/policy/document.ts'
import { guardsOf, publish } from './fixtures.ts'

const perTopic = [
  { topic: 'realtime/#', 'max-qos': 0 },
  { topic: 'reliable/#', 'max-qos': 2 },
  { topic: 'reliable/x', 'max-qos': 0 },
]

test('the first entry that matches replaces the global QoS, up or down', () => {
  const guards = guardsOf({ qos: { enabled: true, 'max-qos': 1, 'per-topic': perTopic } })
  const forwarded = (topic: string, qos: Qos) => publish(guards, 'x', { topic, qos }).qos
  assert.deepEqual(
    [0, 1, 2].map((qos) => forwarded('normal', qos as Qos)),
    [0, 1, 1],
  )
  assert.deepEqual(
    [0, 1, 2].map((qos) => forwarded('realtime', qos as Qos)),
    [0, 0, 0],
  )
  assert.deepEqual(
    [0, 1, 2].map((qos) => forwarded('reliable/x', qos as Qos)),
    [0, 1, 2],
  )
})

test('without downgrade a QoS above the limit is refused, at it passes', () => {
  const guards = guardsOf({ qos: { enabled: true, 'max-qos': 1, downgrade: false, 'per-topic': perTopic } })
  assert.equal(publish(guards, 'x', { qos: 1 }).refusal, null)
  const { refusal } = publish(guards, 'x', { qos: 2 })
  assert.equal(refusal?.rule, 'qos-denied')
  assert.match(refusal?.reason ?? '', /QoS 2 is above 1/)
  assert.equal(publish(guards, 'x', { qos: 1, topic: 'realtime/a' }).refusal?.rule, 'qos-denied')
})

test('a Will is judged like a message', () => {
  const strict = guardsOf({ qos: { enabled: true, 'max-qos': 0, downgrade: false } })
  const message = { topic: 't', payload: new Uint8Array(1), qos: 1, retain: false } as const
  assert.equal(strict.checkPublish(message, {}, { will: true }).refusal?.rule, 'qos-denied')
  const lowering = guardsOf({ qos: { enabled: true, 'max-qos': 0 } })
  assert.equal(lowering.checkPublish(message, {}, { will: true }).qos, 0)
})

test('a subscription is lowered to the limit of the first entry that covers it, and never refused', () => {
  for (const downgrade of [true, false]) {
    const guards = guardsOf({ qos: { enabled: true, 'max-qos': 1, downgrade, 'per-topic': perTopic } })
    const cases: readonly (readonly [filter: string, qos: Qos])[] = [
      ['realtime/a', 0],
      ['realtime/+', 0],
      ['realtime/#', 0],
      ['$share/g/realtime/a', 0],
      ['reliable/x', 2],
      ['+/a', 1],
      ['#', 1],
      ['other', 1],
    ]
    for (const [filter, granted] of cases) assert.equal(guards.checkSubscribe(filter, 2), granted, filter)
    assert.equal(guards.checkSubscribe('other', 0), 0)
  }
})

test('what no message can be beyond is known for a CONNACK', () => {
  const maxima = (json: unknown) => guardsOf(json).maxima
  assert.deepEqual(maxima({}), { qos: 2, retain: true })
  assert.deepEqual(maxima({ qos: { enabled: true, 'max-qos': 0 } }), { qos: 0, retain: true })
  assert.deepEqual(maxima({ qos: { enabled: true, 'max-qos': 0, 'per-topic': [{ topic: 'a', 'max-qos': 1 }] } }).qos, 1)
  assert.deepEqual(maxima({ qos: { enabled: false, 'max-qos': 0 } }).qos, 2)
  const none = { enabled: true, 'allow-retained': false }
  assert.equal(maxima({ retained: none }).retain, false)
  assert.equal(maxima({ retained: { ...none, 'allowed-topics': ['a'] } }).retain, true)
  assert.deepEqual(maxima({ retained: none, qos: { enabled: true, 'max-qos': 0 }, general: { 'block-mode': false } }), {
    qos: 2,
    retain: true,
  })
})

const retained = {
  enabled: true,
  'allow-retained': false,
  'allowed-topics': ['config/#'],
  'blocked-topics': ['config/secret'],
  'max-size': 10,
}
const retainCases: readonly (readonly [
  topic: string,
  bytes: number,
  retain: boolean,
  allowed: boolean,
  why: string,
])[] = [
  ['data', 1_000, false, true, 'not retained'],
  ['data', 1, true, false, 'not in the list'],
  ['config/a', 10, true, true, 'the size is inclusive'],
  ['config/a', 11, true, false, 'larger'],
  ['config', 1, true, true, '# includes the parent'],
  ['config/secret', 1, true, false, 'blocked beats allowed'],
  ['data', 0, true, false, 'clearing is judged like any'],
  ['config/a', 0, true, true, 'clearing where it is allowed'],
]

for (const [topic, bytes, retain, allowed, why] of retainCases) {
  test(`retained: ${topic}, ${bytes} bytes, retain ${retain}: ${why}`, () => {
    const { refusal, retain: forwarded } = publish(guardsOf({ retained }), new Uint8Array(bytes), { topic, retain })
    assert.equal(refusal === null, allowed)
    assert.equal(forwarded, retain, 'nothing is stripped here')
    if (refusal) assert.equal(refusal.rule, 'retained-denied')
  })
}

test('retained: the list of allowed topics is read only when retained messages are not allowed', () => {
  const guards = guardsOf({ retained: { enabled: true, 'allowed-topics': ['a'] } })
  assert.equal(publish(guards, 'x', { topic: 'b', retain: true }).refusal, null)
})

test('a section that is absent or not enabled does nothing', () => {
  for (const json of [
    {},
    {
      qos: { 'max-qos': 0 },
      retained: { 'allow-retained': false },
      inspection: { patterns: { sqli: true } },
      'rate-limit': { global: { 'messages-per-second': 1, burst: 1 } },
    },
  ]) {
    const guards = guardsOf(json)
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(publish(guards, "' or 1=1--", { qos: 2, retain: true }), {
        refusal: null,
        qos: 2,
        retain: true,
        findings: [],
      })
    }
    assert.equal(guards.checkSubscribe('#', 2), 2)
  }
})
