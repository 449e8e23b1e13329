import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { closedPort, startBlackHole } from '#test/support/black-hole.ts'
import { type Certificates, createCertificates } from '#test/support/certificates.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { misbehaviours } from '#test/support/misbehaviours.ts'
import { patience } from '#test/support/patience.ts'
import {
  assertEnd,
  assertRemembered,
  DEADLINE_MS,
  type Network,
  socketsOf,
  startNetwork,
  until,
} from './network-harness.ts'

let network: Network
let certificates: Certificates

before(async () => {
  ;[network, certificates] = await Promise.all([startNetwork(), createCertificates()])
})
after(async () => {
  await network.close()
  await certificates.remove()
})

const unreachable = { status: 503, code: 'broker.unreachable' }

test('F1: a broker that refuses TCP is 503 within a second, and nothing was sent', async () => {
  const line = await network.line({ port: await closedPort() })
  const answer = await line.publish()
  await assertEnd(network, line, answer, 'rejected', unreachable)
  assert.ok(answer.ms < patience(1_000), `${answer.ms} ms`)
  assert.ok(answer.retryAfterS >= 1)
})

test('F1: fifty publishes to a broker that resets every connection are no storm: one attempt, shared by all', async () => {
  const line = await network.line({ proxy: { up: { cut: { afterBytes: 0, how: 'reset' } } } })
  const answers = await Promise.all(Array.from({ length: 50 }, () => line.publish()))
  for (const answer of answers) await assertEnd(network, line, answer, 'rejected', unreachable)
  const { accepted } = line.proxy
  assert.ok(accepted >= 1 && accepted <= 5, `${accepted} attempts, of which each but the first waited for its slot`)
  const { length } = line.broker.packets
  assert.equal(length, 0)
})

test('F1: after five failures the breaker answers by itself, at once, and says for how long', async () => {
  const line = await network.line({ proxy: { up: { cut: { afterBytes: 0, how: 'reset' } } } })
  let last = await line.publish({ deadlineMs: 10_000 })
  for (let i = 1; i < 12 && last.retryAfterS < 2; i++) last = await line.publish({ deadlineMs: 10_000 })
  assert.ok(last.retryAfterS >= 2 && last.retryAfterS <= 4, `Retry-After ${last.retryAfterS}`)
  const { accepted } = line.proxy
  assert.ok(accepted >= 4 && accepted <= 5, `${accepted} attempts`)
  for (let i = 0; i < 3; i++) await assertRemembered(network, await line.publish(), unreachable)
  assert.equal(line.proxy.accepted, accepted, 'nobody was asked')
})

test('F2: a broker whose SYNs are dropped is given up at the connect deadline, and sockets do not pile up', async () => {
  const hole = await startBlackHole()
  try {
    const line = await network.line({ port: hole.port })
    assert.ok(await hole.swallows(150), 'nothing answers there')
    const { sockets } = await socketsOf(async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => line.publish()))
      for (const answer of answers) {
        await assertEnd(network, line, answer, 'rejected', unreachable)
        assert.ok(answer.ms >= DEADLINE_MS - 20, `it was not refused, it was waited for: ${answer.ms} ms`)
      }
    })
    const stranded = sockets.filter(
      ({ bytesWritten, destroyed, connecting }) => connecting || (destroyed && bytesWritten === 0),
    )
    assert.equal(stranded.length, 1, 'twenty requests share one attempt')
    await until(() => stranded[0]?.destroyed === true)
  } finally {
    await hole.stop()
  }
})

/** How many bytes of the TLS server come through: nothing, or half of its handshake. */
for (const afterBytes of [0, 200]) {
  test(`F3: a TLS handshake that stalls after ${afterBytes} bytes is given up at the connect deadline`, async () => {
    const { server, ca } = certificates
    const line = await network.line({
      broker: { tls: { cert: server.certificate, key: server.key } },
      proxy: { down: { cut: { afterBytes, how: 'stall' } } },
      credential: { ca_cert: ca },
      config: { protocol: 'mqtts', tls: { server_name: 'localhost' } },
    })
    const answer = await line.publish()
    await assertEnd(network, line, answer, 'rejected', unreachable)
    assert.ok(answer.ms >= DEADLINE_MS - 20, `${answer.ms} ms`)
    assert.ok(line.proxy.up.bytesPassed > 100, 'our side of the handshake went out')
    assert.deepEqual([line.proxy.down.cuts, line.proxy.down.bytesPassed], [1, afterBytes])
    assert.equal(line.broker.bytes.length, 0, 'no login, and nothing else')
    await until(() => line.proxy.open === 0)
  })
}

