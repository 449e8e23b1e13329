import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import type pg from 'pg'
import { createTenant } from '#src/app.ts'
import { silentLog } from '#src/core/log.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { openSql } from '#test/support/database.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { type KmsDouble, startKmsDouble } from '#test/support/kms-double.ts'
import { patience } from '#test/support/patience.ts'
import { awsEnv, movedClock } from './kms-parts.ts'
import { auditRows, type Call, callerOf, integrate, publish } from './system-parts.ts'

/** Above the five minutes that a share stays in memory. */
const TTL_MS = 300_001

describe('a running server whose KMS fails', () => {
  const clock = movedClock()
  let kms: KmsDouble
  let broker: FakeBroker
  let api: ApiServer
  let call: Call
  let keyArn: string
  let sql: pg.Pool
  const inherited = { ...process.env }

  before(async () => {
    kms = await startKmsDouble()
    broker = await startFakeBroker()
    const key = kms.createKey()
    keyArn = key.arn
    const env = awsEnv(kms, key.arn)
    Object.assign(process.env, env) // where the SDK finds its credentials
    api = await startApiServer(env, { clock })
    sql = openSql(api.databaseUrl)
    call = callerOf(
      () => api.url,
      () => api.ownerKey,
    )
  })
  afterEach(() => kms.fail({ silent: true, times: 0 })) // what a test leaves behind is no other one's failure
  after(async () => {
    for (const name of [
      'AWS_ACCESS_KEY_ID',
      'AWS_SECRET_ACCESS_KEY',
      'AWS_REGION',
      'KMS_PROVIDER',
      'KMS_KEY_ID',
      'KMS_ENDPOINT',
    ])
      if (inherited[name] === undefined) delete process.env[name]
    await sql.end()
    await api.close()
    await broker.stop()
    await kms.close()
  })

  const vaultRows = async () =>
    (
      await sql.query<{ entries: number; versions: number }>(
        'select (select count(*) from vault_entries)::int as entries, (select count(*) from vault_versions)::int as versions',
      )
    ).rows[0]
  const seal = () => call('POST', '/api/v2/vault/seal', { credential_type: 'custom_kv', values: { hostname: 'b' } })
  const unseal = (id: string, key?: string) =>
    call('POST', `/api/v2/vault/unseal/${id}`, undefined, key === undefined ? {} : { key })
  const auditOf = (requestId: string) => auditRows(sql, requestId)
  /** Ends every connection of the broker and waits until the server has seen it. */
  const cutBroker = () => {
    for (const { socket } of broker.connections) socket.destroy()
  }
  const backWithin = async (ms: number, ask: () => Promise<{ status: number }>) => {
    const sinceMs = performance.now()
    for (;;) {
      const { status } = await ask()
      const tookMs = performance.now() - sinceMs
      if (status < 300) return tookMs
      assert.ok(tookMs < patience(ms), `still ${status} after ${Math.round(tookMs)} ms`)
    }
  }

  test('F19: what is open and cached serves for five minutes and then no more; new writes are refused at once and leave nothing', async () => {
    const { integrationId, credentialId } = await integrate(call, broker.port)
    assert.equal((await publish(call, integrationId)).status, 200)
    const before = await vaultRows()
    await kms.down()
    const asked = kms.requests.length

    const written = await Promise.all([
      seal(),
      call('POST', `/api/v2/vault/rotate/${credentialId}`, { values: { hostname: 'c', port: 1883 } }),
    ])
    for (const { status, code, startedMs, endedMs, headers } of written) {
      assert.deepEqual([status, code], [503, 'kms.unavailable'])
      assert.ok(endedMs - startedMs < patience(2_000), `took ${endedMs - startedMs} ms`)
      assert.ok(Number(headers.get('retry-after')) >= 1)
    }
    assert.deepEqual(await vaultRows(), before)

    assert.equal((await publish(call, integrationId)).status, 200)
    assert.equal((await unseal(credentialId)).data.version, 1)
    cutBroker()
    assert.equal((await publish(call, integrationId)).status, 200, 'a new connection, with the share in memory')
    assert.equal(broker.packetsOf('connect').length, 2)
    assert.equal((await fetch(`${api.url}/health/ready`)).status, 503)

    clock.advance(TTL_MS)
    assert.equal((await publish(call, integrationId)).status, 200, 'its connection is open')
    const unsealed = await unseal(credentialId)
    assert.deepEqual([unsealed.status, unsealed.code], [503, 'kms.unavailable'])
    assert.deepEqual(
      (await auditOf(unsealed.requestId)).map(({ action, outcome }) => `${action} ${outcome}`),
      ['vault.unseal failure'],
    )
    const published = broker.packetsOf('publish').length
    cutBroker()
    const refused = await publish(call, integrationId)
    assert.deepEqual([refused.status, refused.code], [503, 'kms.unavailable'])
    assert.equal(broker.packetsOf('publish').length, published)
    assert.equal(broker.packetsOf('connect').length, 2, 'nothing was dialled without a password')
    assert.deepEqual(
      (await auditOf(refused.requestId)).map(({ action, outcome }) => `${action} ${outcome}`),
      ['proxy.publish.intent success', 'proxy.publish.outcome failure'],
    )
    assert.equal(kms.requests.length, asked, 'the KMS was really away')

    await kms.up()
    await backWithin(5_000, () => publish(call, integrationId))
    assert.equal((await seal()).status, 201)
    await backWithin(5_000, () => fetch(`${api.url}/health/ready`))
  })

  test('F19, G1: a KMS that takes requests and says nothing: 503 by the deadline, and nothing is dialled', async () => {
    const { integrationId } = await integrate(call, broker.port)
    assert.equal((await publish(call, integrationId)).status, 200)
    clock.advance(TTL_MS)
    cutBroker()
    const connects = broker.packetsOf('connect').length
    const asked = kms.requests.length
    kms.fail({ silent: true, times: Number.POSITIVE_INFINITY })
    const headers = { 'request-deadline-ms': '300' }
    const answers = await Promise.all(Array.from({ length: 10 }, () => publish(call, integrationId, { headers })))
    for (const { status, code, startedMs, endedMs } of answers) {
      assert.equal(status, 503, `${code}`)
      assert.ok(endedMs - startedMs < patience(300 + 250 + 750), `took ${endedMs - startedMs} ms`)
    }
    assert.ok(kms.requests.length > asked, 'the KMS was not asked')
    assert.equal(broker.packetsOf('connect').length, connects)
    assert.equal((await fetch(`${api.url}/.well-known/sealwire-keys`)).status, 200)
    kms.fail({ silent: true, times: 0 })
    await backWithin(10_000, () => publish(call, integrationId)) // what waits for the silent one has its two seconds first
  })

  test('F20: throttling is answered with waits, one request for each key, and 503 in the end; callers do not multiply requests', async () => {
    const ids = await Promise.all(Array.from({ length: 40 }, async () => (await seal()).data.id as string))
    clock.advance(TTL_MS)
    kms.fail({ type: 'ThrottlingException', status: 400, times: Number.POSITIVE_INFINITY })
    const from = kms.requests.length
    const [first = ''] = ids
    const same = await Promise.all(Array.from({ length: 40 }, () => unseal(first)))
    for (const { status, code, endedMs, startedMs } of same) {
      assert.deepEqual([status, code], [503, 'kms.unavailable'])
      assert.ok(endedMs - startedMs < patience(8_000))
    }
    const attempts = kms.requests.slice(from)
    assert.ok(attempts.length >= 3 && attempts.length <= 6, `${attempts.length} requests for 40 callers of one key`)
    const gaps = attempts.slice(1).map(({ atMs }, i) => atMs - (attempts[i]?.atMs ?? 0))
    assert.ok(new Set(gaps.map(Math.round)).size > 1, `waits of one length: ${gaps.join()}`)

    const begunMs = performance.now()
    const begun = kms.requests.length
    let refused = 0
    while (performance.now() - begunMs < 1_500 || refused < 80) {
      const answers = await Promise.all(Array.from({ length: 40 }, seal)) // each needs a wrap of its own
      refused += answers.filter(({ status, code }) => status === 503 && code === 'kms.unavailable').length
      assert.equal(answers.filter(({ status }) => status !== 503).length, 0)
    }
    const requests = kms.requests.length - begun
    const most = 40 * Math.max(1, (performance.now() - begunMs) / 1_500)
    assert.ok(requests <= most, `${requests} requests to the KMS for ${refused} refused calls`)

    kms.fail({ type: 'ThrottlingException', status: 400, times: 0 })
    await backWithin(5_000, () => unseal(first))
    for (const id of ids) assert.equal((await unseal(id)).status, 200)
  })

  for (const state of ['Disabled', 'Denied'] as const) {
    test(`F21: a KMS key of one tenant that is ${state} stops that tenant, beyond what is cached, and nobody else`, async () => {
      const own = kms.createKey()
      const { tenantId, ownerKey } = await createTenant(api.config, { name: state, sandbox: false }, { log: silentLog })
      await sql.query('update tenants set kms_key_id = $1 where id = $2', [own.arn, tenantId])
      const key = ownerKey.reveal()
      const theirs = await integrate(call, broker.port, { key })
      const ours = await integrate(call, broker.port)
      assert.equal((await publish(call, theirs.integrationId, { key })).status, 200)
      assert.equal((await publish(call, ours.integrationId)).status, 200)

      kms.setState(own.id, state)
      const from = kms.requests.length
      assert.equal((await unseal(theirs.credentialId, key)).status, 200, 'cached')
      clock.advance(TTL_MS)
      cutBroker()
      const connects = broker.packetsOf('connect').length
      const stopped = await publish(call, theirs.integrationId, { key })
      const unsealed = await unseal(theirs.credentialId, key)
      assert.deepEqual([stopped.status, stopped.code], [503, 'kms.unavailable'])
      assert.deepEqual([unsealed.status, unsealed.code], [503, 'kms.unavailable'])
      assert.equal(broker.packetsOf('connect').length, connects)
      assert.ok(
        kms.requests.slice(from).some(({ keyId }) => keyId === own.arn),
        'the KMS was asked, and said no',
      )
      const facts = [...(await auditOf(stopped.requestId)), ...(await auditOf(unsealed.requestId))]
      assert.deepEqual(
        facts.map(({ action, outcome }) => `${action} ${outcome}`),
        ['proxy.publish.intent success', 'proxy.publish.outcome failure', 'vault.unseal failure'],
      )

      assert.equal((await publish(call, ours.integrationId)).status, 200)
      assert.equal((await unseal(ours.credentialId)).status, 200)
      assert.equal((await seal()).status, 201)
      assert.ok(kms.requests.slice(from).some(({ keyId }) => keyId === keyArn))

      kms.setState(own.id, 'Enabled')
      await backWithin(5_000, () => publish(call, theirs.integrationId, { key }))
      assert.equal((await unseal(theirs.credentialId, key)).status, 200)
    })
  }
})
