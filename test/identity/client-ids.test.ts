import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { clientIdsSchema, createClientIdRules } from '#src/identity/client-ids.ts'

const rules = (settings?: object) => createClientIdRules(clientIdsSchema.parse(settings))

describe('client ids', () => {
  test('by default are letters, digits and _ . : - only, one to 128 of them', () => {
    const isAllowed = rules()
    for (const good of ['a', 'dev-00001', 'AA:BB:CC', 'mosq.1_x', 'x'.repeat(128)]) assert.ok(isAllowed(good), good)
    const bad = [
      '',
      'a/b',
      '+',
      '#',
      'a b',
      'a\n',
      '\na',
      'é',
      'a\u0000',
      '\ud800',
      '../../x',
      '${clientId}',
      'x'.repeat(129),
    ]
    for (const one of bad) assert.equal(isAllowed(one), false, JSON.stringify(one))
  })

  test('are measured in bytes, as MQTT does', () => {
    const isAllowed = rules({ pattern: '.', min: 3, max: 4 })
    assert.deepEqual(['éa', 'é', 'éé', 'ééa', 'abc', 'ab'].map(isAllowed), [true, false, true, false, true, false])
  })

  test('are searched for a pattern without anchors, and matched whole by one with both', () => {
    assert.equal(rules({ pattern: 'sensor' })('my-sensor-1'), true)
    assert.equal(rules({ pattern: '^sensor$' })('my-sensor-1'), false)
    assert.equal(rules({ pattern: '^[a-zA-Z0-9_-]{5,64}$' })('../../x'), false)
  })

  test('cannot be given a pattern that is invalid, or bounds that cross', () => {
    for (const bad of [
      { pattern: '(' },
      { pattern: '(a)\\1' },
      { pattern: '' },
      { min: 5, max: 4 },
      { min: 0 },
      { min: 0, pattern: '^a' },
      { max: 70_000 },
      { x: 1 },
    ]) {
      assert.equal(clientIdsSchema.safeParse(bad).success, false, JSON.stringify(bad))
    }
  })

  test('that are empty need a pattern that takes them, and the bound', () => {
    const isAllowed = rules({ min: 0, pattern: '^[\\w.:-]*$' })
    assert.deepEqual(['', 'a', '/'].map(isAllowed), [true, true, false])
    assert.match(String(clientIdsSchema.safeParse({ min: 0 }).error), /takes no empty id/)
  })

  test('do not cost more than their length, whatever the pattern', () => {
    const isAllowed = rules({ pattern: '^(a+)+$', max: 65_535 })
    const began = performance.now()
    assert.equal(isAllowed(`${'a'.repeat(60_000)}!`), false)
    assert.ok(performance.now() - began < 2_000)
  })
})
