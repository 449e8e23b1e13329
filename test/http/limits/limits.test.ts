import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { createTenant, setTenant } from '#src/app.ts'
import { silentLog } from '#src/core/log.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { Sealwire, type SealwireError, UnprotectedError } from '#src/sdk/index.ts'
import { type ApiServer, type Reply, refused, startApiServer, succeed } from '#test/support/api-server.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'

const QUOTA = 200

/** A second tenant with the key of its owner. */
async function anotherTenant(api: ApiServer): Promise<{ tenantId: string; key: string }> {
  const { tenantId, ownerKey } = await createTenant(api.config, { name: 'other', sandbox: false }, { log: silentLog })
  return { tenantId, key: ownerKey.reveal() }
}

async function integrate(api: ApiServer, port: number, key: string): Promise<string> {
  const values = { hostname: '127.0.0.1', port }
  const sealed = { name: 'broker', credential_type: 'custom_kv', values }
  const { id: credential_id } = await succeed(api.call('POST', '/api/v2/vault/seal', { key, body: sealed }))
  const body = {
    name: 'line',
    system_type: 'mqtt',
    credential_id,
    allowed_operations: ['publish'],
    config: { topic: 'line/4', qos: 1 },
  }
  return (await succeed(api.call('POST', '/api/v2/integrations', { key, body }))).id
}

function publish(api: ApiServer, key: string, integration_id: string): Promise<Reply> {
  const body = { integration_id, operation: 'publish', payload: { message: '1' } }
  return api.call('POST', '/api/v2/proxy/outbound', { key, body })
}

const policyOf = ({ headers }: Reply) => headers.get('ratelimit-policy')

const WINDOW_MS = 1_000

/** Waits until every window has ended: what follows at once is in one. */
const nextWindow = () => delay(WINDOW_MS + 50)

/** Does work that has to fit into one window; again, where it took longer than that and failed, as on a loaded machine. */
async function inOneWindow<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    await nextWindow()
    const startedMs = performance.now()
    try {
      return await work()
    } catch (err) {
      if (attempt === 8 || performance.now() - startedMs < WINDOW_MS - 100) throw err
    }
  }
}

