import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseStrictJson } from '#src/core/strict-json.ts'
import { createIntegrationBody, patchIntegrationBody } from '#src/integrations/bodies.ts'
import { configSchema } from '#src/integrations/config-schema.ts'
import { operations } from '#src/integrations/integration.ts'
import { configFromWire, configToWire } from '#src/integrations/wire.ts'

const body = {
  name: 'plant line 4',
  system_type: 'mqtt',
  credential_id: '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e10',
  allowed_operations: ['publish'],
  config: { topic: 'sensors/temperature', topics: ['sensors/#'], qos: 1 },
}

/** Where the schema found something wrong, as `config.tls.alpn.0`. */
function problems(
  schema: typeof createIntegrationBody | typeof patchIntegrationBody | typeof configSchema,
  value: unknown,
) {
  const parsed = schema.safeParse(value)
  return parsed.success ? [] : parsed.error.issues.map((issue) => issue.path.join('.'))
}

test('a whole body becomes the names of the code', () => {
  const parsed = createIntegrationBody.parse({ ...body, policy_id: null, guards: null })
  assert.deepEqual(parsed, {
    name: 'plant line 4',
    systemType: 'mqtt',
    credentialId: body.credential_id,
    allowedOperations: new Set(['publish']),
    config: {
      topic: 'sensors/temperature',
      topics: ['sensors/#'],
      replyPrefix: undefined,
      qos: 1,
      protocol: undefined,
      protocolVersion: 5,
      tls: { serverName: undefined, alpn: [], minVersion: 'TLSv1.2', requirePqc: false },
      wsPath: '/mqtt',
      clientIdPrefix: 'sealwire',
      keepaliveS: 30,
      limits: { maxTopicBytes: 1024, maxPayloadBytes: 262_144, maxInFlight: 256 },
    },
    policyId: null,
    guards: null,
  })
})

test('guards keep their members and their order; every problem in them is told with its path', () => {
  const guards = { retained: { enabled: true }, qos: { 'max-qos': 1, enabled: true } }
  for (const schema of [createIntegrationBody, patchIntegrationBody]) {
    const whole = schema === createIntegrationBody ? body : {}
    const parsed = schema.parse({ ...whole, guards })
    assert.equal(JSON.stringify(parsed.guards), JSON.stringify(guards))
    const bad = { qos: { 'max-qos': 3 }, inspection: { 'max-payload-size': -1 }, 'rate-limits': {} }
    assert.deepEqual(problems(schema, { ...whole, guards: bad }).sort(), [
      'guards.inspection.max-payload-size',
      'guards.qos.max-qos',
      'guards.rate-limits',
    ])
  }
})

const granted: [string, object, string[]][] = [
  ['absent', {}, []],
  ['null', { allowed_operations: null }, []],
  ['[]', { allowed_operations: [] }, []],
  ['one word', { allowed_operations: ['subscribe'] }, ['subscribe']],
  ['all words', { allowed_operations: ['publish', 'subscribe'] }, [...operations]],
]
const { allowed_operations: _, ...silent } = body
for (const [what, member, expected] of granted) {
  test(`allowed_operations ${what}: allows ${expected.join(' and ') || 'nothing'}`, () => {
    assert.deepEqual([...createIntegrationBody.parse({ ...silent, ...member }).allowedOperations], expected)
  })
}

const refused: [string, unknown][] = [
  ['an unknown word', ['publish', 'admin']],
  ['a wildcard', ['*']],
  ['wrong case', ['Publish']],
  ['a space', ['publish ']],
  ['a duplicate', ['publish', 'publish']],
  ['no list', 'publish'],
  ['a word of the prototype', ['toString']],
  ['an object', { publish: true }],
  ['true', true],
]
for (const [what, allowed] of refused) {
  test(`allowed_operations with ${what} is refused, at creation and at change, naming the member`, () => {
    for (const schema of [createIntegrationBody, patchIntegrationBody]) {
      const found = problems(schema, { ...(schema === createIntegrationBody && body), allowed_operations: allowed })
      assert.ok(found.length > 0)
      for (const path of found) assert.match(path, /^allowed_operations(\.\d+)?$/)
    }
  })
}

