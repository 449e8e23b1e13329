import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createGuards, type Guards } from '#src/guards/create-guards.ts'
import type { GatewayConfig } from '#src/guards/guards-config.ts'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { classOf, message, TestClock } from './fixtures.ts'

const scratch = mkdtempSync(join(tmpdir(), 'guards-'))
after(() => rmSync(scratch, { recursive: true }))
const schemaFile = join(scratch, 'sensor-schema.json')
writeFileSync(schemaFile, JSON.stringify({ type: 'object', required: ['temperature'] }))

/** A document of the page, its schema in a file that is there, its secret set. */
function load(json: string): GatewayConfig {
  const document: unknown = JSON.parse(json.replace('/etc/sentinel/sensor-schema.json', schemaFile))
  const { guards, problems } = parseGuards(document, { source: 'gateway', env: { JWT_SECRET: 'test secret' } })
  assert.deepEqual(problems, [])
  return guards ?? assert.fail()
}

function guards(json: string, clock = new TestClock()): Guards {
  return createGuards(load(json), { clock })
}

const accessControl = `{
  "acl": {
    "enabled": true,
    "default-action": "deny",
    "rules": [
      {
        "name": "sensor-publish",
        "match": { "username-regex": "^sensor-" },
        "topics": ["sensors/+/data", "sensors/+/status"],
        "actions": ["publish"],
        "decision": "allow",
        "max-qos": 1
      },
      {
        "name": "admin-full-access",
        "match": { "groups": ["admin"] },
        "topics": ["#"],
        "actions": ["publish", "subscribe"],
        "decision": "allow"
      },
      {
        "name": "block-internal",
        "topics": ["$SYS/#", "internal/#"],
        "decision": "deny",
        "priority": 100
      }
    ]
  }
}`

const authentication = `{
  "auth": {
    "enabled": true,
    "allow-anonymous": false,
    "providers": [
      {
        "type": "file",
        "path": "/etc/sentinel/mqtt-users.json"
      },
      {
        "type": "jwt",
        "issuer": "https://auth.example.com",
        "secret": "\${JWT_SECRET}",
        "username-claim": "sub"
      }
    ],
    "client-id-pattern": "^[a-zA-Z0-9_-]{5,64}$"
  }
}`

const inspection = `{
  "inspection": {
    "enabled": true,
    "max-payload-size": 262144,
    "patterns": {
      "sqli": true,
      "command-injection": true,
      "script-injection": true,
      "path-traversal": true,
      "custom-patterns": [
        {
          "name": "api-key-leak",
          "pattern": "(?i)api[_-]?key\\\\s*[=:]",
          "severity": "high"
        }
      ]
    },
    "json-schema": {
      "schema-file": "/etc/sentinel/sensor-schema.json",
      "topics": ["sensors/+/data"],
      "block-on-failure": true
    },
    "exclude-topics": ["logs/#", "debug/#"]
  }
}`

const rateLimit = `{
  "rate-limit": {
    "enabled": true,
    "per-client": {
      "messages-per-second": 100,
      "bytes-per-second": 1048576,
      "burst": 50
    },
    "per-topic": [
      {
        "topic": "high-freq/#",
        "limit": {
          "messages-per-second": 1000,
          "burst": 100
        }
      },
      {
        "topic": "low-freq/#",
        "limit": {
          "messages-per-second": 10,
          "burst": 5
        }
      }
    ],
    "key-by": "client_id"
  }
}`

const qos = `{
  "qos": {
    "enabled": true,
    "max-qos": 1,
    "downgrade": true,
    "per-topic": [
      {
        "topic": "realtime/#",
        "max-qos": 0
      },
      {
        "topic": "reliable/#",
        "max-qos": 2
      }
    ]
  }
}`

const retained = `{
  "retained": {
    "enabled": true,
    "allow-retained": false,
    "allowed-topics": ["config/#", "status/#"],
    "blocked-topics": ["sensors/#"],
    "max-size": 65536
  }
}`

