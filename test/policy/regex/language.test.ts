import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonical, levelsOf } from '#src/policy/levels.ts'
import { compileTopicRegex } from '#src/policy/regex/compile-regex.ts'
import {
  coverCounterExample,
  overlapWitness,
  regexCoversFilter,
  regexOverlapsFilter,
} from '#src/policy/regex/language.ts'
import { allTexts, createRandom, freshSeed, randomPattern } from './random.ts'

const compile = (pattern: string) => compileTopicRegex([pattern], [])
const levels = (filter: string) => canonical(levelsOf(filter))

interface Case {
  readonly pattern: string
  readonly filter: string
  /** Without the names that a delivery check sees to. */
  readonly covers: boolean
  readonly coversExactly?: boolean
  readonly overlaps: boolean
  readonly dollar?: boolean
  readonly why: string
}

const cases: readonly Case[] = [
  {
    pattern: 'sensors/device-001/.*',
    filter: 'sensors/device-001/a',
    covers: true,
    coversExactly: true,
    overlaps: true,
    why: 'V88: a filter without wildcards is one name',
  },
  {
    pattern: 'commands/device-001/[^/]+',
    filter: 'commands/device-001/+',
    covers: true,
    overlaps: true,
    why: 'V90: contained but for the empty level',
  },
  {
    pattern: 'commands/device-001/[^/]+',
    filter: 'commands/device-001/#',
    covers: false,
    overlaps: true,
    why: 'V92: the text would match, the names do not',
  },
  { pattern: 'my/.*', filter: 'my/#', covers: true, overlaps: true, why: 'V94: contained but for the parent level' },
  {
    pattern: 'my/.*',
    filter: 'my',
    covers: false,
    coversExactly: false,
    overlaps: false,
    why: 'V95: the parent level is not in my/.*',
  },
  {
    pattern: '/devices/dev\\.42/data',
    filter: '/devices/+/data',
    covers: false,
    overlaps: true,
    why: 'V96: one device of many',
  },
  { pattern: '/devices/(sensor|admin)/data', filter: '/devices/sensor', covers: false, overlaps: false, why: 'V98' },
  {
    pattern: 'plant/[0-9]+/(cmd|fw)/.*',
    filter: 'plant/+/cmd/#',
    covers: false,
    overlaps: true,
    why: 'V99: some names in common',
  },
  {
    pattern: 'plant/[0-9]+/(cmd|fw)/.*',
    filter: 'plant/+/+/x',
    covers: false,
    overlaps: true,
    why: 'V142: plant/0/cmd/x',
  },
  {
    pattern: 'commands/device-001/[^/]+',
    filter: 'commands/device-001/reboot',
    covers: true,
    coversExactly: true,
    overlaps: true,
    why: 'V144: literal filter',
  },
  { pattern: 'secret/.*', filter: '#', covers: false, overlaps: true, why: 'V174: # holds the secrets' },
  { pattern: 'secret/.*', filter: 'secret/#', covers: true, overlaps: true, why: 'V174: wholly inside' },
  { pattern: 'secret/.*', filter: 'public/#', covers: false, overlaps: false, why: 'nothing in common' },
  {
    pattern: 'a/[^/]*',
    filter: 'a/+',
    covers: true,
    coversExactly: true,
    overlaps: true,
    why: '[^/]* takes every level, the empty one too',
  },
  {
    pattern: 'a(/[\\s\\S]*)?',
    filter: 'a/#',
    covers: true,
    coversExactly: true,
    overlaps: true,
    why: 'parent level and everything below',
  },
  { pattern: '[\\s\\S]*', filter: '#', covers: true, coversExactly: true, overlaps: true, why: 'every name without $' },
  { pattern: '.*', filter: '#', covers: true, overlaps: true, why: '. does not take separators of lines' },
  { pattern: '.*', filter: '+/#', covers: true, overlaps: true, why: '+/# is #' },
  { pattern: '.*', filter: '/#', covers: true, overlaps: true, why: '/# is /+/#' },
  {
    pattern: '/[^/]+/.+',
    filter: '/#',
    covers: false,
    overlaps: true,
    why: '/x is no parent level but one that # stands for',
  },
  {
    pattern: 'x.*',
    filter: '/+',
    covers: false,
    overlaps: false,
    why: 'an empty level that the filter spells is not left out',
  },
  {
    pattern: '.*',
    filter: 'a\u2028b/+',
    covers: false,
    overlaps: false,
    why: 'a separator that the filter spells is not left out',
  },
  { pattern: '[^/]+/[^/]+', filter: '+/+', covers: true, overlaps: true, why: 'two levels' },
  { pattern: '[^/]+/[^/]+', filter: '+', covers: false, overlaps: false, why: 'one level' },
  { pattern: '\\$SYS/.*', filter: '#', covers: false, overlaps: false, why: '[MQTT-4.7.2-1]' },
  { pattern: '\\$SYS/.*', filter: '+/x', covers: false, overlaps: false, why: '[MQTT-4.7.2-1]' },
  {
    pattern: '\\$SYS/.*',
    filter: '$SYS/+',
    covers: true,
    overlaps: true,
    why: 'a literal $ at the start speaks for itself',
  },
  {
    pattern: '\\Q$SYS\\E/.*',
    filter: '$SYS/+',
    covers: true,
    overlaps: true,
    why: 'a literal $ at the start speaks for itself',
  },
  { pattern: '.*', filter: '$SYS/#', covers: false, coversExactly: false, overlaps: false, why: 'without dollar' },
  { pattern: '.*', filter: '$SYS/#', covers: true, overlaps: true, dollar: true, why: 'with dollar' },
  {
    pattern: '(\\$SYS|a)/.*',
    filter: '$SYS/#',
    covers: false,
    overlaps: false,
    why: 'not the pattern itself starts with a $',
  },
  { pattern: '.*', filter: 'a/$x/+', covers: true, overlaps: true, why: '$ is special in the first level only' },
  { pattern: '[$%]', filter: '+', covers: false, overlaps: true, why: '% may stand first where $ may not' },
  {
    pattern: '[\\x{1}-\\x{d7ff}\\x{e000}-\\x{10ffff}]*',
    filter: '#',
    covers: true,
    coversExactly: true,
    overlaps: true,
    why: 'no name holds half of a surrogate pair, or NUL',
  },
  { pattern: 'a\\+b', filter: '+', covers: false, overlaps: false, why: 'no name holds a wildcard' },
  { pattern: '[+#]+|\\x00', filter: '#', covers: false, overlaps: false, why: 'no name holds a wildcard or NUL' },
  { pattern: '[\\x{10000}-\\x{10FFFF}]', filter: '+', covers: false, overlaps: true, why: 'beyond the BMP' },
  { pattern: '..', filter: '\u{1f600}', covers: false, overlaps: false, why: 'a surrogate pair is one character' },
  {
    pattern: '.',
    filter: '\u{1f600}',
    covers: true,
    coversExactly: true,
    overlaps: true,
    why: 'a surrogate pair is one character',
  },
]

