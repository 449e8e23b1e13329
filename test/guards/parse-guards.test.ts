import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { parsed, problemsOf } from './fixtures.ts'

const gateway = { source: 'gateway' } as const

test('an absent section is off, and has its defaults', () => {
  const guards = parsed({})
  assert.deepEqual(guards.rateLimit, {
    enabled: false,
    global: null,
    perClient: null,
    perTopic: [],
    keyBy: 'client_id',
  })
  assert.deepEqual(guards.qos, { enabled: false, maxQos: 2, downgrade: true, perTopic: [] })
  assert.deepEqual(
    [guards.retained.enabled, guards.retained.allowRetained, guards.retained.maxSize],
    [false, true, null],
  )
  const { enabled, maxPayloadSize, classes, customPatterns, jsonSchema, blockBinary } = guards.inspection
  assert.deepEqual(
    [enabled, maxPayloadSize, classes, customPatterns, jsonSchema, blockBinary],
    [false, 262_144, [], [], null, false],
  )
  assert.deepEqual([guards.general.blockMode, guards.general.failOpen], [true, false])
})

test('a limit has its defaults', () => {
  const { rateLimit } = parsed({ 'rate-limit': { global: { 'messages-per-second': 5 } } })
  assert.deepEqual(rateLimit.global, { messagesPerSecond: 5, bytesPerSecond: 0, burst: 10 })
})

test('every problem is told at once, with its path', () => {
  const document = {
    'rate-limit': { enabled: 'yes', 'per-client': {}, 'per-topic': [{ topic: 'a/#/b' }, 5], 'key-by': 'clientid' },
    qos: { 'max-qos': 3, 'per-topic': [{ topic: '', 'max-qos': -1 }] },
    retained: { 'max-size': 1.5, 'allowed-topics': 'a', 'blocked-topics': ['$share/g/a', 5, 'a+'] },
    inspection: {
      'max-payload-size': -1,
      patterns: { sqli: 1 },
      'json-schema': { 'schema-file': '/etc/passwd' },
      'exclude-topics': ['\u0000'],
    },
    general: { 'block-mode': null },
  }
  assert.deepEqual(problemsOf(document), [
    'rate-limit.enabled: must be true or false, is a string',
    'rate-limit.per-client.messages-per-second: is missing',
    'rate-limit.per-topic[0].topic: is not an MQTT topic filter: bad-hash',
    'rate-limit.per-topic[0].limit: is missing',
    'rate-limit.per-topic[1]: must be an object, is a number',
    'rate-limit.key-by: must be "client_id" or "username" or "client_ip"',
    'qos.max-qos: must be a whole number from 0 to 2',
    'qos.per-topic[0].topic: is not an MQTT topic filter: empty',
    'qos.per-topic[0].max-qos: must be a whole number from 0 to 2',
    'retained.allowed-topics: must be a list, is a string',
    'retained.blocked-topics[0]: names topics, not a shared subscription: leave $share/<group>/ out',
    'retained.blocked-topics[1]: must be text, is a number',
    'retained.blocked-topics[2]: is not an MQTT topic filter: bad-plus',
    'retained.max-size: must be a whole number from 0 to 9007199254740991',
    'inspection.max-payload-size: must be a whole number from 0 to 9007199254740991',
    'inspection.patterns.sqli: must be true or false, is a number',
    'inspection.json-schema.schema-file: is not read here: carry the schema itself as schema',
    'inspection.json-schema.schema: is missing',
    'inspection.json-schema.topics: is missing',
    'inspection.exclude-topics[0]: is not an MQTT topic filter: nul',
    'general.block-mode: must be true or false, is null',
  ])
})

