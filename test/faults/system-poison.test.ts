import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { auditRows, callerOf, integrate, publish, type Stack, startStack } from './system-parts.ts'

describe('F35: rows in the database that this release does not understand', () => {
  let stack: Stack
  let broker: FakeBroker
  let good: { integrationId: string; credentialId: string }
  before(async () => {
    broker = await startFakeBroker()
    stack = await startStack()
    good = await integrate(stack.call, broker.port)
  })
  after(async () => {
    await stack.close()
    await broker.stop()
  })

  /** Two servers judge the same row: the one that runs, told of a change as other releases tell it, and one that starts with it. */
  async function onBoth(judge: (call: Stack['call']) => Promise<void>): Promise<void> {
    await judge(stack.call)
    const fresh = await stack.another()
    await judge(
      callerOf(
        () => fresh.url,
        () => stack.key,
      ),
    )
    fresh.child.kill('SIGKILL')
  }
  const announce = (topic: string, key: string) =>
    stack.sql.query(`select pg_notify('sealwire_changes', $1)`, [`${topic}:${key}`])
  const tenantOf = async (table: string, id: string) =>
    (await stack.sql.query<{ tenant_id: string }>(`select tenant_id from ${table} where id = $1`, [id])).rows[0]
      ?.tenant_id

  async function assertOthersFine(call: Stack['call']): Promise<void> {
    assert.equal((await publish(call, good.integrationId)).status, 200)
    assert.equal((await call('GET', '/api/v2/vault/entries')).status, 200)
    const list = await call('GET', '/api/v2/integrations')
    assert.equal(list.status, 200)
    assert.ok(list.data.some(({ id }: { id: string }) => id === good.integrationId))
  }

  const configs = [
    {
      why: 'a member of a newer release',
      config: { topic: 'plant/t', topics: [], compression: 'zstd' },
      member: /config/,
    },
    { why: 'an unknown enum', config: { topic: 'plant/t', topics: [], protocol: 'quic' }, member: /config\.protocol/ },
    {
      why: 'a protocol version that is not there yet',
      config: { topic: 'plant/t', topics: [], protocol_version: 6 },
      member: /config\.protocol_version/,
    },
    { why: 'no object at all', config: ['plant/t'], member: /config/ },
  ]
  test('an integration whose settings are not understood is refused with the member that is wrong, everywhere it is used, and nothing is sent', async () => {
    const bad = await Promise.all(configs.map(() => integrate(stack.call, broker.port, { name: 'bad' })))
    for (const [i, { config }] of configs.entries()) {
      const id = bad[i]?.integrationId ?? ''
      await stack.sql.query('update integrations set config = $2 where id = $1', [id, JSON.stringify(config)])
      await announce('integration', `${await tenantOf('integrations', id)}/${id}`)
    }
    await onBoth(async (call) => {
      for (const [i, { why, member }] of configs.entries()) {
        const id = bad[i]?.integrationId ?? ''
        const before = broker.packetsOf('publish').length
        const refused = await publish(call, id)
        assert.deepEqual([refused.status, refused.code], [422, 'integration.invalid'], why)
        assert.match(refused.message ?? '', member)
        assert.match(refused.message ?? '', /not understood/)
        assert.equal(broker.packetsOf('publish').length, before)
        assert.deepEqual(
          (await auditRows(stack.sql, refused.requestId)).map(({ action, outcome }) => `${action} ${outcome}`),
          ['request.refused denied'],
        )
        assert.equal((await call('GET', `/api/v2/integrations/${id}`)).code, 'integration.invalid')
        await assertOthersFine(call)
      }
    })
    await stack.sql.query(`delete from integrations where name = 'bad'`)
  })

  test('what is not understood is named by the list, and can be put right or taken away; a change that leaves it so is none', async () => {
    const [{ integrationId: id }, { integrationId: gone }] = await Promise.all([
      integrate(stack.call, broker.port, { name: 'bad' }),
      integrate(stack.call, broker.port, { name: 'bad' }),
    ])
    await stack.sql.query(`update integrations set config = '{"topics":["#"],"quantum":1}' where name = 'bad'`)
    for (const one of [id, gone]) await announce('integration', `${await tenantOf('integrations', one)}/${one}`)
    const list = await stack.call('GET', '/api/v2/integrations')
    assert.deepEqual(new Set(list.notUnderstood), new Set([id, gone]))
    const shown = await stack.call('GET', `/api/v2/integrations/${id}`)
    assert.deepEqual([shown.code, shown.details?.revision], ['integration.invalid', 1])

    const at = `/api/v2/integrations/${id}`
    const headers = { 'if-match': `"${shown.details?.revision}"` }
    const renamed = await stack.call('PATCH', at, { name: 'still bad' }, { headers })
    assert.deepEqual([renamed.status, renamed.code], [422, 'integration.invalid'])
    const mended = await stack.call('PATCH', at, { config: { topic: 'plant/t', topics: [] } }, { headers })
    assert.deepEqual([mended.status, mended.data?.revision, mended.data?.name], [200, 2, 'bad'])
    assert.ok((await publish(stack.call, id)).status < 300)

    const removed = await stack.call('DELETE', `/api/v2/integrations/${gone}`, undefined, { headers })
    assert.equal(removed.status, 200)
    const rows = await auditRows(stack.sql, removed.requestId)
    assert.deepEqual(
      rows.map(({ action, outcome }) => `${action} ${outcome}`),
      ['integrations.delete success'],
    )
    assert.equal((await stack.call('GET', `/api/v2/integrations/${gone}`)).status, 404)
    assert.equal((await stack.call('GET', '/api/v2/integrations')).notUnderstood, undefined)
    await stack.sql.query(`delete from integrations where name = 'bad'`)
  })

  test('guards that are not understood are refused as well, and not left out', async () => {
    const { integrationId: id } = await integrate(stack.call, broker.port, { name: 'bad' })
    await stack.sql.query(`update integrations set guards = '{"qos":{"max-qos":1},"quantum":{}}' where id = $1`, [id])
    await announce('integration', `${await tenantOf('integrations', id)}/${id}`)
    await onBoth(async (call) => {
      const before = broker.packetsOf('publish').length
      const refused = await publish(call, id)
      assert.deepEqual([refused.status, refused.code], [422, 'integration.invalid'])
      assert.match(refused.message ?? '', /^guards/)
      assert.equal(broker.packetsOf('publish').length, before)
      await assertOthersFine(call)
    })
    await stack.sql.query(`delete from integrations where name = 'bad'`)
  })

  test('a policy document that is not understood denies what it guards, and no other integration', async () => {
    const document = {
      schema: 'mqtt-policy/1',
      id: 'p',
      rules: [{ id: 'all', effect: 'allow', actions: ['publish'], topics: ['#'] }],
    }
    const made = await stack.call('POST', '/api/v2/policies', { document })
    assert.equal(made.status, 201)
    const { integrationId: id } = await integrate(stack.call, broker.port, { name: 'bad', policy_id: made.data.id })
    assert.equal((await publish(stack.call, id)).status, 200)
    await stack.sql.query('update policy_revisions set document = $2 where policy_id = $1', [
      made.data.id,
      JSON.stringify({ version: 99, rules: 'all' }),
    ])
    const before = broker.packetsOf('publish').length
    const fresh = await stack.another()
    const call = callerOf(
      () => fresh.url,
      () => stack.key,
    )
    const refused = await publish(call, id)
    assert.deepEqual([refused.status, refused.code], [403, 'policy.denied'])
    assert.equal(broker.packetsOf('publish').length, before)
    await assertOthersFine(call)
    fresh.child.kill('SIGKILL')
    await stack.sql.query(`delete from integrations where name = 'bad'`)
  })

  const records = [
    { why: 'a newer schema', change: 'update vault_versions set schema = 99 where entry_id = $1' },
    {
      why: 'a ciphertext that was cut',
      change: `update vault_versions set sealed = substring(sealed from 1 for 8) where entry_id = $1`,
    },
    { why: 'a share that is no wrap', change: `update vault_versions set wrapped_share = '\\x00' where entry_id = $1` },
    { why: 'a type that nobody knows', change: `update vault_entries set credential_type = 'quantum' where id = $1` },
  ]
  test('a credential whose record is not understood opens no connection, and no other is touched', async (t) => {
    for (const { why, change } of records) {
      const { integrationId: id, credentialId } = await integrate(stack.call, broker.port, { name: 'bad' })
      await stack.sql.query(change, [credentialId])
      await announce('vault', `${await tenantOf('vault_entries', credentialId)}/${credentialId}`)
      const connects = broker.packetsOf('connect').length
      const refused = await publish(stack.call, id)
      t.diagnostic(`${why}: ${refused.status} ${refused.code}`)
      assert.equal(refused.status, 503, why)
      assert.equal(broker.packetsOf('connect').length, connects)
      assert.notEqual(refused.code, 'internal')
      const unsealed = await stack.call('POST', `/api/v2/vault/unseal/${credentialId}`)
      assert.notEqual(unsealed.code, 'internal', why)
      await assertOthersFine(stack.call)
    }
    await onBoth(assertOthersFine)
  })

  test('a scope that nobody knows is worth nothing, and neither is its key', async () => {
    const made = await stack.call('POST', '/api/v2/security/api-keys', { name: 'k', role: 'editor' })
    assert.equal(made.status, 201)
    await stack.sql.query(`update api_keys set scopes = '{everything}' where id = $1`, [made.data.key.id])
    await announce('api_key', made.data.key.id)
    await onBoth(async (call) => {
      const refused = await call('GET', '/api/v2/vault/entries', undefined, { key: made.data.secret })
      assert.deepEqual([refused.status, refused.code], [403, 'auth.forbidden'])
      await assertOthersFine(call)
    })
  })
})
