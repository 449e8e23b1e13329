import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { AppError } from '#src/core/errors.ts'
import type { Integration } from '#src/integrations/integration.ts'
import { createResolver } from '#src/outbound/resolver.ts'
import { createIntegration, createMessaging, refusalOf } from '#test/messaging/harness.ts'
import { type DnsReply, type DnsServer, startDnsServer } from '#test/support/dns-server.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'

/** For a name server that is slow, in place of the five seconds that the others have. */
const CONNECT_MS = 300
const HERE: DnsReply = { addresses: ['127.0.0.1'] }
const METADATA: DnsReply = { addresses: ['169.254.169.254'] }
const many = Array.from({ length: 999 }, () => '127.0.0.1').map((_, i) => `127.0.${i >> 8}.${i & 255 || 1}`)

const faults: Record<string, { replies: DnsReply[]; code: string; outcome: string; slow?: true }> = {
  'servfail.example': { replies: [{ error: 'SERVFAIL' }], code: 'broker.unreachable', outcome: 'failure' },
  'refused.example': { replies: [{ error: 'REFUSED' }], code: 'broker.unreachable', outcome: 'failure' },
  'nxdomain.example': { replies: [{ error: 'NXDOMAIN' }], code: 'broker.unreachable', outcome: 'failure' },
  'empty.example': { replies: [{}], code: 'broker.unreachable', outcome: 'failure' },
  'slow.example': {
    replies: [{ ...HERE, delayMs: 30_000 }],
    code: 'broker.unreachable',
    outcome: 'failure',
    slow: true,
  },
  'silent.example': { replies: [{ delayMs: 'never' }], code: 'broker.unreachable', outcome: 'failure', slow: true },
  'loop.example': {
    replies: [{ cnames: ['a.example', 'loop.example'] }],
    code: 'broker.unreachable',
    outcome: 'failure',
  },
  'metadata.example': { replies: [METADATA], code: 'destination.not_allowed', outcome: 'denied' },
  'private.example': { replies: [{ addresses: ['10.0.0.1'] }], code: 'destination.not_allowed', outcome: 'denied' },
  'alias.example': {
    replies: [{ cnames: ['cdn.example', 'metadata.google.internal'], ...METADATA }],
    code: 'destination.not_allowed',
    outcome: 'denied',
  },
  'mixed.example': {
    replies: [{ addresses: ['127.0.0.1', 'fe80::1'] }],
    code: 'destination.not_allowed',
    outcome: 'denied',
  },
  'thousand.example': {
    replies: [{ addresses: [...many, '169.254.169.254'] }],
    code: 'destination.not_allowed',
    outcome: 'denied',
  },
}

let dns: DnsServer
let broker: FakeBroker

before(async () => {
  const flips = {
    'healed.example': [{ error: 'SERVFAIL' }, HERE],
    'flip.example': [HERE, METADATA],
    'deferred.example': [{ error: 'SERVFAIL' }, { addresses: ['10.0.0.1'] }],
    'open.example': [{ addresses: [...many, '10.0.0.1'] }],
  } as const
  const names = Object.fromEntries(Object.entries(faults).map(([name, { replies }]) => [name, replies]))
  ;[dns, broker] = await Promise.all([startDnsServer({ names: { ...names, ...flips } }), startFakeBroker()])
})
after(() => Promise.all([dns.stop(), broker.stop()]))

function setUp(hostname: string, connectTimeoutMs = 5_000) {
  const resolve = createResolver({ servers: [dns.server], hostsFile: '/dev/null', resolvConf: '/dev/null' })
  const options = { resolve, allow: ['127.0.0.0/8'], connectTimeoutMs, random: () => 0 }
  const messaging = createMessaging(options)
  const integration = createIntegration({ config: { topics: ['#'], qos: 1 } })
  messaging.vault.put(integration.credentialId, { hostname, port: broker.port })
  return { messaging, integration }
}

type Messaging = ReturnType<typeof setUp>['messaging']

async function refused(messaging: Messaging, integration: Integration): Promise<AppError & { tookMs: number }> {
  const started = performance.now()
  const err = await refusalOf(messaging.send(integration, { topic: 't' }))
  return Object.assign(err, { tookMs: performance.now() - started })
}

/** What came in since. */
const connections = () => broker.connections.length

for (const [name, { code, outcome, slow }] of Object.entries(faults)) {
  test(`F33: ${name} is ${code}, nothing is dialled, and both rows say so`, async () => {
    const { messaging, integration } = setUp(name, slow && CONNECT_MS)
    await using _ = messaging
    const before = connections()
    const err = await refused(messaging, integration)
    assert.equal(err.code, code)
    if (code === 'broker.unreachable') assert.equal(err.message, 'The broker could not be reached.')
    if (slow) assert.ok(err.tookMs >= CONNECT_MS - 5 && err.tookMs < CONNECT_MS + 2_000, `${err.tookMs}`)
    assert.ok(dns.asked(name) > 0, 'it was asked for')
    assert.equal(connections(), before)
    assert.deepEqual(messaging.audit.actions(), ['proxy.publish.intent success', `proxy.publish.outcome ${outcome}`])
    assert.equal(messaging.audit.rows[1]?.detail?.['code'], code)
  })
}

test('F33: a thousand answers of which one is not allowed and none forbidden: an allowed one is dialled', async () => {
  const { messaging, integration } = setUp('open.example')
  await using _ = messaging
  assert.equal((await messaging.send(integration, { topic: 't' })).outcome, 'acknowledged')
  assert.match(broker.connections.at(-1)?.socket.localAddress ?? '', /127\.0\.\d\.\d+$/)
})

test('F33: once the name server works again, so does the integration', async () => {
  const { messaging, integration } = setUp('healed.example')
  await using _ = messaging
  assert.equal((await refused(messaging, integration)).code, 'broker.unreachable')
  assert.equal((await messaging.send(integration, { topic: 't' })).outcome, 'acknowledged')
})

test('A25: a name that fails first and is private at the next publish is refused at the dial', async () => {
  const { messaging, integration } = setUp('deferred.example')
  await using _ = messaging
  const before = connections()
  assert.equal((await refusalOf(messaging.test(integration))).code, 'broker.unreachable')
  assert.equal((await refused(messaging, integration)).code, 'destination.not_allowed')
  assert.deepEqual(messaging.audit.actions(), [
    'integrations.test failure',
    'proxy.publish.intent success',
    'proxy.publish.outcome denied',
  ])
  assert.equal(connections(), before)
})

test('A23: DNS that flips while connected: the link stays at its judged address, the next one is refused', async () => {
  const { messaging, integration } = setUp('flip.example')
  await using _ = messaging
  const before = connections()
  assert.equal((await messaging.send(integration, { topic: 't' })).outcome, 'acknowledged')
  assert.equal(dns.asked('flip.example'), 1)
  for (let i = 0; i < 3; i++) assert.equal((await messaging.send(integration, { topic: 't' })).outcome, 'acknowledged')
  assert.equal(dns.asked('flip.example'), 1, 'an open link asks nothing')
  assert.equal(connections(), before + 1)

  broker.connections.at(-1)?.close()
  while (messaging.pool.stats().connections > 0) await new Promise(setImmediate)
  const err = await refused(messaging, integration)
  assert.equal(err.code, 'destination.not_allowed')
  assert.equal(dns.asked('flip.example'), 2)
  assert.equal(connections(), before + 1)
  assert.equal(messaging.audit.actions().at(-1), 'proxy.publish.outcome denied')
})
