import fc from 'fast-check'
import type { TextCondition, WhenDocument } from '#src/policy/document.ts'

const word = fc.constantFrom('a', 'b', 'c')
const names = fc.array(fc.constantFrom('a', 'b', 'a.b', 'ab'), { maxLength: 2 })

const comparison: fc.Arbitrary<TextCondition> = fc.oneof<fc.Arbitrary<TextCondition>[]>(
  word,
  fc.constantFrom('7', 'true', '-7'),
  word.map((eq) => ({ eq })),
  fc.array(word, { maxLength: 2 }).map((list) => ({ in: list })),
  fc.constantFrom('a', 'a*', '*', 'a*a', '*b', '.').map((glob) => ({ glob })),
  fc
    .record({
      regex: fc.constantFrom('a', '[ab]', '^a', 'b$', '^a$', '(?i)A', '[a-b]+', 'a|b', '\\d', '.*'),
      mode: fc.constantFrom('full', 'search', undefined),
    })
    .map(({ regex, mode }) => (mode === undefined ? { regex } : { regex, mode })),
  fc.boolean().map((exists) => ({ exists })),
)

const textCondition = fc.oneof(
  { weight: 4, arbitrary: comparison },
  { weight: 1, arbitrary: comparison.map((not) => ({ not })) },
  { weight: 1, arbitrary: comparison.map((condition) => ({ not: { not: condition } })) },
)

const oneOrList = <T>(value: fc.Arbitrary<T>) => fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 2 }))

const setCondition = fc.oneof(
  names,
  fc
    .record(
      {
        anyOf: names,
        allOf: names,
        noneOf: names,
        anyPrefix: fc.array(fc.constantFrom('a', 'a.', 'c'), { maxLength: 2 }),
      },
      { requiredKeys: [] },
    )
    .filter((condition) => Object.keys(condition).length > 0),
)

const net = fc.constantFrom(
  '10.0.0.0/8',
  '10.0.0.1',
  '10.9.9.9/16',
  '::ffff:10.0.0.0/104',
  '2001:db8::/32',
  '0.0.0.0/0',
  '::/0',
)

/** Conditions that say who it is, which an engine may look rules up by. */
const indexable: fc.Arbitrary<WhenDocument> = fc
  .tuple(
    fc.constantFrom('clientId', 'username', 'sub', 'org'),
    fc.oneof(
      word,
      word.map((eq) => ({ eq })),
      fc.uniqueArray(word, { minLength: 1, maxLength: 2 }).map((list) => ({ in: list })),
    ),
  )
  .map(([path, condition]) => ({ [path]: condition }))

const paths = ['clientId', 'username', 'sub', 'org', 'cert.cn', 'cert.cn', 'claims.x', 'claims.deep.er', 'mine', 'mine']
const comparable: fc.Arbitrary<WhenDocument> = fc
  .tuple(fc.constantFrom(...paths), textCondition)
  .map(([path, condition]) => ({ [path]: condition }))

const single: fc.Arbitrary<WhenDocument> = fc.oneof<fc.Arbitrary<WhenDocument>[]>(
  indexable,
  indexable,
  comparable,
  comparable,
  comparable,
  oneOrList(fc.constantFrom('device', 'service', 'user')).map((type) => ({ type })),
  oneOrList(fc.constantFrom('basic', 'jwt', 'x509')).map((auth) => ({ auth })),
  oneOrList(fc.constantFrom('tcp', 'http')).map((listener) => ({ listener })),
  oneOrList(fc.constantFrom(3, 4, 5)).map((protocol) => ({ protocol })),
  fc.boolean().map((tls) => ({ tls })),
  fc.array(net, { minLength: 1, maxLength: 2 }).map((ip) => ({ ip })),
  setCondition.map((groups) => ({ groups })),
  setCondition.map((roles) => ({ roles })),
  setCondition.map((scopes) => ({ scopes })),
)

const several = fc.array(single, { minLength: 1, maxLength: 2 }).map((all) => Object.assign({}, ...all) as WhenDocument)

/** Conditions of every kind, two levels deep. */
export const whenArbitrary: fc.Arbitrary<WhenDocument> = fc.oneof(
  { weight: 4, arbitrary: single },
  { weight: 2, arbitrary: several },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('anyOf', 'allOf', 'noneOf'), fc.array(several, { maxLength: 2 }))
      .map(([word, list]) => ({ [word]: list })),
  },
)
