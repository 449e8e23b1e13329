import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { createGuards } from '#src/guards/create-guards.ts'
import type { Caller } from '#src/guards/outcome.ts'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { bucketKey } from '#src/guards/rate.ts'
import type { Qos } from '#src/policy/document.ts'
import { message, parsed, TestClock } from './fixtures.ts'
import { gatewayVectors } from './gateway-vectors.ts'

const gateway = { source: 'gateway' } as const

const scratch = mkdtempSync(join(tmpdir(), 'guards-'))
after(() => rmSync(scratch, { recursive: true }))

/** Stands in the cases for a file that the runner makes. */
const PLACEHOLDER = '<type object, required temperature: number -50..100>'
const schemaFile = join(scratch, 'schema.json')
const temperature = { type: 'number', minimum: -50, maximum: 100 }
writeFileSync(schemaFile, JSON.stringify({ type: 'object', properties: { temperature }, required: ['temperature'] }))

type Payload = string | { base64: string } | { repeat: string; times: number }

function bytesOf(payload: Payload): Uint8Array {
  if (typeof payload === 'string') return Buffer.from(payload)
  return 'base64' in payload ? Buffer.from(payload.base64, 'base64') : Buffer.from(payload.repeat.repeat(payload.times))
}

interface InspectionGiven {
  config: { inspection: { 'json-schema'?: { 'block-on-failure': boolean } } }
  topic: string
  payload: Payload
  retain?: boolean
}

gatewayVectors<InspectionGiven, { blocked: boolean | string; class: string | null }>('inspection', (given, expect) => {
  const text = JSON.stringify(given.config).replaceAll(JSON.stringify(PLACEHOLDER), JSON.stringify(schemaFile))
  const config: unknown = JSON.parse(text)
  if (typeof expect.blocked === 'string') {
    assert.equal(expect.blocked, 'config_load: error')
    assert.ok(parseGuards(config, gateway).problems.length > 0)
    return
  }
  const guards = createGuards(parsed(config, gateway), { clock: new TestClock() })
  const { topic, payload, retain = false } = given
  const { refusal, findings } = guards.checkPublish(message(bytesOf(payload), { topic, retain }), {})
  assert.deepEqual({ blocked: refusal !== null, class: refusal?.class ?? null }, expect)
  const letsThrough = given.config.inspection['json-schema']?.['block-on-failure'] === false
  assert.deepEqual(
    findings.map((one) => one.class),
    letsThrough ? ['schema-validation'] : [],
  )
})

interface RateGiven {
  context?: { username: string | null }
  publish_at_ms?: number[]
  publish?: { at_ms: number; bytes: number }[]
  topics_at_0ms?: string[]
  two_clients_one_message_each_at_ms?: number
}

interface Sent {
  at: number
  bytes?: number
  topic?: string
  clientId?: string
}

/** What of a case is configuration. */
const LIMIT_KEYS = ['global', 'per-client', 'per-topic', 'key-by']

function messagesOf(given: RateGiven): Sent[] {
  const at = given.two_clients_one_message_each_at_ms
  if (at !== undefined) return ['c1', 'c2'].map((clientId) => ({ at, clientId }))
  if (given.topics_at_0ms) return given.topics_at_0ms.map((topic) => ({ at: 0, topic }))
  if (given.publish) return given.publish.map(({ at_ms, bytes }) => ({ at: at_ms, bytes }))
  return (given.publish_at_ms ?? assert.fail('nothing is published')).map((one) => ({ at: one }))
}

gatewayVectors<RateGiven, { allowed?: boolean[]; bucket_key?: string }>('rate-limit', (given, expect) => {
  const limits = Object.fromEntries(Object.entries(given).filter(([key]) => LIMIT_KEYS.includes(key)))
  const config = parsed({ 'rate-limit': { enabled: true, ...limits } }, gateway)
  const { context } = given
  if (context) {
    const caller: Caller = { clientId: 'c1', ...(context.username !== null && { username: context.username }) }
    assert.equal(bucketKey(config.rateLimit.keyBy, caller), expect.bucket_key)
    return
  }
  const clock = new TestClock()
  const guards = createGuards(config, { clock })
  const allowed = messagesOf(given).map(({ at, bytes = 1, topic = 't', clientId = 'c1' }) => {
    clock.nowMs = at
    return guards.checkPublish(message(new Uint8Array(bytes), { topic }), { clientId }).refusal === null
  })
  assert.deepEqual({ allowed }, expect)
})

interface QosGiven {
  config: unknown
  topic: string
  qos: Qos
  via?: 'subscribe'
}

gatewayVectors<QosGiven, unknown>('qos', ({ config, topic, qos, via }, expect) => {
  const guards = createGuards(parsed(config, gateway), { clock: new TestClock() })
  if (via === 'subscribe') {
    const granted = guards.checkSubscribe(topic, qos)
    assert.deepEqual({ forwarded_requested_qos: granted, suback: granted }, expect)
    return
  }
  const outcome = guards.checkPublish(message('x', { topic, qos }), {})
  assert.deepEqual({ decision: outcome.refusal ? 'deny' : 'allow', forwarded_qos: outcome.qos }, expect)
})

interface RetainedGiven {
  config: unknown
  topic: string
  payload_size: number
  retain: boolean
  via?: 'will'
}

gatewayVectors<RetainedGiven, unknown>('retained', ({ config, topic, payload_size, retain, via }, expect) => {
  const guards = createGuards(parsed(config, gateway), { clock: new TestClock() })
  const one = message(new Uint8Array(payload_size), { topic, retain })
  const { refusal } = guards.checkPublish(one, {}, { will: via === 'will' })
  assert.deepEqual({ allowed: refusal === null }, expect)
})

/** The member of a parsed document that a dotted path of the written one names. */
function memberAt(config: unknown, path: string): unknown {
  return path.split('.').reduce((at, key) => {
    const members = at as Record<string, unknown>
    return members[key] ?? members[key.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]
  }, config)
}

gatewayVectors<unknown, Record<string, unknown>>('config', (given, expect) => {
  const { guards, problems } = parseGuards(given, gateway)
  const load = expect['config_load']
  if (typeof load === 'string') {
    assert.match(load, /^error/)
    assert.ok(problems.length > 0)
    for (const word of load.slice('error: '.length).split(/\s+/)) {
      assert.ok(
        problems.some((one) => `${one.path} ${one.message}`.includes(word)),
        `no problem says ${word}`,
      )
    }
    return
  }
  assert.deepEqual(problems, [])
  for (const [path, wanted] of Object.entries(expect)) {
    const members = typeof wanted === 'object' && wanted !== null ? Object.entries(wanted) : []
    if (members.length === 0) assert.deepEqual(memberAt(guards, path), wanted, path)
    for (const [key, value] of members) assert.deepEqual(memberAt(guards, `${path}.${key}`), value, `${path}.${key}`)
  }
})
