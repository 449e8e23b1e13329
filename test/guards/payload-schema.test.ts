import assert from 'node:assert/strict'
import { test } from 'node:test'
import { integrationLimits } from '#src/guards/parse-limits.ts'
import { PayloadSchema } from '#src/guards/payload-schema.ts'
import { classOf, guardsOf, problemsOf, publish } from './fixtures.ts'

function compile(json: unknown): PayloadSchema {
  const compiled = PayloadSchema.compile(json, { maxSize: 65_536, budget: { left: integrationLimits.patternWork } })
  return 'schema' in compiled ? compiled.schema : assert.fail(compiled.problems.join('; '))
}

function problems(json: unknown): readonly string[] {
  const compiled = PayloadSchema.compile(json, { maxSize: 65_536, budget: { left: integrationLimits.patternWork } })
  return 'schema' in compiled ? [] : compiled.problems
}

const TOO_LARGE = 'it is too large to be held against this schema'

const reading = {
  type: 'object',
  properties: {
    temperature: { type: 'number', minimum: -50, maximum: 100 },
    humidity: { type: 'number', minimum: 0, maximum: 100 },
    timestamp: { type: 'string', format: 'date-time' },
  },
  required: ['temperature'],
}

/** The tests of the published agent, by their names, and what its JSON makes plain beside them. */
const readings: readonly (readonly [name: string, payload: string, problem: RegExp | undefined])[] = [
  ['valid_json', '{"temperature":25.5,"humidity":60}', undefined],
  ['missing_required_field', '{"humidity":60}', /required/],
  ['invalid_type', '{"temperature":"hot"}', /must be number/],
  ['out_of_range', '{"temperature":150}', /must be <= 100/],
  ['invalid_json', 'not json at all', /not JSON/],
  ['is_valid', '{"temperature":25}', undefined],
  ['a format is asserted', '{"temperature":25,"timestamp":"yesterday"}', /date-time/],
  ['a date-time', '{"temperature":25,"timestamp":"2026-01-01T00:00:00Z"}', undefined],
  ['an empty payload is not JSON', '', /not JSON/],
  ['a number may be written with an exponent', '{"temperature":2.5e1}', undefined],
  ['a member twice is not told apart by parsers', '{"temperature":25,"temperature":9000}', /twice/],
  ['nested deeper than is read', `{"temperature":25,"x":${'['.repeat(70)}${']'.repeat(70)}}`, /deeply/],
]

for (const [name, payload, problem] of readings) {
  test(`schema: ${name}`, () => {
    const found = compile(reading).problemOf(payload)
    if (problem) assert.match(found ?? '', problem)
    else assert.equal(found, undefined)
  })
}

test('no $schema is 2020-12: prefixItems, dependentRequired, unevaluatedProperties', () => {
  assert.notEqual(compile({ prefixItems: [{ type: 'string' }] }).problemOf('[1]'), undefined)
  assert.notEqual(compile({ dependentRequired: { a: ['b'] } }).problemOf('{"a":1}'), undefined)
  const closed = compile({ allOf: [{ properties: { a: true } }], unevaluatedProperties: false })
  assert.equal(closed.problemOf('{"a":1}'), undefined)
  assert.notEqual(closed.problemOf('{"b":1}'), undefined)
})

test('a schema may refer to its own parts, by pointer, by anchor and by its $id', () => {
  const schema = compile({
    $id: 'https://example.com/s',
    $defs: { 'a/b~c d': { type: 'string' }, named: { $anchor: 'anchor', type: 'integer' }, 'x"y': { const: 1 } },
    properties: {
      pointer: { $ref: '#/$defs/a~1b~0c%20d' },
      anchor: { $ref: '#anchor' },
      id: { $ref: 'https://example.com/s#/$defs/x%22y' },
      nested: { $ref: '#/properties/anchor' },
    },
  })
  assert.equal(schema.problemOf('{"pointer":"x","anchor":1,"id":1,"nested":2}'), undefined)
  for (const bad of ['{"pointer":1}', '{"anchor":"x"}', '{"id":2}', '{"nested":0.5}'])
    assert.notEqual(schema.problemOf(bad), undefined, bad)
})

