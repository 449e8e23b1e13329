import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#src/core/clock.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { Sealwire, SealwireError } from '#src/sdk/index.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { type Call, callerOf, integrate, publish } from './system-parts.ts'

const HOUR_MS = 3_600_000
const YEAR_MS = 365 * 24 * HOUR_MS

/** The wall clock of the server is put forward and back; its monotonic clock, as that of every system, goes on. */
describe('F32: the clock of the server jumps', () => {
  let aheadMs = 0
  const clock = { now: () => systemClock.now() + aheadMs, monotonic: systemClock.monotonic }
  let api: ApiServer
  let broker: FakeBroker
  let call: Call
  let integrationId: string
  let limitedId: string
  /** An application with a clock that is right. */
  let app: Sealwire
  let options: ConstructorParameters<typeof Sealwire>[0]

  before(async () => {
    broker = await startFakeBroker()
    api = await startApiServer({}, { clock })
    call = callerOf(
      () => api.url,
      () => api.ownerKey,
    )
    ;({ integrationId } = await integrate(call, broker.port))
    const limit = { 'messages-per-second': 4, burst: 2 }
    ;({ integrationId: limitedId } = await integrate(call, broker.port, {
      guards: { 'rate-limit': { enabled: true, global: limit } },
    }))
    const made = await call('POST', '/api/v2/security/api-keys', { name: 'app', role: 'editor' })
    const base = { baseUrl: api.url, provider: opensslProvider, maxRetries: 0, apiKey: made.data.secret as string }
    options = { ...base, recipient: await new Sealwire(base).recipients.enroll({ name: 'app' }) }
    app = new Sealwire(options)
    assert.equal((await app.proxy.publish({ integrationId, message: 'x' })).result.outcome, 'acknowledged')
  })
  after(async () => {
    await api.close()
    await broker.stop()
  })

  const exhaust = async () => {
    for (let i = 0; i < 20; i++) if ((await publish(call, limitedId)).status === 429) return
    assert.fail('the limit was never reached')
  }

  for (const { name, jumpMs } of [
    { name: 'an hour forward', jumpMs: HOUR_MS },
    { name: 'an hour back', jumpMs: -HOUR_MS },
    { name: 'a year forward', jumpMs: YEAR_MS },
    { name: 'a year back', jumpMs: -YEAR_MS },
  ])
    test(`${name}: publishes go on in their time, limits come free, and when it is right again so is everything`, async () => {
      await exhaust()
      const connects = broker.packetsOf('connect').length
      aheadMs = jumpMs
      try {
        const headers = { 'idempotency-key': `jump${jumpMs}`, 'request-deadline-ms': '2000' }
        const first = await publish(call, integrationId, { headers })
        assert.equal(first.status, 200)
        assert.ok(first.endedMs - first.startedMs < patience(2_000))
        const sent = broker.packetsOf('publish').length
        assert.equal((await publish(call, integrationId, { headers })).headers.get('idempotency-replayed'), 'true')
        assert.equal(broker.packetsOf('publish').length, sent)
        assert.ok(Math.abs(Date.parse(first.timestamp) - (Date.now() + jumpMs)) < 60_000, 'the clock did not jump')

        assert.equal((await fetch(`${api.url}/.well-known/sealwire-keys`)).status, 200) // one of the wrong time is signed

        // Whoever has the right time takes such an answer for old, or not yet valid, and says so.
        await assert.rejects(app.proxy.publish({ integrationId, message: 'x' }), (err: unknown) => {
          assert.ok(err instanceof SealwireError)
          assert.match(err.code, /^envelope\./)
          return true
        })
        await delay(300)
        assert.equal((await publish(call, limitedId)).status, 200, 'the limit is stuck')
        await exhaust()
      } finally {
        aheadMs = 0
      }
      assert.equal((await app.proxy.publish({ integrationId, message: 'x' })).result.outcome, 'acknowledged')
      const newcomer = new Sealwire(options) // gets the key document of now
      assert.equal((await newcomer.proxy.publish({ integrationId, message: 'x' })).result.outcome, 'acknowledged')
      await delay(300)
      assert.equal((await publish(call, limitedId)).status, 200, 'the limit is stuck')
      assert.equal(broker.packetsOf('connect').length, connects, 'connections live by the monotonic clock')
      const verified = await call('POST', '/api/v2/audit/verify')
      assert.equal(verified.data.ok, true)
    })
})
