import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import { firstThatWorks } from '#src/messaging/several-hosts.ts'
import { rejected, unreachable } from '#src/outbound/dial-errors.ts'
import { type FakeBroker, type FakeBrokerOptions, startFakeBroker } from '#test/support/fake-broker.ts'
import { createIntegration, createMessaging, refusalOf } from './harness.ts'

const refusedWith = (reasonCode: number) => rejected('The broker refused the connection.', 'x', reasonCode)
const certificate = (reason: string) => rejected('A certificate was refused.', reason)

const turns: readonly { what: string; fails: readonly AppError[]; tried: number; ends: string }[] = [
  { what: 'the first one works', fails: [], tried: 1, ends: 'works' },
  { what: 'the next one works', fails: [unreachable(), unreachable()], tried: 3, ends: 'works' },
  {
    what: 'none is reached',
    fails: [unreachable(), unreachable(), unreachable()],
    tried: 3,
    ends: 'broker.unreachable',
  },
  {
    what: 'the first refusal is told',
    fails: [unreachable(), refusedWith(0x88), unreachable()],
    tried: 3,
    ends: '136',
  },
  { what: 'a server that is unavailable', fails: [refusedWith(0x03)], tried: 2, ends: 'works' },
  { what: 'use another server', fails: [refusedWith(0x9c)], tried: 2, ends: 'works' },
  { what: 'its certificate is refused', fails: [certificate('CERT_HAS_EXPIRED')], tried: 2, ends: 'works' },
  { what: 'ours is refused', fails: [certificate('CLIENT_UNKNOWN_CA')], tried: 1, ends: 'CLIENT_UNKNOWN_CA' },
  { what: 'a wrong password', fails: [refusedWith(0x86)], tried: 1, ends: '134' },
  { what: 'not authorized, MQTT 3.1.1', fails: [refusedWith(0x05)], tried: 1, ends: '5' },
  {
    what: 'not allowed',
    fails: [new AppError('destination.not_allowed', 'x')],
    tried: 1,
    ends: 'destination.not_allowed',
  },
  { what: 'locked', fails: [new AppError('integration.locked', 'x')], tried: 1, ends: 'integration.locked' },
]
for (const { what, fails, tried, ends } of turns) {
  test(`several hosts: ${what}: ${tried} of three are tried`, async () => {
    const hosts: number[] = []
    const clock = { now: () => 0, monotonic: () => 0 }
    const attempt = (host: number) => {
      hosts.push(host)
      const failure = fails[host]
      return failure ? Promise.reject(failure) : Promise.resolve('works')
    }
    const said = await firstThatWorks({ count: 3, deadlineMs: 300, clock }, attempt).catch((err: AppError) => {
      const { reason_code: code, reason } = (err.details ?? {}) as { reason_code?: number | null; reason?: string }
      return code?.toString() ?? reason ?? err.code
    })
    assert.equal(said, ends)
    assert.deepEqual(hosts, [0, 1, 2].slice(0, tried))
  })
}

test('several hosts: each has its share of the time that is left', async () => {
  let nowMs = 1_000
  const clock = { now: () => 0, monotonic: () => nowMs }
  const until: number[] = []
  const attempt = (host: number, untilMs: number) => {
    until.push(untilMs)
    if (host !== 1) nowMs = untilMs // silent; the second one refuses at once
    return Promise.reject(unreachable())
  }
  await assert.rejects(firstThatWorks({ count: 4, deadlineMs: 5_000, clock }, attempt))
  assert.deepEqual(until, [2_000, 3_000, 3_500, 5_000])
})

interface Case {
  what: string
  first: FakeBrokerOptions | 'closed'
  /** What comes of it, and the logins that each of the two saw. */
  ends: string
  logins: readonly [number, number]
}

