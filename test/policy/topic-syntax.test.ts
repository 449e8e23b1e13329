import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSubscriptionFilter, validateTopicFilter } from '#src/policy/topic-filter.ts'
import { validateTopicName } from '#src/policy/topic-name.ts'

const limits = { maxBytes: 65_535 }
const deep = (levels: number) => Array.from({ length: levels }, () => 'a').join('/')

const text = [
  { text: '', ok: false, why: 'empty' },
  { text: 'a', ok: true, why: 'one character' },
  { text: '/', ok: true, why: 'two empty levels' },
  { text: 'a//b', ok: true, why: 'an empty level is a level' },
  { text: ' a ', ok: true, why: 'spaces are ordinary' },
  { text: '$SYS/x', ok: true, why: 'dollar topics have a spelling like others' },
  { text: '../a', ok: true, why: 'dots mean nothing' },
  { text: '__proto__', ok: true, why: 'a name like any other' },
  { text: '\ufeffa', ok: true, why: 'a byte order mark is kept' },
  { text: '\u202ea', ok: true, why: 'direction marks are allowed' },
  { text: 'a\u0000', ok: false, why: 'NUL' },
  { text: 'a\u0001', ok: false, why: 'control character' },
  { text: 'a\nb', ok: false, why: 'line feed' },
  { text: 'a\u007f', ok: false, why: 'delete' },
  { text: 'a\u009f', ok: false, why: 'C1 control' },
  { text: 'a\u00a0', ok: true, why: 'first character behind C1' },
  { text: 'a\ufdd0', ok: false, why: 'non-character' },
  { text: 'a\ufffe', ok: false, why: 'non-character' },
  { text: 'a\u{1ffff}', ok: false, why: 'non-character of plane 1' },
  { text: 'a\ufffd', ok: true, why: 'replacement character' },
  { text: 'a\ud800', ok: false, why: 'lone surrogate' },
  { text: 'a\u{1f600}', ok: true, why: 'a whole pair' },
  { text: deep(128), ok: true, why: '128 levels' },
  { text: deep(129), ok: false, why: '129 levels' },
  { text: 'a'.repeat(65_535), ok: true, why: '65,535 bytes' },
  { text: 'a'.repeat(65_536), ok: false, why: '65,536 bytes' },
  { text: 'é'.repeat(32_768), ok: false, why: 'bytes are counted, not characters' },
]

test('topic text: names and filters agree on length, depth and characters', () => {
  assert.ok(text.length > 20)
  for (const { text: topic, ok, why } of text) {
    assert.equal(validateTopicName(topic, limits) === undefined, ok, why)
    assert.equal(validateTopicFilter(topic, limits) === undefined, ok, why)
  }
})

test('topic text: the bound is the one that was asked for, and the message names it', () => {
  assert.equal(validateTopicName('abcd', { maxBytes: 4 }), undefined)
  assert.equal(validateTopicName('abcde', { maxBytes: 4 }), 'it is longer than 4 bytes')
})

for (const topic of ['#', '+', 'a/#', 'a/+/b', 'a#', '+a']) {
  test(`validateTopicName: ${topic} is refused, a message has one topic [MQTT-3.3.2-2]`, () => {
    assert.match(validateTopicName(topic, limits) ?? '', /wildcard/)
  })
}

const filters = [
  { filter: '#', ok: true },
  { filter: '+', ok: true },
  { filter: 'a/#', ok: true },
  { filter: '+/+/#', ok: true },
  { filter: '/#', ok: true },
  { filter: 'a/#/b', ok: false },
  { filter: 'a/b#', ok: false },
  { filter: '#/a', ok: false },
  { filter: '+a', ok: false },
  { filter: 'a+', ok: false },
  { filter: 'a/+b/c', ok: false },
  { filter: '##', ok: false },
  { filter: '$share/g/a/#', ok: true },
  { filter: '$share/g//', ok: true },
  { filter: '$share/g', ok: false },
  { filter: '$share', ok: false },
  { filter: '$share/g/', ok: false },
  { filter: '$share//a', ok: false },
  { filter: '$share/g+/a', ok: false },
  { filter: '$share/#/a', ok: false },
  { filter: '$share/g/a/#/b', ok: false },
  { filter: '$shared/a', ok: true },
  { filter: '$queue/a', ok: true },
]
for (const { filter, ok } of filters) {
  test(`validateTopicFilter: ${filter} is ${ok ? 'accepted' : 'refused'}`, () => {
    assert.equal(validateTopicFilter(filter, limits) === undefined, ok)
  })
}

test('parseSubscriptionFilter: only $share/<group>/ is a prefix', () => {
  assert.deepEqual(parseSubscriptionFilter('$share/g/a/#'), { group: 'g', filter: 'a/#' })
  assert.deepEqual(parseSubscriptionFilter('$share/g//a'), { group: 'g', filter: '/a' })
  assert.deepEqual(parseSubscriptionFilter('$shared/g/a'), { group: null, filter: '$shared/g/a' })
  assert.deepEqual(parseSubscriptionFilter('a/#'), { group: null, filter: 'a/#' })
})

test('the characters of a share group are judged like those of a filter', () => {
  for (const group of ['a\u0000', 'a\n', 'a\ud800', 'a\ufdd0'])
    assert.notEqual(validateTopicFilter(`$share/${group}/x`, limits), undefined)
  assert.equal(validateTopicFilter('$share/größe/x', limits), undefined)
})

test('validateTopicName: a name that looks like a shared subscription is refused', () => {
  assert.match(validateTopicName('$share/g/a', limits) ?? '', /\$share/)
  assert.equal(validateTopicName('$shared/g/a', limits), undefined)
})