const wrong: [string, object, string][] = [
  ['no name', { name: undefined }, 'name'],
  ['an empty name', { name: '' }, 'name'],
  ['a name of 201 characters', { name: 'x'.repeat(201) }, 'name'],
  ['a line break in the name', { name: 'a\nb' }, 'name'],
  ['another system', { system_type: 'kafka' }, 'system_type'],
  ['a credential that is no UUID', { credential_id: 'vault-1' }, 'credential_id'],
  ['a credential in capitals', { credential_id: body.credential_id.toUpperCase() }, 'credential_id'],
  ['no id of a policy', { policy_id: 'pol_01' }, 'policy_id'],
  ['an id of another kind', { policy_id: 'int_01kat4hvr07rf9mm9f7nrvz4gg' }, 'policy_id'],
  ['guards that are a list', { guards: [] }, 'guards'],
  ['guards that are a text', { guards: 'qos' }, 'guards'],
  ['guards of 65,537 bytes', { guards: { x: 'y'.repeat(65_529) } }, 'guards'],
  ['an unknown member', { hostname: 'broker.example' }, ''],
  ['a config that is null', { config: null }, 'config'],
]
for (const [what, member, path] of wrong) {
  test(`a body with ${what} is refused, naming ${path || 'the body'}`, () => {
    assert.deepEqual(problems(createIntegrationBody, body), [])
    assert.deepEqual([...new Set(problems(createIntegrationBody, { ...body, ...member }))], [path])
  })
}

/** Each pair: the last value that is allowed, and the first that is not. */
const bounds: { member: string; good: unknown; bad: unknown }[] = [
  { member: 'topic', good: 'a/+/#', bad: 'a/#/b' },
  { member: 'topic', good: 'é'.repeat(512), bad: 'é'.repeat(513) },
  { member: 'topic', good: 'x', bad: '' },
  { member: 'topic', good: 'a', bad: 'a\u0000' },
  { member: 'topic', good: 'a/b', bad: '$share/group/a/b' },
  { member: 'topics.0', good: ['a/b'], bad: ['a/b+'] },
  { member: 'topics', good: ['a', 'b'], bad: ['a', 'a'] },
  {
    member: 'topics',
    good: Array.from({ length: 100 }, (_, i) => `t/${i}`),
    bad: Array.from({ length: 101 }, (_, i) => `t/${i}`),
  },
  { member: 'reply_prefix', good: 'replies', bad: 'replies/#' },
  { member: 'reply_prefix', good: 'a/b', bad: '' },
  { member: 'reply_prefix', good: 'x'.repeat(960), bad: 'x'.repeat(961) },
  { member: 'qos', good: 2, bad: 3 },
  { member: 'qos', good: 0, bad: -1 },
  { member: 'qos', good: 1, bad: '1' },
  { member: 'protocol', good: 'mqtts', bad: 'MQTTS' },
  { member: 'protocol', good: 'mqtt', bad: 'mqtt ' },
  { member: 'protocol', good: 'wss', bad: 'https' },
  { member: 'protocol_version', good: 4, bad: 3 },
  { member: 'protocol_version', good: 5, bad: 6 },
  { member: 'tls.server_name', good: { server_name: 'broker.example' }, bad: { server_name: '192.0.2.1' } },
  { member: 'tls.server_name', good: { server_name: 'b' }, bad: { server_name: '-b.example' } },
  { member: 'tls.server_name', good: { server_name: 'xn--d1acufc' }, bad: { server_name: 'a b' } },
  { member: 'tls.alpn.0', good: { alpn: ['mqtt'] }, bad: { alpn: [''] } },
  { member: 'tls.alpn', good: { alpn: Array(8).fill('mqtt') }, bad: { alpn: Array(9).fill('mqtt') } },
  { member: 'tls.min_version', good: { min_version: 'TLSv1.3' }, bad: { min_version: 'TLSv1.1' } },
  { member: 'tls.require_pqc', good: { require_pqc: true }, bad: { require_pqc: 'yes' } },
  { member: 'tls', good: {}, bad: { rejectUnauthorized: false } },
  { member: 'ws_path', good: '/mqtt?token=1', bad: 'mqtt' },
  { member: 'ws_path', good: '/', bad: '//evil.example/' },
  { member: 'ws_path', good: '/a', bad: '/\\evil.example/' },
  { member: 'ws_path', good: '/a', bad: '/a\r\nX: y' },
  { member: 'ws_path', good: `/${'a'.repeat(1023)}`, bad: `/${'a'.repeat(1024)}` },
  { member: 'client_id_prefix', good: 'x'.repeat(32), bad: 'x'.repeat(33) },
  { member: 'client_id_prefix', good: 'a_b-c', bad: 'a/b' },
  { member: 'keepalive_s', good: 5, bad: 4 },
  { member: 'keepalive_s', good: 1200, bad: 1201 },
  { member: 'limits.max_topic_bytes', good: { max_topic_bytes: 65_535 }, bad: { max_topic_bytes: 65_536 } },
  { member: 'limits.max_payload_bytes', good: { max_payload_bytes: 1_048_576 }, bad: { max_payload_bytes: 1_048_577 } },
  { member: 'limits.max_in_flight', good: { max_in_flight: 1 }, bad: { max_in_flight: 0 } },
  { member: 'limits.max_in_flight', good: { max_in_flight: 65_535 }, bad: { max_in_flight: 1.5 } },
  { member: 'limits', good: {}, bad: { max_topic_byte: 1 } },
]
for (const [i, { member, good, bad }] of bounds.entries()) {
  test(`config.${member} (${i}): the last good value passes, the next one is refused and named`, () => {
    const name = member.split('.')[0] ?? ''
    assert.deepEqual(problems(configSchema, { [name]: good }), [])
    assert.deepEqual(problems(configSchema, { [name]: bad }), [member])
  })
}