const refused: readonly (readonly [schema: unknown, problem: RegExp])[] = [
  [{ $ref: 'https://example.com/other.json' }, /not fetched/],
  [{ $ref: 'other.json#/x' }, /not fetched/],
  [{ $ref: '#/$defs/nowhere' }, /no schema of this document/],
  [{ $ref: '#/%zz' }, /no schema of this document/],
  [{ $defs: { unused: { $ref: 'https://example.com/x' } } }, /not fetched/],
  [{ $ref: 'https://json-schema.org/draft/2020-12/schema' }, /not fetched/],
  [{ $schema: 'http://json-schema.org/draft-07/schema#' }, /2020-12/],
  [{ properies: {} }, /did you mean properties\?/],
  [{ format: 'colour' }, /must be one of date/],
  [{ type: 'nothing' }, /#\/type/],
  [{ minimum: '1' }, /#\/minimum/],
  [{ required: 'a' }, /#\/required/],
  [{ allOf: {} }, /list of schemas/],
  [{ properties: [] }, /object of schemas/],
  [{ items: 5 }, /must be a schema/],
  [{ pattern: '(?=a)' }, /RE2/],
  [{ pattern: '(' }, /ECMA-262/],
  [{ pattern: '(a)\\1' }, /back-reference/],
  [{ patternProperties: { '[': true } }, /ECMA-262/],
  [{ $async: true }, /not JSON Schema/],
  [{ $dynamicRef: '#x' }, /write \$ref/],
  [{ $recursiveRef: '#' }, /older draft/],
  [{ dependencies: {} }, /older draft/],
  [{ properties: { a: { $id: 'x' } } }, /root only/],
  [JSON.parse('{"properties":{"__proto__":{"type":"string"}}}'), /__proto__/],
  [JSON.parse('{"__proto__":{"type":"string"}}'), /unknown keyword/],
  [[], /must be a schema/],
  ['{}', /must be a schema/],
  [null, /must be a schema/],
]

for (const [schema, problem] of refused) {
  test(`a bad schema is a load error: ${JSON.stringify(schema)}`, () => {
    assert.match(problems(schema).join('\n'), problem)
    const document = { inspection: { 'json-schema': { topics: ['t'], schema } } }
    const [first = ''] = problemsOf(document)
    assert.match(first, /^inspection\.json-schema\.schema: /)
  })
}

test('names that are very long are refused', () => {
  assert.match(problems({ properties: { ['n'.repeat(5_000)]: {} } }).join(), /longer than 4096 characters/)
})

test('all problems of a schema are told at once', () => {
  assert.equal(problems({ foo: 1, format: 'x', properties: { a: { bar: 1 }, b: { pattern: '(' } } }).length, 4)
})

test('a schema that refers to itself has no bound, and is refused', () => {
  assert.match(problems({ properties: { child: { $ref: '#' } } }).join(), /refers to itself/)
  assert.match(
    problems({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { allOf: [{ $ref: '#/$defs/a' }] } } }).join(),
    /refers to itself/,
  )
})

/** Definitions of which each names the next `times` times. */
function doubling(levels: number, times: number, last: unknown): Record<string, unknown> {
  const $defs: Record<string, unknown> = { [`d${levels}`]: last }
  for (let i = 0; i < levels; i++)
    $defs[`d${i}`] = { allOf: Array.from({ length: times }, () => ({ $ref: `#/$defs/d${i + 1}` })) }
  return { $ref: '#/$defs/d0', $defs }
}

test('a long chain of references is refused, not followed to the end of the stack', () => {
  assert.deepEqual(problems(doubling(100, 1, { type: 'object' })), [])
  assert.match(problems(doubling(400, 1, { type: 'object' })).join(), /more than 256 references/)
})

test('references that multiply are counted as what they cost', () => {
  assert.deepEqual(problems(doubling(5, 2, { type: 'object' })), [])
  assert.match(problems(doubling(30, 2, { type: 'object' })).join(), /more than 20000 looks/)
  assert.match(problems(doubling(7, 2, { pattern: 'a' })).join(), /more than 64 patterns/)
  assert.match(problems(doubling(1, 1_200, { type: 'object' })).join(), /more than 250 schemas/)
})

test('hostile schemas are refused or compiled in bounded time', () => {
  const nested = (depth: number): unknown => (depth === 0 ? {} : { items: nested(depth - 1) })
  const many = (count: number, schema: unknown) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, schema]))
  const documents: unknown[] = [
    nested(5_000),
    { properties: many(100_000, {}) },
    { properties: many(1_500, { type: 'string', minLength: 1 }) },
    { properties: many(980, { type: 'string', minLength: 1 }), unevaluatedProperties: false },
    { properties: many(240, { type: 'string', minLength: 1 }), unevaluatedProperties: false },
    { allOf: Object.values(many(60, { pattern: `^${'\\p{L}'.repeat(150)}(?=a)` })) },
    { enum: Array.from({ length: 4_000 }, (_, i) => i) },
    { description: 'x'.repeat(10_000_000) },
    { properties: { ['n'.repeat(40_000)]: { properties: many(1_400, {}) } } },
    { patternProperties: many(200, {}) },
    { properties: { ['a'.repeat(40)]: {} }, patternProperties: { '^(a+)+b$': {} } },
    { pattern: '(a{1000}){1000}' },
    { pattern: '^(?:a|a)*$', items: { pattern: '(x+x+)+y' } },
  ]
  for (const document of documents) {
    const began = process.cpuUsage()
    problems(document)
    const spent = process.cpuUsage(began)
    assert.ok(spent.user < 800_000, `${JSON.stringify(document).slice(0, 60)}: ${spent.user / 1_000} ms`)
  }
})

