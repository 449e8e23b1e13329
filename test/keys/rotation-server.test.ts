import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fromBase64Url } from '#src/core/base64.ts'
import { decodeUtf8 } from '#src/core/bytes.ts'
import { silentLog } from '#src/core/log.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { type Foundation, openFoundation } from '#src/foundation.ts'
import { createKeyOperations } from '#src/keys/key-operations.ts'
import { systemCallClock } from '#src/sdk/call-clock.ts'
import { Sealwire, type SealwireError } from '#src/sdk/index.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { failureOf } from '#test/support/sdk-calls.ts'

/** Calls in flight at every moment. */
const CALLERS = 4

let api: ApiServer
let broker: Mosquitto
let integrationId: string
/** The operator, in what could be another process: all that it shares with the server is the database. */
let operator: Foundation
let client: Sealwire
let fetches = 0
let minutes = 0
let stopCalling = async () => {}

before(async () => {
  ;[api, broker] = await Promise.all([startApiServer(), startMosquitto()])
  operator = await openFoundation(api.config, { log: silentLog, join: true })
  const options = { baseUrl: api.url, apiKey: api.ownerKey, provider: opensslProvider }
  const recipient = await new Sealwire(options).recipients.enroll({ name: 'calls' })
  const owner = new Sealwire(options)
  const values = { hostname: '127.0.0.1', port: broker.ports.tcp }
  const { id: credentialId } = await owner.vault.seal({ name: 'broker', credentialType: 'custom_kv', values })
  const integration = { name: 'line 4', systemType: 'mqtt', credentialId, config: { topic: 'a', qos: 1 } } as const
  integrationId = (await owner.integrations.create({ ...integration, allowedOperations: ['publish'] })).id
  const clock = { ...systemCallClock, monotonic: () => systemCallClock.monotonic() + minutes * 60_000 }
  const counting: typeof fetch = (input, init) => {
    if (new Request(input).url.includes('/.well-known/')) fetches++
    return fetch(input, init)
  }
  client = new Sealwire({ ...options, recipient, clock, fetch: counting, maxRetries: 0 })
})
afterEach(() => stopCalling())
after(async () => {
  await operator.close()
  await api.close()
  await broker.stop()
})

const operationsAt = (aheadMs: number) => {
  const clock = { ...operator.clock, now: () => Date.now() + aheadMs }
  return createKeyOperations({ ...operator, clock, countApiKeys: async () => new Map(), counters: [] })
}

function signerOf(envelope: { protected: string }): string {
  const header = fromBase64Url(envelope.protected)
  assert.ok(header)
  return (JSON.parse(decodeUtf8(header)) as { sig: string }).sig
}

/** Calls without a pause until told to stop, and says who signed the answers, and what failed. */
function keepCalling() {
  const signers = new Map<string, number>()
  const failures: SealwireError[] = []
  let stopped = false
  async function caller(): Promise<void> {
    while (!stopped) {
      try {
        const { result, envelope } = await client.proxy.publish({ integrationId, message: '1' })
        assert.equal(result.outcome, 'acknowledged')
        const signer = signerOf(envelope)
        signers.set(signer, (signers.get(signer) ?? 0) + 1)
      } catch (err) {
        failures.push(err as SealwireError)
        if (failures.length > 10 * CALLERS) throw err
      }
    }
  }
  const callers = Promise.all(Array.from({ length: CALLERS }, caller))
  stopCalling = async () => {
    stopped = true
    await callers
  }
  return {
    signers,
    failures,
    /** Resolves when that many more answers have been signed by a key. */
    async signedBy(keyId: string, count: number): Promise<void> {
      const wanted = (signers.get(keyId) ?? 0) + count
      const end = Date.now() + 20_000
      while ((signers.get(keyId) ?? 0) < wanted) {
        assert.ok(Date.now() < end, `${keyId} signed ${signers.get(keyId) ?? 0} of ${wanted} answers`)
        await nextTurn()
      }
    },
    stop: stopCalling,
  }
}

test('the issuer is rotated while a client calls: no call fails, and the document is fetched once more', async () => {
  const first = operator.keys.issuer.keyId
  const calls = keepCalling()
  await calls.signedBy(first, 20)
  assert.equal(fetches, 1)
  const published = await operationsAt(0).rotate('issuer-key')
  await calls.signedBy(first, 20)
  minutes += 6
  const before = fetches
  const activated = await operationsAt(360_000).rotate('issuer-key')
  assert.equal(activated.step, 'activated')
  const committed = performance.now()
  await calls.signedBy(published.keyId, 1)
  assert.ok(performance.now() - committed < 1000, 'the server follows within a second')
  await calls.signedBy(published.keyId, 50)
  await calls.stop()
  assert.deepEqual(calls.failures, [])
  assert.deepEqual([...calls.signers.keys()], [first, published.keyId])
  assert.ok(fetches - before <= 1, `${fetches - before} fetches`)
})

test('the issuer is revoked while a client calls: a successor signs within a second, and what the revoked key signed is refused', async () => {
  const revoked = operator.keys.issuer.keyId
  const kept = (await client.proxy.publish({ integrationId, message: 'kept' })).envelope
  const calls = keepCalling()
  await calls.signedBy(revoked, 20)
  minutes += 2
  const before = fetches
  const { successorId } = await operationsAt(0).revoke(revoked)
  assert.ok(successorId)
  const committed = performance.now()
  await calls.signedBy(successorId, 1)
  assert.ok(performance.now() - committed < 1000, 'the server follows within a second')
  const signedBefore = calls.signers.get(revoked)
  await calls.signedBy(successorId, 50)
  await calls.stop()
  assert.equal(
    calls.signers.get(revoked),
    signedBefore,
    'no answer of the revoked key opens once the document is known',
  )
  assert.ok(calls.failures.length < CALLERS, 'only answers that were on their way may be refused')
  for (const { code } of calls.failures) assert.equal(code, 'envelope.rejected')
  assert.ok(fetches - before <= 1, `${fetches - before} fetches`)

  assert.equal(signerOf(kept), revoked)
  assert.equal((await failureOf(client.encryption.verifyOrigin(kept))).code, 'envelope.rejected')
})

test('a new root is not believed by who pinned the old one; who enrols again is answered', async () => {
  const before = operator.keys.rootFingerprint
  await operationsAt(0).replace('root-key')
  await operator.keys.reload()
  const root = operator.keys.rootFingerprint
  assert.notEqual(root, before)
  const options = { baseUrl: api.url, apiKey: api.ownerKey, provider: opensslProvider, maxRetries: 0 }
  const pinned = new Sealwire({ ...options, rootFingerprint: before })
  const { envelope } = await client.proxy.publish({ integrationId, message: 'still known' })
  assert.equal((await failureOf(pinned.encryption.verifyOrigin(envelope))).code, 'envelope.issuer_unknown')
  const recipient = await new Sealwire(options).recipients.enroll({ name: 'again', rootFingerprint: root })
  const again = new Sealwire({ ...options, recipient })
  const { result } = await again.proxy.publish({ integrationId, message: '1' })
  assert.equal(result.outcome, 'acknowledged')
})

test('every step is in the audit log of the deployment', async () => {
  const { rows } = await operator.db.query<{ action: string }>(
    `select action from audit_rows where tenant_id = 'ten_00000000000000000000000000' and action like 'keys.%' order by seq`,
  )
  assert.deepEqual(
    rows.map(({ action }) => action),
    [
      'keys.publish',
      'keys.retire',
      'keys.activate',
      'keys.revoke',
      'keys.create',
      'keys.retire',
      'keys.create',
      'keys.destroy',
    ],
  )
})