const full = `{
  "auth": {
    "enabled": true,
    "allow-anonymous": false,
    "providers": [
      {
        "type": "file",
        "path": "/etc/sentinel/mqtt-users.json"
      }
    ],
    "min-client-id-length": 5,
    "max-client-id-length": 64
  },
  "acl": {
    "enabled": true,
    "default-action": "deny",
    "rules": [
      {
        "name": "sensors-publish",
        "match": { "username-regex": "^sensor-" },
        "topics": ["sensors/+/data"],
        "actions": ["publish"],
        "decision": "allow",
        "max-qos": 1
      },
      {
        "name": "operators-subscribe",
        "match": { "groups": ["operators"] },
        "topics": ["sensors/#"],
        "actions": ["subscribe"],
        "decision": "allow"
      }
    ]
  },
  "inspection": {
    "enabled": true,
    "max-payload-size": 262144,
    "patterns": {
      "sqli": true,
      "command-injection": true
    }
  },
  "rate-limit": {
    "enabled": true,
    "per-client": {
      "messages-per-second": 100,
      "bytes-per-second": 1048576,
      "burst": 50
    }
  },
  "qos": {
    "enabled": true,
    "max-qos": 1,
    "downgrade": true
  },
  "retained": {
    "enabled": true,
    "allow-retained": false,
    "allowed-topics": ["config/#"]
  },
  "general": {
    "block-mode": true,
    "fail-open": false,
    "log-packets": false,
    "protocol-versions": ["3.1.1", "5.0"]
  }
}`

test('"MQTT Gateway" page: Topic-Based Access Control', () => {
  const { acl } = load(accessControl)
  assert.deepEqual(
    acl.rules.map(({ name, priority }) => [name, priority]),
    [
      ['sensor-publish', undefined],
      ['admin-full-access', undefined],
      ['block-internal', 100],
    ],
  )
})

test('"MQTT Gateway" page: Client Authentication', () => {
  const { auth } = load(authentication)
  assert.deepEqual(
    auth.providers.map(({ type }) => type),
    ['file', 'jwt'],
    'evaluated in order',
  )
  const jwt = auth.providers.find((one) => one.type === 'jwt') ?? assert.fail()
  assert.deepEqual([jwt.secret?.reveal(), jwt.usernameClaim], ['test secret', 'sub'])
  assert.equal(auth.clientIdPattern?.search('sensor-001'), true)
  assert.equal(auth.clientIdPattern?.search('s!'), false)
})

test('"MQTT Gateway" page: Payload Inspection', () => {
  const one = guards(inspection)
  const cases: readonly (readonly [topic: string, payload: string, found: string | null])[] = [
    ['x', "1' OR 1=1--", 'sqli'],
    ['x', '; rm -rf /', 'cmd'],
    ['x', '<script>alert(1)</script>', 'xss'],
    ['x', '../../etc/passwd', 'path'],
    ['x', 'API_KEY = 1', 'custom-api-key-leak'],
    ['sensors/t1/data', '{"humidity":60}', 'schema-validation'],
    ['sensors/t1/data', '{"temperature":25.5}', null],
    ['sensors/t1/other', '{"humidity":60}', null],
    ['logs/a', '; rm -rf /', null],
    ['debug', '; rm -rf /', null],
  ]
  for (const [topic, payload, found] of cases)
    assert.equal(classOf(one, payload, { topic }), found, `${topic} ${payload}`)
  assert.equal(classOf(one, new Uint8Array(262_145)), 'size-limit')
})