test('text of a schema never becomes code', () => {
  const texts = [
    '"];globalThis.reached=1;["',
    "'+(globalThis.reached=1)+'",
    '`${globalThis.reached=1}`',
    '*/globalThis.reached=1/*',
    '\u2028globalThis.reached=1\u2029',
    '\\"\n;globalThis.reached=1//',
    '</script>',
    '${x}',
    '__proto_',
    'constructor',
    'a.b[c]',
  ]
  for (const text of texts) {
    const schema = compile({
      $id: text,
      $comment: text,
      title: text,
      $anchor: text,
      default: text,
      examples: [text],
      $defs: { [text]: { const: text } },
      properties: {
        [text]: { $ref: `#/$defs/${encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'))}` },
      },
      patternProperties: { [`^${text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}$`]: { enum: [text, 1] } },
      required: [text],
      dependentRequired: { [text]: [text] },
      dependentSchemas: { [text]: true },
      additionalProperties: false,
    })
    assert.equal(schema.problemOf(JSON.stringify({ [text]: text })), undefined, text)
    assert.notEqual(schema.problemOf(JSON.stringify({ [text]: 'other' })), undefined, text)
    assert.notEqual(schema.problemOf('{}'), undefined, text)
    assert.equal('reached' in globalThis, false, text)
  }
})

test('names of Object.prototype are members like others', () => {
  const schema = compile({ required: ['toString'], properties: { constructor: { type: 'number' } } })
  assert.notEqual(schema.problemOf('{}'), undefined)
  assert.equal(schema.problemOf('{"toString":1}'), undefined)
  assert.notEqual(schema.problemOf('{"toString":1,"constructor":"x"}'), undefined)
  assert.notEqual(compile({ additionalProperties: false }).problemOf('{"__proto__":1}'), undefined)
})

test('a payload that makes the validator throw does not fit, with fail-open too', () => {
  const json = { 'json-schema': { topics: ['t'], schema: { properties: { a: { const: { x: 1 } } } } } }
  const guards = guardsOf({ inspection: { enabled: true, ...json }, general: { 'fail-open': true } })
  for (const payload of ['{"a":{"valueOf":1}}', '{"a":{"toString":1}}', '{"a":{"constructor":1,"valueOf":null}}']) {
    assert.equal(classOf(guards, payload), 'schema-validation', payload)
  }
  assert.equal(classOf(guards, '{"a":{"x":1}}'), null)
})

