import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused, hasNote, imported } from './imported.ts'
import { filterTexts, levelTexts, stands } from './mqtt-model.ts'
import { forEvery } from './property.ts'
import { javaMatches } from './tbmq-model.ts'

const names = levelTexts(['a', 'b', 'ab', '$s'], 3)
const edgeNames = levelTexts(['a', ''], 3)
const filters = filterTexts(['a', 'b'], 3)

const level = fc.constantFrom(
  'a',
  'b',
  'a',
  '[^/]+',
  '[^/]+',
  '\\Qa\\E',
  '.',
  'a.',
  '(a|b)',
  '[^/]*',
  'a?b',
  '\\x61'.slice(2),
  'a+',
)
const tail = fc.constantFrom('', '', '/.*', '/.*', '.*', '/.+', '/[^/]+', '(/.*)?')
const pattern = fc
  .tuple(
    fc.constantFrom('', '', '', '^', '/'),
    fc.array(level, { minLength: 1, maxLength: 3 }),
    tail,
    fc.constantFrom('', '', '$'),
  )
  .map(([head, levels, end, anchor]) => `${head}${levels.join('/')}${end}${anchor}`)
const patterns = fc.array(
  fc.oneof({ weight: 12, arbitrary: pattern }, { weight: 1, arbitrary: fc.constantFrom('.*', '#', '', 'a/#') }),
  { maxLength: 3 },
)

function matchesAny(list: readonly string[], name: string): boolean {
  return list.some((one) => javaMatches(one.replace(/^\^/, '').replace(/\$$/, ''), name))
}

/** The names that a filter takes beside a pattern that it is written for: its level above, and those with an empty level. */
function isNotedSpot(list: readonly string[], name: string): boolean {
  const withTexts = name.split('/').reduce<string[][]>(
    (all, one) =>
      all.flatMap((levels) =>
        one === ''
          ? [
              [...levels, ''],
              [...levels, 'zz'],
            ]
          : [[...levels, one]],
      ),
    [[]],
  )
  return withTexts.some((levels) =>
    [levels.join('/'), [...levels, 'x'].join('/')].some((near) => matchesAny(list, near)),
  )
}

test('imported lists decide every topic name as TBMQ does, and no filter stands for a name that they refuse', (t) => {
  let granted = 0
  forEvery(t, fc.record({ pub: patterns, sub: patterns }), 200, ({ pub, sub }) => {
    const subject = imported('tbmq', { pubAuthRulePatterns: pub, subAuthRulePatterns: sub }).as({})
    for (const name of names) {
      const spot = (list: readonly string[]) => isNotedSpot(list, name)
      const published = !name.startsWith('$') && matchesAny(pub, name)
      if (subject.allows('publish', name) !== published)
        assert.ok(!published && spot(pub) && !name.startsWith('$'), `publish ${name} by ${JSON.stringify(pub)}`)
      const delivered = matchesAny(sub, name)
      if (subject.allows('receive', name) !== delivered)
        assert.ok(!delivered && spot(sub), `receive ${name} by ${JSON.stringify(sub)}`)
    }
    for (const name of edgeNames) {
      if (matchesAny(sub, name)) assert.ok(subject.allows('receive', name), `receive ${name} by ${JSON.stringify(sub)}`)
      else if (subject.allows('receive', name))
        assert.ok(isNotedSpot(sub, name), `receive ${name} by ${JSON.stringify(sub)}`)
    }
    for (const filter of filters) {
      if (!subject.allows('subscribe', filter)) continue
      granted++
      const leak = names.find((name) => stands(filter, name) && !matchesAny(sub, name) && !isNotedSpot(sub, name))
      assert.equal(leak, undefined, `${filter} by ${JSON.stringify(sub)}`)
    }
  })
  t.diagnostic(`${granted} filters granted`)
  assert.ok(granted > 300)
})

test('what a filter says too is written as one, with a note about the spots where they differ', () => {
  const policy = imported('tbmq', { pub: ['^sensors/device\\.1/[^/]+/.*$', '.*'], sub: ['\\Qa.b\\E/c', 'a.b'] })
  assert.deepEqual(
    policy.document.rules.map(({ topics }) => topics),
    [
      [
        { filter: 'sensors/device.1/+/#', dollar: true },
        { filter: '#', dollar: true },
      ],
      [
        { filter: 'a.b/c', dollar: true },
        { regex: 'a.b', dollar: true },
      ],
      [{ regex: '\\$[\\d\\D]*' }],
    ],
  )
  assert.equal(policy.notes.filter(({ kind, path }) => kind === 'changed' && path === 'pub[0]').length, 2)
})

test('anchors at the ends change nothing, and an escaped $ is none', () => {
  const subject = imported('tbmq', { sub: ['^a/b$', 'price/\\$', '\\$'] }).as({})
  assert.ok(subject.allows('receive', 'a/b') && subject.allows('receive', 'price/$') && subject.allows('receive', '$'))
  assert.ok(!subject.allows('receive', 'a/bc') && !subject.allows('receive', 'price/'))
})

test('a publish to $… is refused whatever allows it, also behind a line separator; a delivery is not', () => {
  const subject = imported('tbmq', { pub: ['.*'], sub: ['.*'] }).as({})
  assert.equal(subject.decide('publish', '$SYS/x').rule, 'no-publish-to-dollar')
  assert.ok(!subject.allows('publish', '$SYS/\u2028x'))
  assert.ok(subject.allows('receive', '$SYS/x') && subject.allows('publish', 'a/b'))
})

test('absent and empty lists allow nothing, null for all of them is no restriction', () => {
  const nothing = imported('tbmq', { pub: [] }).as({})
  assert.ok(!nothing.allows('publish', 'a') && !nothing.allows('subscribe', 'a'))
  const open = imported('tbmq', { result: 'SUCCESS', clientType: 'DEVICE', authRules: null })
  assert.equal(open.as({}).decide('subscribe', '#').rule, 'session-everything')
  assert.ok(hasNote(open, 'ambiguous', 'authRules') && hasNote(open, 'dropped', 'clientType'))
})

test('a list that looks like topic filters is told', () => {
  const policy = imported('tbmq', { sub: ['a/+/b', 'a/#'] })
  assert.ok(hasNote(policy, 'ambiguous', 'sub[0]') && hasNote(policy, 'ambiguous', 'sub[1]'))
  assert.ok(!policy.as({}).allows('subscribe', 'a/x/b'))
})

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  ['a look-around', { pub: ['a(?=b)'] }, 'pub[0]', /cannot be expressed/],
  ['a back-reference', { pub: ['b', '(a)\\1'] }, 'pub[1]', /cannot be expressed/],
  ['a variable outside of X.509', { sub: ['d/${cn}'] }, 'sub[0]', /X\.509/],
  ['a variable that is none', { sub: ['d/${user}'] }, 'sub[0]', /only variable/],
  ['${ behind a backslash', { sub: ['d/\\${2}'] }, 'sub[0]', /\\\{/],
  ['a pattern that is no text', { pub: [1] }, 'pub[0]', /must be text/],
  ['a misspelt list', { pubAuthRulePattern: [] }, 'pubAuthRulePattern', /did you mean pubAuthRulePatterns/],
  ['an answer that is no success', { result: 'FAILURE', authRules: {} }, 'result', /success/],
  ['an answer without rules', { result: 'success' }, 'authRules', /required/],
  ['a text', '"x"', '', /must be an object or a list/],
]
for (const [name, input, at, message] of wrong)
  test(`tbmq refuses ${name}`, () => assertRefused('tbmq', input, at, message))