test('F4: TLS, and no CONNACK: given up at the connect deadline, one connection for all, no queue afterwards', async () => {
  const { server, ca } = certificates
  const line = await network.line({
    broker: { tls: { cert: server.certificate, key: server.key }, ...misbehaviours['no CONNACK']() },
    credential: { ca_cert: ca },
    config: { protocol: 'mqtts', tls: { server_name: 'localhost' } },
  })
  const answers = await Promise.all(Array.from({ length: 20 }, () => line.publish()))
  for (const answer of answers) await assertEnd(network, line, answer, 'rejected', unreachable)
  assert.deepEqual(
    line.broker.packets.map(({ cmd }) => cmd),
    ['connect'],
  )
  await until(() => line.proxy.open === 0)
  line.broker.mend()
  const { status } = await line.publish({ deadlineMs: 10_000 })
  assert.equal(status, 200, 'the twin, and nothing of the first twenty is sent after all')
  assert.equal(line.broker.packetsOf('publish').length, 1)
})

const refusals = [
  { name: 'CONNACK 0x86, bad user name or password', code: 0x86, isCredential: true },
  { name: 'CONNACK 0x87, not authorized', code: 0x87, isCredential: true },
  { name: 'CONNACK 5 of MQTT 3.1.1, not authorized', code: 5, isCredential: true, version: 4 },
  { name: 'CONNACK 0x89, server busy', code: 0x89, isCredential: false },
  { name: 'CONNACK 0x97, quota exceeded', code: 0x97, isCredential: false },
] as const
for (const { name, code, isCredential, ...more } of refusals) {
  test(`F5: ${name}: 502 with the code; ${isCredential ? 'the credential is not shown again' : 'no loop'}`, async () => {
    const protocolVersion = 'version' in more ? more.version : 5
    const line = await network.line({ broker: misbehaviours[name](), config: { protocol_version: protocolVersion } })
    const refused = { status: 502, code: 'broker.rejected', reasonCode: code }
    await assertEnd(network, line, await line.publish(), 'rejected', refused)
    assert.equal(line.broker.packetsOf('publish').length, 0)
    const again = await Promise.all(Array.from({ length: 20 }, () => line.publish()))
    const logins = line.broker.packetsOf('connect').length
    if (!isCredential) {
      assert.ok(logins <= 3, `${logins} logins for 21 publishes`)
      return
    }
    assert.equal(logins, 1)
    for (const answer of again) {
      await assertRemembered(network, answer, refused)
      assert.ok(answer.retryAfterS > 30, `Retry-After ${answer.retryAfterS}`)
    }
    assert.equal(line.broker.packetsOf('publish').length, 0)
  })
}

test('F13: a CONNACK that sends us elsewhere is reported with its code, and never followed', async () => {
  const canary = await startFakeBroker()
  try {
    const moved = { serverReference: `127.0.0.1:${canary.port}` }
    const connack = {
      cmd: 'connack',
      sessionPresent: false,
      returnCode: 0,
      reasonCode: 0x9d,
      properties: moved,
    } as const
    const line = await network.line({ broker: { misbehave: { connect: (_, c) => c.send(connack) } } })
    const refused = { status: 502, code: 'broker.rejected', reasonCode: 0x9d }
    await assertEnd(network, line, await line.publish(), 'rejected', refused)
    await line.publish()
    assert.equal(line.broker.log.filter(({ packet }) => packet.cmd === 'connack').length >= 1, true)
    assert.equal(canary.connections.length, 0)
  } finally {
    await canary.stop()
  }
})