test('uniqueItems compares values, and takes time in proportion to them', () => {
  const schema = compile({ uniqueItems: true })
  assert.equal(schema.problemOf('[1,"1",true,null,{"a":1},{"a":2},[1],[1,1],"__proto__"]'), undefined)
  for (const same of [
    '[1,1.0]',
    '[{"a":1,"b":2},{"b":2,"a":1}]',
    '[[{}],[{}]]',
    '["__proto__","__proto__"]',
    '["a","\\u0061"]',
  ]) {
    assert.notEqual(schema.problemOf(same), undefined, same)
  }
  const many = (length: number) => JSON.stringify(Array.from({ length }, (_, i) => ({ i })))
  const began = process.cpuUsage()
  assert.equal(schema.problemOf(many(20_000)), undefined)
  assert.ok(process.cpuUsage(began).user < 500_000)
  assert.equal(schema.problemOf(many(60_000)), TOO_LARGE)
  assert.equal(compile({ uniqueItems: false }).problemOf('[1,1]'), undefined)
})

test('what a message can cost under a schema has a bound', () => {
  const patterns = compile({ items: { allOf: Array.from({ length: 60 }, (_, i) => ({ pattern: `^(a|b${i})*$` })) } })
  const wide = compile({ items: { anyOf: Array.from({ length: 200 }, (_, i) => ({ const: i })) } })
  const texts = JSON.stringify(Array.from({ length: 1_000 }, () => 'a'.repeat(1_000)))
  for (const [schema, payload] of [
    [patterns, texts],
    [wide, JSON.stringify(Array.from({ length: 300_000 }, () => 199))],
  ] as const) {
    const began = process.cpuUsage()
    assert.equal(schema.problemOf(payload), TOO_LARGE)
    assert.ok(process.cpuUsage(began).user < 2_000_000)
  }
  assert.equal(wide.problemOf(JSON.stringify(Array.from({ length: 150 }, () => 199))), undefined)
})

/** Schemas that do much with each character, each member or each value, and a message that makes them. */
const bombs: readonly (readonly [name: string, schema: Record<string, unknown>, payload: unknown])[] = [
  ['maxLength under references', doubling(8, 2, { maxLength: 10_000_000 }), 'x'.repeat(1_000_000)],
  ['minLength under references', doubling(8, 2, { minLength: 1 }), '\u{1F600}'.repeat(130_000)],
  [
    'lengths without a reference',
    { allOf: Array.from({ length: 240 }, () => ({ maxLength: 10_000_000, minLength: 1 })) },
    'x'.repeat(262_000),
  ],
  ['names of members', doubling(6, 2, { propertyNames: { maxLength: 10_000_000 } }), { ['x'.repeat(900_000)]: 1 }],
  [
    'format',
    { items: { allOf: [{ format: 'uri' }, ...Array.from({ length: 99 }, () => ({ format: 'uri-reference' }))] } },
    Array.from({ length: 31 }, () => `http://a/${'b'.repeat(8_100)}`),
  ],
  ['format under references', doubling(6, 2, { format: 'email' }), `a@${'b.'.repeat(130_000)}c`],
  [
    'members counted',
    { allOf: Array.from({ length: 80 }, () => ({ minProperties: 1 })) },
    Object.fromEntries(Array.from({ length: 28_000 }, (_, i) => [`k${i}`, 1])),
  ],
  [
    'branches that fail',
    { items: { anyOf: [...Array.from({ length: 200 }, () => ({ type: 'string' })), true] } },
    Array.from({ length: 2_500 }, () => 1),
  ],
  [
    'short texts and many patterns',
    { items: { allOf: Array.from({ length: 60 }, (_, i) => ({ pattern: `^(a|b${i})*$` })) } },
    Array.from({ length: 15_000 }, () => 'a'),
  ],
]

for (const [name, schema, payload] of bombs) {
  test(`a message that takes long is refused before it is held against its schema: ${name}`, () => {
    const text = JSON.stringify(payload)
    assert.equal(compile(schema).problemOf(text), TOO_LARGE)
  })
}

test('an ordinary schema takes messages of an ordinary size', () => {
  const member = { type: 'string', minLength: 1, maxLength: 64 }
  const members = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`text${i}`, member]))
  const schema = compile({
    type: 'array',
    items: { properties: { ...reading.properties, ...members, unit: { enum: ['C', 'F'] } }, required: ['timestamp'] },
  })
  const one = { temperature: 1, timestamp: '2026-01-01T00:00:00Z', unit: 'C', text1: 'a', text2: 'b' }
  const text = JSON.stringify(Array.from({ length: 1_500 }, () => one))
  assert.ok(text.length > 100_000)
  assert.equal(schema.problemOf(text), undefined)
})