for (const { pattern, filter, covers, coversExactly = false, overlaps, dollar = false, why } of cases) {
  test(`${pattern} ${covers ? 'covers' : 'does not cover'} and ${overlaps ? 'overlaps' : 'does not overlap'} ${filter}: ${why}`, () => {
    const regex = compile(pattern)
    assert.equal(regexCoversFilter(regex, levels(filter), { exact: false, dollar }), covers)
    assert.equal(regexCoversFilter(regex, levels(filter), { exact: true, dollar }), coversExactly)
    assert.equal(regexOverlapsFilter(regex, levels(filter), { dollar }), overlaps)
  })
}

const witnesses = [
  {
    pattern: 'plant/[0-9]+/(cmd|fw)/.*',
    filter: 'plant/+/cmd/x',
    exact: false,
    counterExample: 'plant/a/cmd/x',
    witness: 'plant/0/cmd/x',
  },
  { pattern: 'my/.*', filter: 'my/#', exact: true, counterExample: 'my', witness: 'my/' },
  { pattern: 'my/.*', filter: 'my/#', exact: false, counterExample: undefined, witness: 'my/' },
  {
    pattern: 'commands/d/[^/]+',
    filter: 'commands/d/#',
    exact: false,
    counterExample: 'commands/d/a/a',
    witness: 'commands/d/a',
  },
  { pattern: 'b/.*', filter: '#', exact: false, counterExample: 'a', witness: 'b/' },
  { pattern: '.*', filter: '$SYS/+/x', exact: false, counterExample: '$SYS/a/x', witness: undefined },
  { pattern: '[a-c]*|[d-z0-9]{3}', filter: '+', exact: false, counterExample: 'd', witness: 'a' },
]
for (const { pattern, filter, exact, counterExample, witness } of witnesses) {
  test(`the names that explain ${pattern} and ${filter}, exact ${exact}, are the shortest and readable`, () => {
    const options = { exact, dollar: false }
    assert.equal(coverCounterExample(compile(pattern), levels(filter), options), counterExample)
    assert.equal(overlapWitness(compile(pattern), levels(filter), options), witness)
  })
}

