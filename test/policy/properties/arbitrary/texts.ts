import fc from 'fast-check'

/** One of some values, each as often as its weight says. */
export function weighted<T>(table: readonly (readonly [weight: number, value: T])[]): fc.Arbitrary<T> {
  return fc.oneof(...table.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })))
}

/** A value, or nothing `times` times as often. */
export function rarely<T>(arbitrary: fc.Arbitrary<T>, times: number): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: times, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })
}

/** Few letters, so that two texts made apart often meet. */
const nameLevel = weighted([
  [8, 'a'],
  [8, 'b'],
  [2, 'c'],
  [1, ''],
  [2, '$s'],
  [1, 'xa'],
  [1, '7'],
  [1, 'a%2Fb'],
  [1, '${x}'],
])

export const topicName: fc.Arbitrary<string> = fc
  .array(nameLevel, { minLength: 1, maxLength: 3 })
  .map((levels) => levels.join('/') || 'a')

const filterLevel = fc.oneof({ weight: 3, arbitrary: nameLevel }, { weight: 2, arbitrary: fc.constant('+') })

/** Filters that have two spellings, and what is next to them. */
const spelled = fc.constantFrom('/#', '/+/#', '+/#', '#', '/+', '/', '+/+/#')

const builtFilter = fc
  .tuple(fc.array(filterLevel, { minLength: 0, maxLength: 3 }), fc.boolean())
  .map(([levels, isOpen]) => (isOpen ? [...levels, '#'] : levels).join('/') || '#')

/** A valid filter without share prefix. */
export const plainFilter: fc.Arbitrary<string> = fc.oneof(
  { weight: 12, arbitrary: builtFilter },
  { weight: 1, arbitrary: spelled },
)

const patternLevel = weighted([
  [12, 'a'],
  [12, 'b'],
  [1, 'c'],
  [12, '+'],
  [1, ''],
  [2, '$s'],
  [3, '${clientId}'],
  [3, '${claims.x}'],
  [1, '${mine}'],
  [1, '${username}'],
  [1, '${sub|enc}'],
  [3, '${claims.p|path}'],
  [2, 'x${claims.x}'],
  [1, '${clientId}${claims.x|enc}'],
  [3, '${claims.list[]}'],
  [1, '${several[]}'],
  [1, '${claims.list[]|enc}'],
  [1, '$${x}'],
  [3, '+:s'],
])

/** A pattern has one list at most, and each name of a capture once. */
function withoutRepeats(levels: readonly string[]): readonly string[] {
  return levels.map((level, i) => {
    const isRepeat = levels.slice(0, i).some((other) => /\[\]|^\+:/.test(level) && /\[\]|^\+:/.test(other))
    return isRepeat ? 'a' : level
  })
}

const builtPattern = fc
  .tuple(fc.array(patternLevel, { minLength: 0, maxLength: 3 }), fc.boolean())
  .map(([levels, isOpen]) => (isOpen ? [...withoutRepeats(levels), '#'] : withoutRepeats(levels)).join('/') || '#')

/** The text of a filter or eq in a rule. */
export const patternText: fc.Arbitrary<string> = fc.oneof(
  { weight: 16, arbitrary: builtPattern },
  { weight: 1, arbitrary: spelled },
)

/** A pattern that binds `${topic.s}`, and on demand `${topic.r}`. */
export const capturingText = (withR: boolean): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.array(
        weighted([
          [3, 'a'],
          [1, '+'],
          [1, '${clientId}'],
        ]),
        { maxLength: 1 },
      ),
      fc.boolean(),
      fc.array(
        weighted([
          [1, 'b'],
          [1, '+'],
        ]),
        { maxLength: 1 },
      ),
      fc.boolean(),
    )
    .map(([head, isSwapped, tail, isOpen]) => {
      const captures = withR ? (isSwapped ? ['+:r', '+:s'] : ['+:s', '+:r']) : ['+:s']
      return [...head, ...captures, ...tail, ...(isOpen ? ['#'] : [])].join('/')
    })

/** Texts that are no topic and no filter, one for each reason and a few around the borders. */
export const oddTopic: fc.Arbitrary<string> = fc.constantFrom(
  '',
  'a/\u0000',
  'a\u0001',
  'a\u007f/b',
  'a\u009f',
  'a\u00a0',
  'a/\ud800',
  'a/b#',
  '#/a',
  'a/#/b',
  'a+',
  '+a/+',
  'a/+#',
  'a/+/#',
  '$share',
  '$share/',
  '$share/g',
  '$share/g/',
  '$share//',
  '$share//a',
  '$share/+/a',
  '$share/g#/a',
  '$share/g/a+',
  '$share/g\u0000/a',
  '$share/g\u0001/a',
  '$share/\ud800/a',
  '$share/g\u0001/a#',
  '$share/gggggggg/a',
  '$shared/a',
  '$queue/a',
  '/',
  '//',
  'é/a',
  'a/a/a/a/a/a',
  'b'.repeat(70),
  `a${'/a'.repeat(127)}`,
  `a${'/a'.repeat(128)}`,
  'a'.repeat(65_535),
  'é'.repeat(32_768),
)