test('a topic longer than limits.max_topic_bytes is refused; with a higher limit it passes', () => {
  const topic = 'x'.repeat(2000)
  assert.deepEqual(problems(configSchema, { topic, topics: [topic] }), ['topic', 'topics.0'])
  assert.deepEqual(problems(configSchema, { topic, topics: [topic], limits: { max_topic_bytes: 2000 } }), [])
})

test('require_pqc with a plaintext protocol is refused; with TLS, or none named, it passes', () => {
  const tls = { require_pqc: true }
  for (const protocol of ['mqtt', 'ws'])
    assert.deepEqual(problems(configSchema, { protocol, tls }), ['tls.require_pqc'])
  for (const protocol of ['mqtts', 'wss', undefined]) assert.deepEqual(problems(configSchema, { protocol, tls }), [])
})

test('hosts, ports and options of the client library are no members of config', () => {
  const foreign = ['host', 'hostname', 'port', 'servers', 'unixSocket', 'url', 'rejectUnauthorized', 'ca', 'lookup']
  for (const member of foreign) assert.deepEqual(problems(configSchema, { [member]: 'x' }), [''], member)
})

test('members named like the prototype are refused as unknown, and nothing is polluted', () => {
  const hostile = ['__proto__', 'constructor', 'prototype', 'toString']
  for (const name of hostile) {
    for (const [schema, text] of [
      [createIntegrationBody, `{${JSON.stringify(body).slice(1, -1)},"${name}":{"polluted":true}}`],
      [configSchema, `{"${name}":{"polluted":true}}`],
      [configSchema, `{"limits":{"${name}":{"polluted":true}}}`],
    ] as const) {
      assert.equal(problems(schema, parseStrictJson(text)).length, 1, text)
    }
  }
  assert.equal(({} as { polluted?: unknown }).polluted, undefined)
})

test('config comes back from the wire as it went there', () => {
  const full = {
    topic: 'a',
    topics: ['b/#'],
    qos: 0,
    protocol: 'wss',
    protocol_version: 4,
    tls: { server_name: 'broker.example', alpn: ['mqtt'], min_version: 'TLSv1.3', require_pqc: true },
    ws_path: '/ws',
    client_id_prefix: 'plant',
    keepalive_s: 60,
    limits: { max_topic_bytes: 100, max_payload_bytes: 200, max_in_flight: 3 },
  }
  for (const wire of [full, {}]) {
    const parsed = configSchema.parse(wire)
    assert.deepEqual(configToWire(configFromWire(parsed)), parsed)
    assert.deepEqual(configSchema.parse(configToWire(configFromWire(parsed))), parsed)
  }
  assert.deepEqual(configSchema.parse(full), full)
})

test('a change names at least one member; what it does not name is not in it', () => {
  assert.equal(problems(patchIntegrationBody, {}).length, 1)
  assert.deepEqual(problems(patchIntegrationBody, { name: 'b', system_type: 'mqtt' }), [''])
  assert.deepEqual(patchIntegrationBody.parse({ name: 'b' }), { name: 'b' })
  assert.deepEqual(patchIntegrationBody.parse({ allowed_operations: null }), { allowedOperations: new Set() })
  assert.deepEqual(patchIntegrationBody.parse({ policy_id: null, guards: null }), { policyId: null, guards: null })
  assert.deepEqual(problems(patchIntegrationBody, { policy_id: 'pol_01' }), ['policy_id'])
})