describe('quotas', () => {
  let api: ApiServer
  let broker: FakeBroker
  let other: { tenantId: string; key: string }
  let integrationId: string

  before(async () => {
    broker = await startFakeBroker()
    api = await startApiServer({ RATE_LIMIT_KEY: String(QUOTA), RATE_LIMIT_TENANT: '400' })
    other = await anotherTenant(api)
    integrationId = await integrate(api, broker.port, api.ownerKey)
  })
  after(async () => {
    await api.close()
    await broker.stop()
  })

  /** Takes what a key has in this window, all at once: verifying the audit log costs 50 units. Answers with the refusals. */
  async function useUp(key = api.ownerKey): Promise<[Reply, ...Reply[]]> {
    const call = () => api.call('POST', '/api/v2/audit/verify', { key })
    const [first, ...others] = (await Promise.all(Array.from({ length: 6 }, call))).filter(
      ({ status }) => status === 429,
    )
    assert.ok(first, 'no call was refused')
    return [first, ...others]
  }

  test('answers behind authentication say what the quotas are and what is left; those before it do not', async () => {
    await inOneWindow(async () => {
      const read = await api.call('GET', '/api/v2/vault/entries')
      assert.equal(policyOf(read), `"key";q=${QUOTA};w=1, "tenant";q=400;w=1`)
      assert.equal(read.headers.get('ratelimit'), `"key";r=${QUOTA - 1};t=1, "tenant";r=399;t=1`)
      const missing = await refused(api.call('GET', '/api/v2/vault/entries/none'), 404, 'object.not_found')
      assert.equal(missing.headers.get('ratelimit'), `"key";r=${QUOTA - 2};t=1, "tenant";r=398;t=1`)
    })
    for (const target of ['/health', '/.well-known/sealwire-keys']) {
      const reply = await api.call('GET', target, { undocumented: true })
      assert.equal(reply.headers.get('ratelimit'), null)
    }
    const stranger = await api.call('GET', '/api/v2/vault/entries', { key: null })
    assert.deepEqual([stranger.status, policyOf(stranger)], [401, null])
  })

  test('the request beyond the quota is 429 with Retry-After in plain seconds, does nothing, and passes in the next window', async () => {
    await succeed(publish(api, api.ownerKey, integrationId))
    const sent = broker.packetsOf('publish').length
    await inOneWindow(async () => {
      const [last] = await useUp()
      assert.equal(last.json.error.code, 'rate.limited')
      assert.match(last.json.error.message, /this API key has 200 cost units a second/)
      assert.deepEqual(last.json.error.details, { quota: 'key', per_second: QUOTA })
      assert.match(last.headers.get('ratelimit') ?? '', /^"key";r=0;t=1$/)
      const beyond = await refused(publish(api, api.ownerKey, integrationId), 429, 'rate.limited')
      assert.equal(beyond.headers.get('retry-after'), '1')
      assert.equal(broker.packetsOf('publish').length, sent)
      // Its place is behind the API key, and before the body and everything that it says.
      const broken = { body: '{', headers: { 'content-type': 'application/json', 'idempotency-key': ' ' } }
      await refused(api.call('POST', '/api/v2/proxy/outbound', broken), 429, 'rate.limited')
      const stranger = { ...broken, key: 'nobody' }
      await refused(api.call('POST', '/api/v2/proxy/outbound', stranger), 401, 'auth.unauthenticated')
      await succeed(api.call('GET', '/api/v2/vault/entries', { key: other.key })) // another tenant does not feel it
    })
    await nextWindow() // as Retry-After says
    await succeed(publish(api, api.ownerKey, integrationId))
    assert.equal(broker.packetsOf('publish').length, sent + 1)
  })

  test('the keys of a tenant share its quota', async () => {
    const keys = [api.ownerKey]
    for (const name of ['second', 'third'])
      keys.push(
        (await succeed(api.call('POST', '/api/v2/security/api-keys', { body: { name, role: 'admin' } }))).secret,
      )
    await inOneWindow(async () => {
      const refusals = (await Promise.all(keys.map(useUp))).flat()
      const quotas = new Set(refusals.map(({ json }) => json.error.details.quota))
      assert.deepEqual(quotas, new Set(['key', 'tenant']))
    })
  })

  test('an operator gives one tenant another quota, in force at once, and takes it back', async () => {
    const ask = async () => policyOf(await api.call('GET', '/api/v2/vault/entries', { key: other.key }))
    const within = async (policy: string) => {
      for (const endMs = performance.now() + patience(5_000); (await ask()) !== policy; await delay(20))
        assert.ok(performance.now() < endMs, policy)
    }
    await within(`"key";q=${QUOTA};w=1, "tenant";q=400;w=1`)
    await setTenant(api.config, other.tenantId, { rateLimit: 5000 }, { log: silentLog })
    await within('"key";q=5000;w=1, "tenant";q=5000;w=1')
    const owner = await api.call('GET', '/api/v2/vault/entries')
    assert.equal(policyOf(owner), `"key";q=${QUOTA};w=1, "tenant";q=400;w=1`)
    await setTenant(api.config, other.tenantId, { rateLimit: null }, { log: silentLog })
    await within(`"key";q=${QUOTA};w=1, "tenant";q=400;w=1`)
    const missing = setTenant(api.config, 'ten_none', { rateLimit: 500 }, { log: silentLog })
    await assert.rejects(missing, { code: 'object.not_found' })
  })

  test('a caller with a recipient reads the first refusal of a window in an envelope, and the others wait as a bare one says', async () => {
    await nextWindow()
    const secret = (
      await succeed(api.call('POST', '/api/v2/security/api-keys', { body: { name: 'd', role: 'admin' } }))
    ).secret as string
    const options = { baseUrl: api.url, apiKey: secret, provider: opensslProvider, maxRetries: 0 }
    const recipient = await new Sealwire(options).recipients.enroll({ name: 'device' })
    const sdk = new Sealwire({ ...options, recipient })
    await sdk.proxy.publish({ integrationId, message: '1' }) // so that keys and links are there
    await inOneWindow(async () => {
      const four = Array.from({ length: 4 }, () => succeed(api.call('POST', '/api/v2/audit/verify', { key: secret })))
      await Promise.all(four)
      const errors: SealwireError[] = []
      for (let i = 0; i < 3; i++)
        await sdk.proxy.publish({ integrationId, message: '1' }).catch((err: SealwireError) => errors.push(err))
      assert.equal(errors.length, 3)
      const [first, ...others] = errors
      assert.deepEqual([first?.code, first?.outcome, first?.retryAfterS], ['rate.limited', 'rejected', 1])
      for (const one of others) {
        assert.ok(one instanceof UnprotectedError)
        assert.deepEqual([one.claim.httpStatus, one.claim.code, one.retryAfterS], [429, 'rate.limited', 1])
      }
    })
    const patient = new Sealwire({ ...options, maxRetries: 3, recipient })
    assert.deepEqual(patient.quotas, [])
    const { result } = await patient.proxy.publish({ integrationId, message: '1' })
    assert.equal(result.outcome, 'acknowledged')
    assert.deepEqual(
      patient.quotas.map(({ name, quota, windowS }) => [name, quota, windowS]),
      [
        ['key', QUOTA, 1],
        ['tenant', 400, 1],
      ],
    )
  })

  test('a flood of refusals costs no rows of its own: it is counted', async () => {
    await inOneWindow(async () => {
      await useUp()
      const replies = await Promise.all(Array.from({ length: 20 }, () => publish(api, api.ownerKey, integrationId)))
      for (const { status } of replies) assert.equal(status, 429)
    })
    await nextWindow()
    const { json } = await api.call('GET', '/api/v2/audit/logs?action=request.refused&limit=200')
    const codes = json.data.map((row: { detail: { code: string } }) => row.detail.code)
    assert.ok(!codes.includes('rate.limited'), JSON.stringify(codes))
  })
})

test('with RATE_LIMIT_STORE=postgres the units are counted in the database, and the quota holds', async () => {
  const api = await startApiServer({ RATE_LIMIT_STORE: 'postgres', RATE_LIMIT_KEY: String(QUOTA) })
  const sql = new pg.Client({ connectionString: api.databaseUrl })
  await sql.connect()
  try {
    await inOneWindow(async () => {
      const call = () => api.call('POST', '/api/v2/audit/verify')
      const statuses = (await Promise.all(Array.from({ length: 6 }, call))).map(({ status }) => status)
      assert.deepEqual(
        [statuses.filter((one) => one === 200).length, statuses.filter((one) => one === 429).length],
        [4, 2],
      )
    })
    const { rows } = await sql.query<{ key: string; points: number }>('select key, points from rate_limits')
    const counted = (name: string) => rows.find(({ key }) => key.startsWith(name))?.points ?? 0
    assert.ok(counted('key') >= QUOTA, JSON.stringify(rows))
    assert.ok(counted('tenant') >= QUOTA, JSON.stringify(rows))
    await nextWindow()
    await succeed(api.call('GET', '/api/v2/vault/entries'))
  } finally {
    await sql.end()
    await api.close()
  }
})