test('wildcards may be given as text too', () => {
  const options = { exact: false, dollar: false }
  assert.equal(regexCoversFilter(compile('my/.*'), ['my', '#'], options), true)
  assert.equal(regexCoversFilter(compile('my/[^/]+'), ['my', '+'], options), true)
  assert.equal(regexCoversFilter(compile('my/[^/]+'), ['my', '#'], options), false)
  assert.equal(regexCoversFilter(compile('.+'), ['+', '#'], options), true)
  assert.equal(regexCoversFilter(compile('.+/.+'), ['+', '#'], options), false, '+/# is #, canonical or not')
})

/** The names of a filter, written down from OASIS MQTT 5.0 §4.7 and without automata. `exact`: see `LanguageOptions`. */
function isNameOf(filter: string, name: string, exact: boolean): boolean {
  const wanted = filter === '+/#' ? ['#'] : filter === '/+/#' ? ['', '#'] : filter.split('/')
  const actual = name.split('/')
  const isOrdinary = (level: string) => exact || !/[\u0001-\u001f\u007f-\u009f\u2028\u2029]|^$/.test(level)
  if (name === '' || /[+#\0]/.test(name)) return false
  if (name.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false
  for (const [i, level] of wanted.entries()) {
    if (level === '#') return (exact || actual.length > i) && actual.length >= i && actual.slice(i).every(isOrdinary)
    const text = actual[i]
    if (text === undefined || (level === '+' ? !isOrdinary(text) : text !== level)) return false
  }
  return wanted.length === actual.length
}

function allFilters(): string[] {
  const texts = ['a', 'ab', '', '$a', '+', 'a\u2028']
  const paths = [...texts, ...texts.flatMap((first) => texts.map((second) => `${first}/${second}`))]
  const deeper = ['a/+/b', '+/+/+', '+//+', 'a/+/a', '/+/b', 'b/+/$']
  const all = [...paths, ...deeper]
  return [...new Set(['#', ...all, ...all.map((path) => `${path}/#`)])].filter((filter) => filter !== '')
}

const worlds = [
  { alphabet: ['a', 'b', '/', '$'], length: 5 },
  { alphabet: ['a', '/', '$', '\u2028', '\u0001'], length: 4 },
]
for (const { alphabet, length } of worlds) {
  test(`covers and overlaps are exactly ⊆ and ∩ ≠ ∅ of the names up to ${length} characters of ${JSON.stringify(alphabet)}`, (t) => {
    const seed = freshSeed()
    t.diagnostic(`seed ${seed}`)
    const random = createRandom(seed)
    const names = allTexts(alphabet, length)
    const filters = allFilters().map((filter) => ({
      filter,
      loose: names.filter((name) => isNameOf(filter, name, false)),
      exact: names.filter((name) => isNameOf(filter, name, true)),
    }))
    const counts = { pairs: 0, covered: 0, coveredExactly: 0, overlapping: 0, apart: 0 }
    let undecided = 0
    for (let round = 0; round < 60; round++) {
      const { ours, theirs } = randomPattern(random, 2)
      const regex = compile(ours)
      const oracle = new RegExp(`^(?:${theirs})$`, 'u')
      const dollar = random.below(2) === 0
      const isTaken = (name: string) => (dollar || regex.startsWithDollar || !name.startsWith('$')) && oracle.test(name)
      const taken = new Set(names.filter(isTaken))
      for (const { filter, loose, exact } of filters) {
        const where = `seed ${seed}: ${ours} and ${filter}, dollar ${dollar}`
        for (const [isExact, matched] of [
          [false, loose],
          [true, exact],
        ] as const) {
          const options = { exact: isExact, dollar }
          const found = coverCounterExample(regex, levels(filter), options)
          const known = matched.find((name) => !taken.has(name))
          const covers = regexCoversFilter(regex, levels(filter), options)
          if (covers === undefined) {
            undecided++
            continue
          }
          assert.equal(covers, found === undefined, where)
          if (found === undefined) assert.equal(known, undefined, `${where}, exact ${isExact}: not covered`)
          else {
            assert.ok(
              isNameOf(filter, found, isExact) && !isTaken(found),
              `${where}, exact ${isExact}: no counter-example ${found}`,
            )
            assert.ok(
              known === undefined || known.length >= found.length,
              `${where}: ${known} is shorter than ${found}`,
            )
          }
          counts[isExact ? 'coveredExactly' : 'covered'] += Number(found === undefined)
        }
        const witness = overlapWitness(regex, levels(filter), { dollar })
        const known = exact.find((name) => taken.has(name))
        const overlaps = regexOverlapsFilter(regex, levels(filter), { dollar })
        if (overlaps === undefined) {
          undecided++
          continue
        }
        assert.equal(overlaps, witness !== undefined, where)
        if (witness === undefined) assert.equal(known, undefined, `${where}: in both`)
        else {
          assert.ok(isNameOf(filter, witness, true) && isTaken(witness), `${where}: no witness ${witness}`)
          assert.ok(
            known === undefined || known.length >= witness.length,
            `${where}: ${known} is shorter than ${witness}`,
          )
        }
        counts[witness === undefined ? 'apart' : 'overlapping']++
        counts.pairs++
      }
    }
    t.diagnostic(`${JSON.stringify(counts)}, ${undecided} undecided`)
    assert.ok(undecided < counts.pairs / 10, 'few automata are too large')
    assert.ok(Math.min(...Object.values(counts)) > 20, 'every answer was given')
  })
}

test('above 2,000 states nothing is said: neither that the filter is covered nor that nothing is in common', () => {
  const wide = compile('(a|b)*a[ab]{12}/x|[ab]*')
  const options = { exact: false, dollar: false }
  assert.equal(regexOverlapsFilter(compile('[ab]*a[ab]{12}/x'), levels('+'), options), undefined)
  assert.equal(regexCoversFilter(compile('([ab]*a[ab]{12}|[\\s\\S]*)'), levels('+'), options), undefined)
  assert.equal(regexCoversFilter(wide, levels('a/x'), options), false, 'one name needs no states')
  assert.equal(
    regexOverlapsFilter(compile('[ab]*a[ab]{8}/x'), levels('+'), options),
    false,
    '512 states are few enough',
  )
})
