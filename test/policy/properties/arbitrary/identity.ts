import fc from 'fast-check'
import type { Identity } from '#src/policy/identity.ts'
import { weighted } from './texts.ts'

const word = weighted([
  [6, 'a'],
  [6, 'b'],
  [2, 'c'],
])

/** Values that no rule may take for structure, or may not take at all. */
const oddValue: fc.Arbitrary<unknown> = fc.constantFrom<unknown>(
  'a/b',
  'a/',
  '/',
  '+',
  '#',
  'a+',
  '$s',
  '$',
  'a\u0000b',
  '\u001f',
  '\u009f',
  '\ud800',
  '\u{1f600}',
  '\ufffc',
  '${x}',
  '${clientId}',
  '.*',
  'a|b',
  '\\E',
  '',
  'é'.repeat(512),
  'é'.repeat(513),
  7,
  -7,
  0,
  7.5,
  2 ** 53,
  Number.NaN,
  true,
  false,
  null,
  {},
  { a: 'a' },
  [],
  ['a'],
)

const anyValue = fc.oneof({ weight: 5, arbitrary: word as fc.Arbitrary<unknown> }, { weight: 2, arbitrary: oddValue })

const listValue = fc.oneof(
  { weight: 5, arbitrary: fc.array(word, { maxLength: 3 }) as fc.Arbitrary<unknown> },
  { weight: 2, arbitrary: fc.array(anyValue, { maxLength: 3 }) },
  { weight: 1, arbitrary: anyValue },
  { weight: 1, arbitrary: fc.constantFrom(1000, 1001).map((length) => Array.from({ length }, () => 'a')) },
)

const names = fc.array(fc.constantFrom('a', 'b', 'a.b', 'ab', 'c.x'), { maxLength: 3 })

/** An identity of the kind that a token with hostile claims makes: some members are missing, some are not what they should be. */
export const identityArbitrary: fc.Arbitrary<Identity> = fc
  .record(
    {
      clientId: anyValue,
      username: anyValue,
      sub: anyValue,
      org: word,
      type: fc.constantFrom('device', 'service', 'user'),
      ip: fc.constantFrom(
        '10.0.0.1',
        '10.9.2.3',
        '::ffff:10.0.0.1',
        '::ffff:a00:1',
        '2001:db8::1',
        '2001:DB8:0::1',
        'x',
      ),
      protocol: fc.constantFrom(3, 4, 5),
      listener: fc.constantFrom('tcp', 'http'),
      tls: fc.boolean(),
      auth: fc.constantFrom('basic', 'jwt', 'x509'),
      groups: names,
      roles: names,
      scopes: names,
      claims: fc.record(
        {
          x: anyValue,
          p: fc.oneof(
            fc.constantFrom('a', 'a/b', 'b/a', 'a//b', 'a/+', '/a', '$s/a') as fc.Arbitrary<unknown>,
            oddValue,
          ),
          list: listValue,
          deep: fc.record({ er: anyValue }, { requiredKeys: [] }),
        },
        { requiredKeys: [] },
      ),
      cert: fc.record({ cn: word }),
    },
    { requiredKeys: [] },
  )
  .map((members) => members as Identity)
