import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createGuards } from '#src/guards/create-guards.ts'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { allPatterns, guardsOf, message } from './fixtures.ts'

const everything = {
  'rate-limit': { enabled: true, 'per-client': { 'messages-per-second': 0 } },
  qos: { enabled: true, 'per-topic': [{ topic: 'a/+', 'max-qos': 1 }] },
  retained: { enabled: true, 'blocked-topics': ['b/#'] },
  inspection: {
    enabled: true,
    'max-payload-size': 0,
    patterns: { ...allPatterns, 'custom-patterns': [{ name: 'p', pattern: '(?i)key\\b' }] },
    'json-schema': {
      topics: ['#'],
      schema: {
        properties: { a: { enum: [{ b: 1 }, 'x'] } },
        additionalProperties: { uniqueItems: true, format: 'uri' },
      },
    },
  },
  general: { 'fail-open': true },
}

const pieces = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc
    .constantFrom(
      '{"a":',
      '"',
      '}',
      '[',
      ']',
      '\\u',
      '\\ud83d',
      '%',
      '%c0%',
      '&#',
      '&lt',
      ';',
      '\0',
      '\ufeff',
      '{"valueOf":1}',
      '{"a":{"b":1}}',
      'é',
      '\u{1f600}',
    )
    .map((text) => new TextEncoder().encode(text)),
)
const payloads = fc.array(pieces, { maxLength: 10 }).map((parts) => new Uint8Array(Buffer.concat(parts)))

test('no payload is an internal error of a guard, which fail-open would let through', () => {
  const guards = guardsOf(everything)
  fc.assert(
    fc.property(payloads, fc.boolean(), (payload, retain) => {
      const before = Buffer.from(payload)
      const { refusal, findings } = guards.checkPublish(message(payload, { topic: 'a/b', qos: 2, retain }), {})
      assert.deepEqual([refusal?.cause, findings], [undefined, []])
      assert.deepEqual(Buffer.from(payload), before, 'the payload is only read')
    }),
    { numRuns: 3_000 },
  )
})

/** JSON that is near a document: its keys, with values of every kind under them. */
const keys = [
  'rate-limit',
  'qos',
  'retained',
  'inspection',
  'general',
  'auth',
  'acl',
  'enabled',
  'per-topic',
  'topic',
  'limit',
  'global',
  'max-qos',
  'patterns',
  'custom-patterns',
  'name',
  'pattern',
  'json-schema',
  'schema',
  'schema-file',
  'topics',
  'rules',
  'match',
  'providers',
  'type',
  '$ref',
  'properties',
  '__proto__',
  'constructor',
]
const { document } = fc.letrec((tie) => ({
  leaf: fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 1e308, '', 'a/#', '#', '(', '$share/g/a', 'jwt', [], {}),
  node: fc.oneof(
    { depthSize: 'medium' },
    tie('leaf'),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...keys), tie('node'), { maxKeys: 5 }),
  ),
  document: fc.dictionary(fc.constantFrom(...keys), tie('node'), { maxKeys: 6 }),
}))

test('every document is either refused with problems or makes guards; none throws', () => {
  const seen = { guards: 0, problems: 0 }
  fc.assert(
    fc.property(document, fc.constantFrom('integration', 'gateway'), (written, source) => {
      const json: unknown = JSON.parse(JSON.stringify(written))
      const { guards, problems } = parseGuards(json, { source: source as 'integration' | 'gateway' })
      assert.equal(guards === undefined, problems.length > 0)
      if (!guards) {
        seen.problems++
        return
      }
      seen.guards++
      createGuards(guards, { clock: { monotonic: () => 0 } }).checkPublish(message('{"a":1}'), {})
    }),
    { numRuns: 3_000 },
  )
  assert.ok(seen.guards > 50 && seen.problems > 50, JSON.stringify(seen))
})
