import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createResolver } from '#src/outbound/resolver.ts'
import { refused } from '#test/support/api-server.ts'
import { type DnsReply, type DnsServer, startDnsServer } from '#test/support/dns-server.ts'
import { assertEnd, DEADLINE_MS, type Line, type Network, startNetwork, until } from './network-harness.ts'

const HERE: DnsReply = { addresses: ['127.0.0.1'] }
const METADATA: DnsReply = { addresses: ['169.254.169.254'] }
const many = Array.from({ length: 999 }, (_, i) => `127.0.${i >> 8}.${i & 255 || 1}`)

const unreachable = { status: 503, code: 'broker.unreachable' }
const notAllowed = { status: 403, code: 'destination.not_allowed' }

const unanswered: Record<string, DnsReply> = {
  'servfail.example': { error: 'SERVFAIL' },
  'refused.example': { error: 'REFUSED' },
  'nxdomain.example': { error: 'NXDOMAIN' },
  'empty.example': {},
  'loop.example': { cnames: ['a.example', 'loop.example'] },
}
const slow: Record<string, DnsReply> = {
  'slow.example': { ...HERE, delayMs: 30_000 },
  'silent.example': { delayMs: 'never' },
}
const forbidden: Record<string, DnsReply> = {
  'metadata.example': METADATA,
  'private.example': { addresses: ['10.0.0.1'] },
  'alias.example': { cnames: ['cdn.example', 'metadata.google.internal'], ...METADATA },
  'mixed.example': { addresses: ['127.0.0.1', 'fe80::1'] },
  'thousand.example': { addresses: [...many, '169.254.169.254'] },
}
const changing: Record<string, DnsReply[]> = {
  'healed.example': [{ error: 'SERVFAIL' }, HERE],
  'flip.example': [HERE, METADATA],
  'deferred.example': [{ error: 'SERVFAIL' }, { addresses: ['10.0.0.1'] }],
  'open.example': [{ addresses: [...many, '10.0.0.1'] }],
}

let dns: DnsServer
let network: Network

before(async () => {
  dns = await startDnsServer({ names: { ...unanswered, ...slow, ...forbidden, ...changing } })
  const resolve = createResolver({ servers: [dns.server], hostsFile: '/dev/null', resolvConf: '/dev/null' })
  const env = { OUTBOUND_ALLOW: '127.0.0.0/8', BROKER_CONNECT_TIMEOUT_MS: '10000' } // only the slow ones are to be late
  network = await startNetwork(env, { resolve })
})
after(async () => {
  await network.close()
  await dns.stop()
})

/** A line whose credential has a name; `port` is still that of the proxy. */
const lineTo = (hostname: string) => network.line({ credential: { hostname } })
const UNHURRIED = { deadlineMs: 10_000 }

/** The name was asked for, and nobody came to where it might lead. */
function assertNotDialled({ proxy, broker }: Line, name: string): void {
  assert.ok(dns.asked(name) > 0, 'it was asked for')
  assert.deepEqual([proxy.accepted, broker.bytes.length], [0, 0])
}

for (const name of Object.keys(unanswered)) {
  test(`F33: ${name}: unreachable, nothing is dialled, and both rows say so`, async () => {
    const line = await lineTo(name)
    await assertEnd(network, line, await line.publish(UNHURRIED), 'rejected', unreachable)
    assertNotDialled(line, name)
  })
}

for (const name of Object.keys(slow)) {
  test(`F33: ${name}: unreachable at the deadline, nothing is dialled, and both rows say so`, async () => {
    const line = await lineTo(name)
    const answer = await line.publish()
    await assertEnd(network, line, answer, 'rejected', unreachable)
    assert.ok(answer.ms >= DEADLINE_MS - 20, `it was not refused, it was waited for: ${answer.ms} ms`)
    assertNotDialled(line, name)
  })
}

for (const name of Object.keys(forbidden)) {
  test(`F33: ${name}: not allowed, nothing is dialled, and both rows say so`, async () => {
    const line = await lineTo(name)
    await assertEnd(network, line, await line.publish(UNHURRIED), 'denied', notAllowed)
    assertNotDialled(line, name)
  })
}

test('F33: a thousand answers of which one is not allowed and none forbidden: an allowed one is dialled', async () => {
  const line = await lineTo('open.example')
  await assertEnd(network, line, await line.publish(UNHURRIED), 'acknowledged')
  assert.ok(dns.asked('open.example') > 0)
})

test('F33: once the name server works again, so does the integration', async () => {
  const line = await lineTo('healed.example')
  await assertEnd(network, line, await line.publish(UNHURRIED), 'rejected', unreachable)
  assertNotDialled(line, 'healed.example')
  await assertEnd(network, line, await line.publish(UNHURRIED), 'acknowledged')
  assert.equal(dns.asked('healed.example'), 2)
})

test('A25: a name that fails first and is private at the next publish is refused at the dial', async () => {
  const line = await lineTo('deferred.example')
  const trial = network.api.call('POST', `/api/v2/integrations/${line.integrationId}/test`)
  await refused(trial, 503, 'broker.unreachable')
  await assertEnd(network, line, await line.publish(UNHURRIED), 'denied', notAllowed)
  assertNotDialled(line, 'deferred.example')
})

test('A23: DNS that flips while connected: the link stays at its judged address, the next one is refused', async () => {
  const line = await lineTo('flip.example')
  for (let i = 0; i < 4; i++) await assertEnd(network, line, await line.publish(UNHURRIED), 'acknowledged')
  assert.equal(dns.asked('flip.example'), 1, 'an open link asks nothing')
  assert.equal(line.proxy.accepted, 1)

  const before = await network.connections()
  line.broker.connections.at(-1)?.close()
  await until(async () => (await network.connections()) < before)
  const answer = await line.publish(UNHURRIED)
  await assertEnd(network, line, answer, 'denied', notAllowed)
  assert.equal(dns.asked('flip.example'), 2)
  assert.equal(line.proxy.accepted, 1)
})
