import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterCovers, filtersOverlap } from '#src/policy/filter-sets.ts'
import { topicMatches } from '#src/policy/topic-matches.ts'

const matches = [
  { filter: 'a/#', topic: 'a', match: true, why: '# includes the parent level' },
  { filter: 'a/#', topic: 'a/b/c', match: true, why: '# takes the rest' },
  { filter: 'a/#', topic: 'ab', match: false, why: 'a filter is not a prefix' },
  { filter: 'a', topic: 'a/b', match: false, why: 'a filter is not a prefix' },
  { filter: 'a/+', topic: 'a', match: false, why: '+ is one level' },
  { filter: 'a/+', topic: 'a/', match: true, why: '+ takes an empty level' },
  { filter: '+', topic: '/a', match: false, why: 'a leading slash is a level' },
  { filter: '+/+', topic: '/a', match: true, why: 'a leading slash is a level' },
  { filter: '#', topic: '$SYS/x', match: false, why: '[MQTT-4.7.2-1]' },
  { filter: '+/x', topic: '$SYS/x', match: false, why: '[MQTT-4.7.2-1]' },
  { filter: '$SYS/#', topic: '$SYS/x', match: true, why: 'named, it matches' },
  { filter: 'a/+', topic: 'a/$x', match: true, why: '$ is special in the first level only' },
  { filter: 'A', topic: 'a', match: false, why: 'case counts' },
  { filter: 'é', topic: 'e\u0301', match: false, why: 'bytes are compared, nothing is normalised' },
]
for (const { filter, topic, match, why } of matches) {
  test(`topicMatches: ${filter} vs ${topic}: ${why}`, () => assert.equal(topicMatches(filter, topic), match))
}

const table = [
  { filter: 'a/b/+', pattern: 'a/#', covers: true, overlaps: true },
  { filter: 'a', pattern: 'a/#', covers: true, overlaps: true },
  { filter: 'a/#', pattern: 'a/+', covers: false, overlaps: true },
  { filter: '#', pattern: 'a/#', covers: false, overlaps: true },
  { filter: '+/x', pattern: 'secret/x', covers: false, overlaps: true },
  { filter: '+/y', pattern: 'secret/x', covers: false, overlaps: false },
  { filter: '+/#', pattern: '#', covers: true, overlaps: true },
  { filter: '#', pattern: '+/#', covers: true, overlaps: true },
  { filter: '/#', pattern: '/+/#', covers: true, overlaps: true },
  { filter: '$SYS/#', pattern: '#', covers: false, overlaps: false },
  { filter: '#', pattern: '$SYS/#', covers: false, overlaps: false },
  { filter: 'a//b', pattern: 'a/+/b', covers: true, overlaps: true },
  { filter: 'jobs/+', pattern: 'jobs/private/#', covers: false, overlaps: true },
  { filter: '$share/g/a/+', pattern: 'a/#', covers: true, overlaps: true },
  { filter: '$share/g/b', pattern: 'a/#', covers: false, overlaps: false },
  { filter: 'a/#', pattern: 'a/+/c', covers: false, overlaps: true },
]
for (const { filter, pattern, covers, overlaps } of table) {
  test(`${pattern} ${covers ? 'covers' : 'does not cover'} and ${overlaps ? 'overlaps' : 'does not overlap'} ${filter}`, () => {
    assert.equal(filterCovers(pattern, filter), covers)
    assert.equal(filtersOverlap(pattern, filter), overlaps)
  })
}

test('with dollar, a first-level wildcard of the pattern also stands for $ names', () => {
  const dollar = { dollar: true }
  assert.equal(filterCovers('#', '$SYS/#', dollar), true)
  assert.equal(filtersOverlap('#', '$SYS/#', dollar), true)
  assert.equal(filtersOverlap('$SYS/#', '#', dollar), false, "a request's wildcard never asks for $ names")
})

/** Every sequence of 1 to `depth` levels out of `alphabet`. */
function paths(alphabet: readonly string[], depth: number): string[] {
  let last: string[] = alphabet.map((level) => level)
  const all = [...last]
  for (let i = 1; i < depth; i++) {
    last = last.flatMap((path) => alphabet.map((level) => `${path}/${level}`))
    all.push(...last)
  }
  return all.filter((path) => path !== '')
}

test('covers and overlaps are exactly ⊆ and ∩ ≠ ∅ of the names that filters match', () => {
  const names = paths(['a', 'z', '', '$s'], 5)
  const filters = paths(['a', '', '$s', '+', '#'], 3).filter((filter) => !/#\//.test(filter))
  const sets = new Map(filters.map((filter) => [filter, new Set(names.filter((name) => topicMatches(filter, name)))]))
  let pairs = 0
  for (const [pattern, wide] of sets) {
    for (const [filter, narrow] of sets) {
      const subset = [...narrow].every((name) => wide.has(name))
      assert.equal(filterCovers(pattern, filter), subset, `${pattern} covers ${filter}`)
      assert.equal(filtersOverlap(pattern, filter), !wide.isDisjointFrom(narrow), `${pattern} overlaps ${filter}`)
      pairs++
    }
  }
  assert.ok(pairs > 10_000, `${pairs} pairs`)
})
