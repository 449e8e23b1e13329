import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { type Call, refused, succeed } from '#test/support/api-server.ts'
import { openAnswer, PASSWORD, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
before(async () => {
  plant = await startPlant()
})
after(() => plant.close())

let integrationId: string
let custodyKey: string
beforeEach(async () => {
  const sealed = await sealSplit()
  custodyKey = sealed.custody_key
  integrationId = (await plant.integrate({ credential_id: sealed.id })).id
})

const wrongKey = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')

function sealSplit() {
  const { ports } = plant.broker
  const values = { hostname: '127.0.0.1', port: ports.tcp, username: 'sealwire', password: PASSWORD }
  const body = { name: 'split', credential_type: 'custom_kv', values }
  return succeed(plant.api.call('POST', '/api/v2/vault/seal', { body, headers: { 'x-vault-enable-mpc': 'true' } }), 201)
}

const on = (id: string, verb: string, call: Call = {}) =>
  plant.api.call('POST', `/api/v2/integrations/${id}/${verb}`, call)
const unlock = (members: object = {}, id = integrationId) =>
  on(id, 'unlock', { body: { custody_key: custodyKey, ...members } })
const show = () => succeed(plant.api.call('GET', `/api/v2/integrations/${integrationId}`))
const proxy = (operation: string, payload: object) =>
  plant.api.call('POST', '/api/v2/proxy/outbound', { body: { integration_id: integrationId, operation, payload } })
const publish = () => proxy('publish', { message: '22.5' })
const collect = () => proxy('subscribe', { topic: 'sensors/#', wait_ms: 0 })

test('it runs while it is unlocked, and neither before nor after: 423 with the route that unlocks it', async () => {
  assert.deepEqual(
    (({ split_custody, locked, unlocked_until }) => ({ split_custody, locked, unlocked_until }))(await show()),
    { split_custody: true, locked: true, unlocked_until: null },
  )
  for (const attempt of [publish, collect, () => on(integrationId, 'test')]) {
    const { json } = await refused(attempt(), 423, 'integration.locked')
    assert.equal(json.error.details.unlock, `/api/v2/integrations/${integrationId}/unlock`)
  }

  const before = Date.now()
  const unlocked = await succeed(unlock({ ttl_s: 60 }), 200)
  assert.deepEqual([unlocked.id, unlocked.locked, unlocked.held_by], [integrationId, false, 'this_process'])
  const leftMs = Date.parse(unlocked.unlocked_until) - before
  assert.ok(leftMs >= 60_000 && leftMs < 65_000, `${leftMs}`)
  const shown = await show()
  assert.deepEqual([shown.locked, shown.unlocked_until], [false, unlocked.unlocked_until])
  assert.equal((await openAnswer(plant.api, await succeed(publish()))).data.outcome, 'acknowledged')
  assert.deepEqual((await openAnswer(plant.api, await succeed(collect(), 200))).data.messages, [])
  await succeed(on(integrationId, 'test'), 200)

  const locked = await succeed(on(integrationId, 'lock'), 200)
  assert.deepEqual(locked, { id: integrationId, locked: true, process_id: unlocked.process_id })
  for (const attempt of [publish, collect, () => on(integrationId, 'test')]) {
    await refused(attempt(), 423, 'integration.locked')
  }
  assert.equal((await show()).locked, true)
})

test('the time is an hour unless it is said', async () => {
  const before = Date.now()
  const { unlocked_until: until } = await succeed(unlock(), 200)
  assert.ok(Math.abs(Date.parse(until) - before - 3_600_000) < 5_000)
})

test('the custody key is in no answer but the one that made it, nor in a row', async () => {
  await succeed(unlock(), 200)
  const listed = [
    (await plant.api.call('GET', '/api/v2/integrations')).text,
    (await plant.api.call('GET', '/api/v2/vault/entries')).text,
    (await plant.api.call('GET', '/api/v2/audit/logs')).text,
    (await unlock({ ttl_s: 1 })).text,
    (await unlock({ custody_key: `${custodyKey}A` })).text,
  ].join()
  assert.ok(listed.includes('integrations.unlock'))
  assert.ok(!listed.includes(custodyKey.slice(0, 20)))
})

const malformed: { why: string; members: object; says: RegExp }[] = [
  { why: 'without the key', members: { custody_key: undefined }, says: /custody_key/ },
  { why: 'with a short key', members: { custody_key: 'AAAA' }, says: /custody_key: must be 32 bytes in base64url/ },
  { why: 'with hexadecimal', members: { custody_key: '00'.repeat(32) }, says: /custody_key/ },
  { why: 'with padding', members: { custody_key: `${'A'.repeat(43)}=` }, says: /custody_key/ },
  { why: 'with 59 s', members: { ttl_s: 59 }, says: /ttl_s/ },
  { why: 'with more than a day', members: { ttl_s: 86_401 }, says: /ttl_s/ },
  { why: 'with half a second', members: { ttl_s: 60.5 }, says: /ttl_s/ },
  { why: 'with an unknown member', members: { ttl: 60 }, says: /ttl/ },
]
for (const { why, members, says } of malformed) {
  test(`${why} it is 400, and names the member`, async () => {
    const { json } = await refused(unlock(members), 400, 'request.invalid')
    assert.match(json.error.message, says)
    assert.equal((await show()).locked, true)
  })
}

test('a wrong key is 403 in one text, and after ten of them 429', async () => {
  const texts = new Set<string>()
  for (let i = 0; i < 10; i++) {
    texts.add((await refused(unlock({ custody_key: wrongKey() }), 403, 'custody.rejected')).json.error.message)
  }
  assert.deepEqual([...texts], ['The vault entry could not be opened with this custody key.'])
  const { headers } = await refused(unlock({ custody_key: wrongKey() }), 429, 'rate.limited')
  assert.ok(Number(headers.get('retry-after')) >= 1)
  await refused(publish(), 423, 'integration.locked')
})

test('without an API key it is 401, without the scope 403, of a random id 404', async () => {
  await refused(
    on(integrationId, 'unlock', { key: null, body: { custody_key: custodyKey } }),
    401,
    'auth.unauthenticated',
  )
  const viewer = await succeed(
    plant.api.call('POST', '/api/v2/security/api-keys', { body: { name: 'v', role: 'viewer' } }),
    201,
  )
  for (const verb of ['unlock', 'lock']) {
    const body = verb === 'unlock' ? { custody_key: custodyKey } : {}
    await refused(on(integrationId, verb, { key: viewer.secret, body }), 403, 'auth.forbidden')
    await refused(on(newId('int'), verb, { body }), 404, 'object.not_found')
  }
})

test('a credential that needs no key: 422, and the integration says so', async () => {
  await refused(unlock({}, plant.integrationId), 422, 'integration.invalid')
  await refused(on(plant.integrationId, 'lock'), 422, 'integration.invalid')
  const shown = await succeed(plant.api.call('GET', `/api/v2/integrations/${plant.integrationId}`))
  assert.deepEqual([shown.split_custody, shown.locked, shown.unlocked_until], [false, false, null])
})

test('X-Vault-Custody-Key tests a locked integration once', async () => {
  const withKey = (key: string) => on(integrationId, 'test', { headers: { 'x-vault-custody-key': key } })
  await refused(withKey('no key'), 400, 'request.invalid')
  await refused(withKey(wrongKey()), 403, 'custody.rejected')
  await succeed(withKey(custodyKey), 200)
  await refused(on(integrationId, 'test'), 423, 'integration.locked')
})