test('"MQTT Gateway" page: Rate Limiting, token buckets at multiple levels', () => {
  const clock = new TestClock()
  const one = guards(rateLimit, clock)
  const passed = (topic: string, clientId: string, count: number) =>
    Array.from({ length: count }, () => one.checkPublish(message('x', { topic }), { clientId }).refusal).filter(
      (refusal) => refusal === null,
    ).length
  assert.equal(passed('other', 'c1', 60), 50, 'the burst of the client')
  assert.equal(passed('low-freq/a', 'c2', 10), 5, 'the burst of the topic')
  assert.equal(passed('low-freq/b', 'c3', 10), 0, 'shared by all clients')
  assert.equal(passed('high-freq/a', 'c4', 60), 50)
  assert.equal(passed('high-freq/a', 'c5', 60), 50)
  assert.equal(passed('high-freq/a', 'c6', 60), 0)
  clock.nowMs = 100
  assert.equal(passed('low-freq/a', 'c7', 10), 1, 'ten a second')
  assert.equal(passed('other', 'c1', 60), 10, 'a hundred a second')
  assert.equal(one.checkPublish(message(new Uint8Array(1_048_577)), { clientId: 'c8' }).refusal?.limit, 'per-client:c8')
})

test('"MQTT Gateway" page: QoS Enforcement, reduced to the maximum when downgrade is enabled, dropped when not', () => {
  const one = guards(qos)
  const forwarded = (topic: string) => one.checkPublish(message('x', { topic, qos: 2 }), {}).qos
  assert.deepEqual([forwarded('a'), forwarded('realtime/a'), forwarded('reliable/a')], [1, 0, 2])
  const strict = guards(qos.replace('"downgrade": true', '"downgrade": false'))
  assert.equal(strict.checkPublish(message('x', { qos: 2 }), {}).refusal?.rule, 'qos-denied')
})

test('"MQTT Gateway" page: Retained Message Control', () => {
  const one = guards(retained)
  const allowed = (topic: string, bytes = 1, retain = true) =>
    one.checkPublish(message(new Uint8Array(bytes), { topic, retain }), {}).refusal === null
  assert.deepEqual(
    [allowed('config/a'), allowed('status/a'), allowed('sensors/a'), allowed('other')],
    [true, true, false, false],
  )
  assert.deepEqual(
    [allowed('config/a', 65_536), allowed('config/a', 65_537), allowed('other', 1, false)],
    [true, false, true],
  )
})

test('"MQTT Gateway" page: Full Configuration Example', () => {
  const config = load(full)
  assert.deepEqual(config.general, {
    blockMode: true,
    failOpen: false,
    logPackets: false,
    protocolVersions: ['3.1.1', '5.0'],
  })
  assert.deepEqual([config.auth.minClientIdLength, config.auth.maxClientIdLength], [5, 64])
  assert.deepEqual(config.inspection.classes, ['sqli', 'cmd'])
  const one = createGuards(config, { clock: new TestClock() })
  const large = one.checkPublish(message(new Uint8Array(262_144)), { clientId: 'c1' })
  assert.equal(large.refusal, null, 'the largest payload that may be inspected fits the byte bucket')
  assert.equal(one.checkPublish(message('; id', { qos: 2 }), {}).refusal?.class, 'cmd')
  assert.equal(one.checkPublish(message('x', { qos: 2, topic: 'config/a', retain: true }), {}).qos, 1)
})

test('"MQTT Gateway" page: the audit rules rate-limited and inspection-blocked, and detection without blocking', () => {
  const blocking = guards(full)
  for (let i = 0; i < 50; i++) blocking.checkPublish(message('x'), { clientId: 'c1' })
  assert.equal(blocking.checkPublish(message('x'), { clientId: 'c1' }).refusal?.rule, 'rate-limited')
  assert.equal(blocking.checkPublish(message('; id'), { clientId: 'c2' }).refusal?.rule, 'inspection-blocked')
  const watching = guards(full.replace('"block-mode": true', '"block-mode": false'))
  const { refusal, findings } = watching.checkPublish(message('; id'), { clientId: 'c1' })
  assert.equal(refusal, null)
  assert.deepEqual(
    findings.map(({ rule }) => rule),
    ['inspection-blocked'],
  )
})