const cases: readonly Case[] = [
  { what: 'nobody listens', first: 'closed', ends: 'acknowledged', logins: [0, 1] },
  { what: 'no CONNACK comes', first: { misbehave: { connect() {} } }, ends: 'acknowledged', logins: [1, 1] },
  { what: 'it hangs up', first: { misbehave: { connect: (_, c) => c.close() } }, ends: 'acknowledged', logins: [1, 1] },
  {
    what: 'it is unavailable',
    first: { misbehave: { connect: (_, c) => c.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0x88 }) } },
    ends: 'acknowledged',
    logins: [1, 1],
  },
  {
    what: 'it has moved, and names metadata',
    first: {
      misbehave: {
        connect: (_, c) =>
          c.send({
            cmd: 'connack',
            sessionPresent: false,
            reasonCode: 0x9d,
            properties: { serverReference: '169.254.169.254:1883' },
          }),
      },
    },
    ends: 'acknowledged',
    logins: [1, 1],
  },
  {
    what: 'the password is wrong',
    first: { misbehave: { connect: (_, c) => c.send({ cmd: 'connack', sessionPresent: false, reasonCode: 0x86 }) } },
    ends: 'broker.rejected',
    logins: [1, 0],
  },
  { what: 'it works', first: {}, ends: 'acknowledged', logins: [1, 0] },
]

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}

const loginsOf = (broker: FakeBroker | undefined) => broker?.packetsOf('connect').length ?? 0

for (const { what, first, ends, logins } of cases) {
  test(`two hosts, and at the first one ${what}: ${ends}`, async () => {
    const [one, two] = [first === 'closed' ? undefined : await startFakeBroker(first), await startFakeBroker()]
    const messaging = createMessaging({ connectTimeoutMs: 600, random: () => 0 })
    const integration = createIntegration()
    const hosts = [
      { hostname: '127.0.0.1', port: one?.port ?? (await closedPort()) },
      { hostname: 'localhost', port: two.port },
    ]
    messaging.vault.put(integration.credentialId, { hosts, username: 'u', password: 'p' })
    const sent = await messaging.send(integration, { topic: 't' }).then(
      ({ outcome }) => outcome as string,
      ({ code }: AppError) => code,
    )
    assert.equal(sent, ends)
    assert.deepEqual([loginsOf(one), loginsOf(two)], logins)
    const passwords = [one, two]
      .flatMap((broker) => broker?.packetsOf('connect') ?? [])
      .map(({ password }) => password?.toString())
    assert.deepEqual(new Set(passwords), new Set(['p']), 'each saw the login whole')
    assert.equal(
      messaging.audit.actions().at(-1),
      `proxy.publish.outcome ${ends === 'acknowledged' ? 'success' : 'failure'}`,
    )
    const published = [one, two].flatMap((broker) => broker?.packetsOf('publish') ?? [])
    assert.equal(published.length, ends === 'acknowledged' ? 1 : 0)
    await messaging[Symbol.asyncDispose]()
    await Promise.all([one?.stop(), two.stop()])
  })
}

test('a list of hosts that is none is named, and shows nothing of it', async () => {
  await using messaging = createMessaging()
  const host = { hostname: '127.0.0.1', port: 1883 }
  const bad: readonly { values: Record<string, unknown>; member: string }[] = [
    { values: { hosts: [] }, member: 'hosts' },
    { values: { hosts: 'canary' }, member: 'hosts' },
    { values: { hosts: { 0: host } }, member: 'hosts' },
    { values: { hosts: Array(9).fill(host) }, member: 'hosts' },
    { values: { hosts: [host], hostname: 'canary' }, member: 'hosts' },
    { values: { hosts: [host], port: 1883 }, member: 'hosts' },
    { values: { hosts: [host, 'canary'] }, member: 'hosts[1]' },
    { values: { hosts: [host, null] }, member: 'hosts[1]' },
    { values: { hosts: [host, { ...host, canary: 1 }] }, member: 'hosts[1]' },
    { values: { hosts: [host, { hostname: 'can ary', port: 1883 }] }, member: 'hosts[1].hostname' },
    { values: { hosts: [host, { hostname: '127.0.0.1', port: '0' }] }, member: 'hosts[1].port' },
  ]
  for (const { values, member } of bad) {
    const integration = createIntegration()
    messaging.vault.put(integration.credentialId, values)
    const err = await refusalOf(messaging.send(integration, { topic: 't' }))
    assert.ok(err.code === 'integration.invalid' || err.code === 'request.invalid', err.code)
    assert.equal(err.details?.['member'], member)
    assert.ok(!/can ?ary/.test(err.message), err.message)
  }
})