const misspelt: readonly (readonly [document: unknown, problem: string])[] = [
  [{ acl: { default_action: 'allow' } }, 'acl.default_action: unknown key; did you mean default-action?'],
  [{ acl: { defaultAction: 'allow' } }, 'acl.defaultAction: unknown key; did you mean default-action?'],
  [{ 'rate-limits': {} }, 'rate-limits: unknown key; did you mean rate-limit?'],
  [{ qos: { 'max-qoss': 1 } }, 'qos.max-qoss: unknown key; did you mean max-qos?'],
  [{ qos: { '': 1 } }, 'qos[""]: unknown key; known are enabled, max-qos, downgrade, per-topic'],
  [
    { inspection: { patterns: { xss: true } } },
    'inspection.patterns.xss: unknown key; known are sqli, command-injection, script-injection, path-traversal, custom-patterns',
  ],
  [
    { acl: { rules: [{ name: 'x', topics: ['a'], decision: 'allow', max_qos: 1 }] } },
    'acl.rules[0].max_qos: unknown key; did you mean max-qos?',
  ],
  [
    JSON.parse('{"__proto__":{"qos":{}}}'),
    '__proto__: unknown key; known are auth, acl, rate-limit, qos, retained, inspection, general',
  ],
  [
    JSON.parse('{"qos":{"constructor":1}}'),
    'qos.constructor: unknown key; known are enabled, max-qos, downgrade, per-topic',
  ],
]

for (const [document, problem] of misspelt) {
  test(`an unknown key is an error: ${problem}`, () => assert.deepEqual(problemsOf(document, gateway), [problem]))
}

for (const json of [null, [], 5, 'x', true, undefined]) {
  test(`a document is an object, not ${JSON.stringify(json)}`, () => {
    for (const source of ['integration', 'gateway'] as const) {
      const { guards, problems } = parseGuards(json, { source })
      assert.equal(guards, undefined)
      assert.equal(problems.length, 1)
      assert.match(problems[0]?.message ?? '', /must be an object/)
    }
  })
}

test('the sections of a gateway are no keys of an integration', () => {
  assert.deepEqual(
    problemsOf({ auth: {}, acl: {} }).map((problem) => problem.split(':')[0]),
    ['auth', 'acl'],
  )
})

const scratch = mkdtempSync(join(tmpdir(), 'guards-'))
after(() => rmSync(scratch, { recursive: true }))

