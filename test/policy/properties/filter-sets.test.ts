import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterCovers, filtersOverlap } from '#src/policy/filter-sets.ts'
import { canonicalLevels, coversLevels, intersectLevels, patternOverlaps } from '../model/filter-levels.ts'
import { matchesByStandard, sequences } from './name-sets.ts'

/** Names one level deeper than the filters, with a level that no filter speaks of. */
const names = sequences(['a', 'z', '', '$s'], 5)
const filters = sequences(['a', '', '$s', '+', '#'], 4).filter((filter) => !filter.includes('#/'))

/** The names that a filter matches, one bit each. */
function bitsOf(filter: string, dollar: boolean): Uint32Array {
  const bits = new Uint32Array(Math.ceil(names.length / 32))
  for (const [i, name] of names.entries()) {
    if (matchesByStandard(filter, name, dollar)) bits[i >> 5] = (bits[i >> 5] ?? 0) | (1 << (i & 31))
  }
  return bits
}

const isSubset = (narrow: Uint32Array, wide: Uint32Array) => narrow.every((word, i) => (word & ~(wide[i] ?? 0)) === 0)
const isDisjoint = (a: Uint32Array, b: Uint32Array) => a.every((word, i) => (word & (b[i] ?? 0)) === 0)

for (const dollar of [false, true]) {
  test(`containment and overlap are those of the sets of names${dollar ? ', with dollar' : ''}`, (t) => {
    const patterns = filters.map((text) => ({ text, bits: bitsOf(text, dollar) }))
    const requests = filters.map((text) => ({ text, bits: bitsOf(text, false) }))
    const counts = { pairs: 0, contained: 0, overlapping: 0 }
    for (const pattern of patterns) {
      for (const request of requests) {
        const contained = isSubset(request.bits, pattern.bits)
        const overlapping = !isDisjoint(request.bits, pattern.bits)
        if (filterCovers(pattern.text, request.text, { dollar }) !== contained)
          assert.fail(`${pattern.text} ${contained ? 'covers' : 'does not cover'} ${request.text}`)
        if (filtersOverlap(pattern.text, request.text, { dollar }) !== overlapping)
          assert.fail(`${pattern.text} ${overlapping ? 'overlaps' : 'does not overlap'} ${request.text}`)
        counts.pairs++
        counts.contained += Number(contained)
        counts.overlapping += Number(overlapping)
      }
    }
    t.diagnostic(JSON.stringify(counts))
    assert.ok(
      counts.pairs >= 96_000 && counts.contained >= 2000 && counts.overlapping >= 10_000,
      JSON.stringify(counts),
    )
  })
}

test('so are those of the model, and its intersection', (t) => {
  const levelsOf = (text: string) => canonicalLevels(text.split('/'))
  const known = new Map(filters.map((text) => [text, bitsOf(text, false)]))
  let intersections = 0
  for (const [a, wide] of known) {
    for (const [b, narrow] of known) {
      const [p, f] = [levelsOf(a), levelsOf(b)]
      const overlapping = !isDisjoint(narrow, wide)
      assert.equal(coversLevels(p, f, false), isSubset(narrow, wide), `${a} covers ${b}`)
      const pattern = { levels: p, canonical: p, captures: [], dollar: false }
      assert.equal(patternOverlaps(pattern, f), overlapping, `${a} overlaps ${b}`)
      if (!overlapping) continue
      const both = intersectLevels(p, f).join('/')
      const bits = known.get(both) ?? bitsOf(both, false)
      if (!bits.every((word, i) => word === ((narrow[i] ?? 0) & (wide[i] ?? 0)) >>> 0))
        assert.fail(`${a} and ${b} have ${both} in common`)
      intersections++
    }
  }
  t.diagnostic(`${intersections} intersections`)
  assert.ok(intersections >= 10_000)
})