test('patterns are searched for in linear time', () => {
  const schema = compile({ pattern: '^(a+)+$' })
  const began = process.cpuUsage()
  assert.notEqual(schema.problemOf(JSON.stringify(`${'a'.repeat(500_000)}!`)), undefined)
  assert.ok(process.cpuUsage(began).user < 1_000_000)
})

/** Texts that fit a format and texts that do not, for every format that is asserted. */
const formats: Readonly<Record<string, readonly [good: readonly string[], bad: readonly string[]]>> = {
  date: [['2024-02-29'], ['2023-02-29', '2023-1-1', '']],
  time: [
    ['12:00:00Z', '23:59:60Z'],
    ['12:00:00', '25:00:00Z'],
  ],
  'date-time': [['2026-01-01T00:00:00.5+01:00'], ['2026-01-01', '2026-13-01T00:00:00Z']],
  duration: [
    ['P1DT2H', 'P1W'],
    ['P', '1D'],
  ],
  email: [['a@example.com'], ['a@', 'a b@c.d']],
  hostname: [
    ['example.com', 'a'],
    ['-a', 'a_b'],
  ],
  ipv4: [['1.2.3.4'], ['1.2.3.256', '1.2.3']],
  ipv6: [
    ['::1', '2001:db8::1'],
    ['::1::', '1.2.3.4'],
  ],
  'json-pointer': [
    ['', '/a~0b'],
    ['a', '/~2'],
  ],
  'relative-json-pointer': [
    ['0', '1/a', '0#'],
    ['/a', '01'],
  ],
  uri: [
    ['http://a/b?c#d', 'urn:x:y'],
    ['/a', 'a b'],
  ],
  'uri-reference': [
    ['/a', '#x', ''],
    ['\\a', 'a b'],
  ],
  'uri-template': [['/a/{b}'], ['/a/{b']],
  uuid: [['2eb8aa08-aa98-11ea-b4aa-73b441d16380'], ['2eb8aa08aa9811eab4aa73b441d16380']],
}

for (const [format, [good, bad]] of Object.entries(formats)) {
  test(`format ${format} is asserted, also on long texts in little time`, () => {
    const schema = compile({ format })
    for (const text of good) assert.equal(schema.problemOf(JSON.stringify(text)), undefined, text)
    for (const text of bad) assert.notEqual(schema.problemOf(JSON.stringify(text)), undefined, text)
    assert.equal(schema.problemOf('5'), undefined, 'numbers have no format')
    const began = process.cpuUsage()
    for (const unit of ['a', '1', '/', ':', 'a.', 'a@', '%41', '~0', '{a}', '((((', 'a-', '1:', '2020-01-01T']) {
      schema.problemOf(JSON.stringify(`${unit.repeat(100_000)}!`))
      schema.problemOf(JSON.stringify(Array.from({ length: 20 }, () => `http://${unit.repeat(2_000)}\\`)))
    }
    assert.ok(process.cpuUsage(began).user < 2_000_000)
  })
}

test('an empty payload clears a retained message whatever the schema; it is invalid JSON otherwise', () => {
  const guards = guardsOf({ inspection: { enabled: true, 'json-schema': { topics: ['t'], schema: true } } })
  assert.equal(classOf(guards, '', { retain: true }), null)
  assert.equal(classOf(guards, '', { retain: false }), 'schema-validation')
  assert.equal(classOf(guards, ' ', { retain: true }), 'schema-validation')
})

test('a reason speaks of the schema and never of the payload', () => {
  const guards = guardsOf({ inspection: { enabled: true, 'json-schema': { topics: ['t'], schema: reading } } })
  for (const payload of [
    '{"temperature":"s3cret"}',
    '{"s3cret":1}',
    '{"temperature":1,"humidity":{"s3cret":1}}',
    '{"s3cret":1,"s3cret":2}',
  ]) {
    const { refusal } = publish(guards, payload)
    assert.match(refusal?.reason ?? '', /schema-validation/)
    assert.doesNotMatch(JSON.stringify(refusal), /s3cret/)
  }
})