test('a gateway names the file of its schema, which has to be there and to be one', () => {
  const file = (name: string, text: string | Buffer) => {
    writeFileSync(join(scratch, name), text)
    return join(scratch, name)
  }
  const problems = (schemaFile: unknown, key = 'schema-file') =>
    problemsOf({ inspection: { 'json-schema': { [key]: schemaFile, topics: ['t'] } } }, gateway)
  assert.deepEqual(problems(file('good.json', '{"type":"object"}')), [])
  const path = 'inspection.json-schema.schema-file'
  assert.deepEqual(problems(join(scratch, 'none.json')), [`${path}: cannot be read: ENOENT`])
  assert.deepEqual(problems(scratch), [`${path}: is not a file`])
  assert.deepEqual(problems(file('bad.json', '{')), [`${path}: cannot be read: it is no JSON in UTF-8`])
  assert.deepEqual(problems(file('bad8.json', Buffer.from([0xff]))), [
    `${path}: cannot be read: it is no JSON in UTF-8`,
  ])
  assert.deepEqual(problems(file('long.json', ' '.repeat(300_000))), [`${path}: is longer than 262144 bytes`])
  assert.match(problems(file('type.json', '{"type":"x"}'))[0] ?? '', /#\/type/)
  assert.deepEqual(problems(5), [`${path}: must be the path of a file`])
  assert.deepEqual(problems({ type: 'object' }, 'schema'), [
    'inspection.json-schema.schema: is not read here: name its file as schema-file',
    `${path}: is missing`,
  ])
})

test('a document has bounds, which the caller can set', () => {
  const topics = (count: number) => ({
    retained: { 'allowed-topics': Array.from({ length: count }, (_, i) => `t${i}`) },
  })
  assert.deepEqual(problemsOf(topics(256)), [])
  assert.deepEqual(problemsOf(topics(257)), ['retained.allowed-topics: has more than 256 elements'])
  assert.deepEqual(problemsOf(topics(257), { source: 'integration', limits: { topics: 300 } }), [])
  assert.deepEqual(problemsOf(topics(1_024), gateway), [])
})

test('hostile documents are answered in bounded time, with at most 100 problems', () => {
  const deep = JSON.parse(`${'[{"a":'.repeat(20_000)}1${'}]'.repeat(20_000)}`) as unknown
  const wide = Object.fromEntries(Array.from({ length: 300_000 }, (_, i) => [`key-${i}`, i]))
  const documents: unknown[] = [
    deep,
    wide,
    { qos: wide },
    { qos: deep, retained: deep, inspection: deep },
    { inspection: { 'json-schema': { topics: ['t'], schema: deep } } },
    { inspection: { 'json-schema': { topics: ['t'], schema: wide } } },
    { inspection: { patterns: { 'custom-patterns': Array.from({ length: 1_000_000 }, () => 0) } } },
    { retained: { 'allowed-topics': ['a'.repeat(10_000_000)], 'blocked-topics': [`${'a/'.repeat(30_000)}`] } },
    { ['k'.repeat(10_000_000)]: 1 },
  ]
  for (const document of documents) {
    for (const source of ['integration', 'gateway'] as const) {
      const began = process.cpuUsage()
      const { problems } = parseGuards(document, { source })
      assert.ok(problems.length > 0 && problems.length <= 100)
      assert.ok(JSON.stringify(problems).length < 100_000)
      assert.ok(process.cpuUsage(began).user < 2_000_000)
    }
  }
})

test('providers of auth: kebab-case or snake_case, not both; secrets from the environment', () => {
  const auth = (...providers: unknown[]) => ({ auth: { enabled: true, providers } })
  const env = { JWT: 'key', EMPTY: '', TOKEN: 't' }
  const { guards, problems } = parseGuards(
    auth(
      { type: 'file', path: '/u.json', hot_reload: true },
      { type: 'jwt', secret: '${JWT}', 'username-claim': 'name', jwks_url: 'https://x' },
      { type: 'http', url: 'https://x/${JWT}', headers: { Authorization: 'Bearer ${TOKEN}${EMPTY}', X: '$JWT $${' } },
      { type: 'certificate', extract_from: 'serial_number' },
    ),
    { ...gateway, env },
  )
  assert.deepEqual(problems, [])
  const [file, jwt, http, certificate] = guards?.auth.providers ?? []
  assert.deepEqual(file, { type: 'file', path: '/u.json', hotReload: true })
  assert.ok(jwt?.type === 'jwt')
  assert.deepEqual(
    [jwt.secret?.reveal(), jwt.usernameClaim, jwt.jwksUrl, jwt.issuer],
    ['key', 'name', 'https://x', null],
  )
  assert.ok(http?.type === 'http')
  assert.equal(http.url, 'https://x/${JWT}', 'expanded in secrets and headers only')
  assert.deepEqual(
    Object.entries(http.headers).map(([name, value]) => [name, value.reveal()]),
    [
      ['Authorization', 'Bearer t'],
      ['X', '$JWT $${'],
    ],
  )
  assert.deepEqual(certificate, { type: 'certificate', extractFrom: 'serial_number' })
  assert.doesNotMatch(JSON.stringify(guards), /"key"|Bearer t/)

  const bad = auth(
    { type: 'file', path: 'a', hot_reload: true, 'hot-reload': true },
    { type: 'jwt', secret: '${NONE}' },
    { type: 'ldap' },
    { type: 'file' },
    { type: 'jwt', usernameclaim: 'x' },
  )
  assert.deepEqual(problemsOf(bad, { ...gateway, env }), [
    'auth.providers[0].hot_reload: is written twice: hot-reload and hot_reload are one key',
    'auth.providers[1].secret: names environment variables that are not set: NONE',
    'auth.providers[2].type: must be "file" or "jwt" or "http" or "certificate"',
    'auth.providers[3].path: is missing',
    'auth.providers[4].usernameclaim: unknown key; did you mean username-claim?',
  ])
})

test('auth: bounds that exclude everybody, and a pattern that is none, are errors', () => {
  assert.deepEqual(
    problemsOf({ auth: { 'min-client-id-length': 5, 'max-client-id-length': 4, 'client-id-pattern': '(' } }, gateway),
    [
      'auth.client-id-pattern: is not RE2 syntax: missing closing ) at index 0',
      'auth.min-client-id-length: is more than max-client-id-length: no client could connect',
    ],
  )
})

test('acl: the shape of rules is checked', () => {
  const rule = { name: 'x', topics: ['a'], decision: 'allow' }
  const rules = (...list: unknown[]) => problemsOf({ acl: { rules: list } }, gateway)
  assert.deepEqual(rules(rule), [])
  assert.deepEqual(rules({ name: 'x', decision: 'allow' }), ['acl.rules[0].topics: is missing'])
  assert.deepEqual(rules({ ...rule, topics: [] }), ['acl.rules[0].topics: is empty: the rule would match nothing'])
  assert.deepEqual(
    rules({ ...rule, topics: ['a/#/b'] })[0],
    'acl.rules[0].topics[0]: is not an MQTT topic filter: bad-hash',
  )
  assert.deepEqual(rules(rule, rule), ['acl.rules[1].name: occurs twice'])
  assert.deepEqual(rules({ ...rule, decision: 'maybe' }), ['acl.rules[0].decision: must be "allow" or "deny"'])
  assert.deepEqual(rules({ ...rule, actions: ['read'] }), [
    'acl.rules[0].actions[0]: must be one of publish, subscribe, unsubscribe, connect',
  ])
  assert.deepEqual(rules({ ...rule, 'max-qos': 3, priority: 0.5 }).length, 2)
  for (const ip of ['192.168.1.0/24', '10.0.0.1', '::1', '2001:db8::/32', '0.0.0.0/0'])
    assert.deepEqual(rules({ ...rule, match: { 'client-ip': ip } }), [], ip)
  for (const ip of ['300.1.1.1', '10.0.0.0/33', '::1/129', '10.0.0.0/', '10.0.0.0/08', 'fe80::1%eth0', '1.2.3', '']) {
    assert.match(rules({ ...rule, match: { 'client-ip': ip } }).join(), /must be an IP address or a net/, ip)
  }
  assert.match(rules({ ...rule, match: { 'username-regex': '(' } }).join(), /missing closing \) at index 0/)
  assert.deepEqual(rules({ ...rule, match: { 'protocol-version': 6, groups: 'a' } }).length, 2)
  assert.match(problemsOf({ acl: { 'rules-file': '/x' } }, gateway).join(), /put its rules under rules/)
})

test('acl: what is written is kept for the importer, defaults filled in', () => {
  const rule = {
    name: 'x',
    match: { groups: ['admin'] },
    topics: ['#'],
    actions: ['publish'],
    decision: 'allow',
    'max-qos': 1,
    priority: 5,
  }
  const { guards } = parseGuards({ acl: { rules: [rule] } }, gateway)
  assert.deepEqual(guards?.acl, { enabled: true, 'default-action': 'deny', rules: [rule] })
})

test('general: versions are those of MQTT, and one at least', () => {
  assert.deepEqual(parsed({ general: { 'protocol-versions': ['3.1', '5.0'] } }, gateway).general.protocolVersions, [
    '3.1',
    '5.0',
  ])
  assert.deepEqual(
    problemsOf({ general: { 'protocol-versions': ['4'] } }, gateway)[0],
    'general.protocol-versions[0]: must be "3.1" or "3.1.1" or "5.0"',
  )
  assert.deepEqual(problemsOf({ general: { 'protocol-versions': [] } }, gateway), [
    'general.protocol-versions: is empty: no client could connect',
  ])
})
