import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { attackClasses, attackPatterns } from '#src/guards/attack-patterns.ts'
import { attackSearcher, findAttacks } from '#src/guards/find-attacks.ts'
import { Searcher } from '#src/guards/searcher.ts'
import { unitsOf } from '#src/guards/text-arena.ts'
import { attacks, disguised, harmless } from './attack-table.ts'

/** Asks the engine for the place of a match, which it finds by another way than by the automaton that tables are made of. */
function engineFinds(patterns: readonly string[]): (text: string) => boolean {
  const regexes = patterns.map((pattern) => RE2JS.compile(pattern))
  return (text) => regexes.some((regex) => regex.matcher(text).find())
}

const fragments = [
  ...`' " ; | & $ ( ) < > / \\ . , : = # - * % @ ! { } [ ] ~ ^ _ + ?`.split(' '),
  '`',
  ' ',
  '\n',
  '\r',
  '\t',
  '\0',
  '/*',
  '*/',
  '--',
  '../',
  '..\\',
  '$(',
  '&&',
  '||',
  '/**/',
  '1',
  '2',
  '0.5',
  ...`or and union all select insert into values update set delete from where drop table exec xp_cmdshell sleep
     waitfor delay benchmark having like id ls rm cat nc bash sh whoami uname wget curl python3 kill -rf -c /bin/ /etc
     cmd.exe IFS script <script onload onerror onclick javascript: vbscript: data:text/html srcdoc iframe svg img a x
     table INTO Union SELECT`.split(/\s+/),
  'é',
  '\u017f',
  '\u212a',
  '温',
  '\ud83d\ude00',
  '\ud800',
  '\udc00',
  '\ufeff',
  '\u2028',
]
const piece = fc.oneof(fc.constantFrom(...fragments), fc.string({ maxLength: 3, unit: 'binary' }))
const noise = fc.array(piece, { maxLength: 14 }).map((parts) => parts.join(''))
const known = [...Object.values(attacks).flat(), ...disguised, ...harmless].map(([text]) => text)
/** A text of the tables with a piece taken out, something put in its place, and something around it. */
const nearly = fc
  .record({
    text: fc.constantFrom(...known),
    at: fc.nat({ max: 40 }),
    cut: fc.nat({ max: 2 }),
    before: noise,
    into: piece,
    after: noise,
  })
  .map(({ text, at, cut, before, into, after }) => {
    const i = at % (text.length + 1)
    return `${before.slice(0, 4)}${text.slice(0, i)}${cut === 0 ? into : ''}${text.slice(i + cut)}${after.slice(0, 4)}`
  })
const text = fc.oneof(noise, nearly, nearly)

for (const name of attackClasses) {
  test(`the table of ${name} answers as the engine does`, () => {
    const finds = engineFinds(attackPatterns[name].map((pattern) => `(?i)${pattern}`))
    const seen = { true: 0, false: 0 }
    fc.assert(
      fc.property(text, (one) => {
        const found = finds(one)
        seen[`${found}`]++
        assert.equal(attackSearcher([name]).search(one), found, JSON.stringify(one))
      }),
      { numRuns: 1_500 },
    )
    assert.ok(seen.true > 20 && seen.false > 20, JSON.stringify(seen))
  })
}

test('the automaton of all classes together misses nothing that one of them finds', () => {
  fc.assert(
    fc.property(text, (one) => {
      const scanned = { units: unitsOf(one), texts: Uint32Array.of(0, one.length), complete: true }
      const alone = attackClasses.filter((name) => attackSearcher([name]).search(one))
      assert.deepEqual(findAttacks(attackClasses, scanned), alone)
    }),
    { numRuns: 1_500 },
  )
})

const patterns = [
  String.raw`\bfoo\b`,
  '^a|b$',
  '(?m)^x$',
  String.raw`\Ba\B`,
  '(?i)straße|k',
  '[^a-z]{2}',
  '.{3}',
  '(?s)a.b',
  String.raw`\pL\d\PL`,
  '(a|ab)(c|bcd)*$',
  '(?i)[\\x{1f600}-\\x{1f64f}]',
  '',
  '$',
  String.raw`\x00|\z`,
  '(?:a*)*b',
]

for (const pattern of patterns) {
  test(`the table of /${pattern}/ answers as the engine does, finished or not`, () => {
    const finds = engineFinds([pattern])
    const lazy = new Searcher([pattern])
    const finished = new Searcher([pattern])
    assert.equal(finished.finish({ left: 10_000_000 }), true)
    const short = fc.array(
      fc.constantFrom(...'abcdfokxKſ1 \n_é\0'.split(''), 'ß', '\ud83d\ude00', '\ud83d', '\ude00'),
      {
        maxLength: 8,
      },
    )
    fc.assert(
      fc.property(short, (parts) => {
        const one = parts.join('')
        assert.equal(lazy.search(one), finds(one), JSON.stringify(one))
        assert.equal(finished.search(one), finds(one), JSON.stringify(one))
      }),
      { numRuns: 400 },
    )
  })
}

test('every text over a small alphabet is judged alike', () => {
  const pattern = String.raw`(?i)\ba+\b|^b|a$`
  const finds = engineFinds([pattern])
  const searcher = new Searcher([pattern])
  let texts = ['']
  let judged = 0
  for (let length = 0; length < 6; length++) {
    for (const one of texts) {
      assert.equal(searcher.search(one), finds(one), JSON.stringify(one))
      judged++
    }
    texts = texts.flatMap((one) => 'aAb _'.split('').map((letter) => one + letter))
  }
  assert.equal(judged, 3_906)
})

test('a part of an array is a text of its own', () => {
  const searcher = new Searcher(['^b$'])
  const units = unitsOf('abc')
  assert.equal(searcher.searchTexts(units, Uint32Array.of(0, 3)), false)
  assert.equal(searcher.searchTexts(units, Uint32Array.of(0, 1, 1, 2)), true)
  assert.equal(
    new Searcher(['\\x{1f600}']).searchTexts(unitsOf('\ud83d\ude00'), Uint32Array.of(0, 1)),
    false,
    'half a pair is none',
  )
})

test('the automaton of a class has few states, so that even all of them together are soon made', () => {
  for (const name of attackClasses) {
    const searcher = new Searcher(attackPatterns[name].map((pattern) => `(?i)${pattern}`))
    assert.equal(searcher.finish({ left: 40_000_000 }), true, name)
    assert.ok(searcher.stateCount < 3_000, `${name}: ${searcher.stateCount}`)
  }
})

test('a search within a budget gives up instead of making states, and says so', () => {
  const searcher = new Searcher(['(?i)union select'])
  const units = unitsOf('a union select')
  assert.equal(searcher.trySearchTexts(units, Uint32Array.of(0, 14), { left: 0 }), undefined)
  assert.equal(searcher.trySearchTexts(units, Uint32Array.of(0, 14), { left: 1_000_000 }), true)
  assert.equal(searcher.trySearchTexts(units, Uint32Array.of(0, 14), { left: 0 }), true, 'the states are there now')
})
