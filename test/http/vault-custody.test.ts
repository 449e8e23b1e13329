import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ApiServer, refused, startApiServer, succeed } from '#test/support/api-server.ts'

let api: ApiServer
before(async () => {
  api = await startApiServer()
})
after(() => api.close())

const values = { password: 'correct horse' }
const sealBody = { credential_type: 'password', values }
const enable = { 'x-vault-enable-mpc': 'true' }
const withKey = (key: string) => ({ 'x-vault-custody-key': key })
const wrongKey = () => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')

const seal = (headers: Record<string, string> = enable) =>
  api.call('POST', '/api/v2/vault/seal', { body: sealBody, headers })
const unseal = (id: string, headers: Record<string, string> = {}) =>
  api.call('POST', `/api/v2/vault/unseal/${id}`, { headers })
const rotate = (id: string, body: object, headers: Record<string, string> = {}) =>
  api.call('POST', `/api/v2/vault/rotate/${id}`, { body, headers })

test('seal returns the custody key once, and the key opens the entry', async () => {
  const sealed = await succeed(seal(), 201)
  assert.match(sealed.custody_key, /^[A-Za-z0-9_-]{43}$/)
  assert.equal(sealed.split_custody, true)
  assert.deepEqual((await succeed(unseal(sealed.id, withKey(sealed.custody_key)))).values, values)
  const shown = await succeed(api.call('GET', `/api/v2/vault/entries/${sealed.id}`))
  assert.equal(shown.split_custody, true)
  assert.equal('custody_key' in shown, false)
  const ordinary = await succeed(seal({}), 201)
  assert.deepEqual([ordinary.split_custody, ordinary.custody_key], [false, null])
})

test('without the key 403 that says what to send; malformed 400; wrong 403 in one text; not needed 400', async () => {
  const { id } = await succeed(seal(), 201)
  const missing = await refused(unseal(id), 403, 'custody.required')
  assert.match(missing.json.error.message, /split custody.*X-Vault-Custody-Key/)
  for (const key of ['x', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(43)}=`, '00'.repeat(32)]) {
    const { json } = await refused(unseal(id, withKey(key)), 400, 'request.invalid')
    assert.match(json.error.message, /^X-Vault-Custody-Key: must be 32 bytes in base64url/)
  }
  const { json } = await refused(unseal(id, withKey(wrongKey())), 403, 'custody.rejected')
  assert.equal(json.error.message, 'The vault entry could not be opened with this custody key.')
  const ordinary = await succeed(seal({}), 201)
  await refused(unseal(ordinary.id, withKey(wrongKey())), 400, 'request.invalid')
})

test('an Idempotency-Key guards the run: the key is not repeated, and a request without custody is another one', async () => {
  const retry = { 'idempotency-key': crypto.randomUUID() }
  const first = await seal({ ...enable, ...retry })
  const second = await seal({ ...enable, ...retry })
  assert.equal(second.headers.get('idempotency-replayed'), 'true')
  assert.deepEqual(second.json.data, { ...first.json.data, custody_key: null })
  await refused(seal(retry), 422, 'idempotency.mismatch')
  const { custody_key: key, id } = first.json.data
  const again = { 'idempotency-key': crypto.randomUUID(), ...withKey(key), ...enable }
  const rotated = await succeed(rotate(id, {}, again))
  assert.equal((await succeed(rotate(id, {}, again))).custody_key, null)
  assert.deepEqual((await succeed(unseal(id, withKey(rotated.custody_key)))).version, 2)
})

test('rotate: the same key, a new one, a lost one, and into split custody', async () => {
  const { id, custody_key: key } = await succeed(seal(), 201)
  await refused(rotate(id, {}), 403, 'custody.required')
  await refused(rotate(id, { values }), 403, 'custody.required')
  await refused(rotate(id, { values }, withKey(wrongKey())), 403, 'custody.rejected')
  const same = await succeed(rotate(id, {}, withKey(key)))
  assert.deepEqual([same.version, same.split_custody, same.custody_key], [2, true, null])
  const fresh = await succeed(rotate(id, {}, { ...withKey(key), ...enable }))
  assert.notEqual(fresh.custody_key, key)
  await refused(unseal(id, withKey(key)), 403, 'custody.rejected')
  const found = await succeed(rotate(id, { values: { password: 'new' } }, enable))
  assert.deepEqual((await succeed(unseal(id, withKey(found.custody_key)))).values, { password: 'new' })

  const ordinary = await succeed(seal({}), 201)
  const moved = await succeed(rotate(ordinary.id, {}, enable))
  assert.equal(moved.split_custody, true)
  await refused(unseal(ordinary.id), 403, 'custody.required')
  assert.deepEqual((await succeed(unseal(ordinary.id, withKey(moved.custody_key)))).values, values)
})

test('the headers are refused with another word than true, twice, and by operations that do not take them', async () => {
  for (const word of ['false', 'TRUE', '1', 'yes', '']) {
    await refused(seal({ 'x-vault-enable-mpc': word }), 400, 'request.invalid')
  }
  const { id, custody_key: key } = await succeed(seal(), 201)
  await refused(unseal(id, withKey(`${key}, ${key}`)), 400, 'request.invalid')
  await refused(unseal(id, enable), 400, 'request.invalid')
  await refused(seal(withKey(key)), 400, 'request.invalid')
  for (const headers of [enable, withKey(key)]) {
    await refused(api.call('GET', '/api/v2/vault/entries', { headers }), 400, 'request.invalid')
    await refused(api.call('DELETE', `/api/v2/vault/entries/${id}`, { headers }), 400, 'request.invalid')
  }
  assert.deepEqual((await succeed(unseal(id, withKey(key)))).values, values)
})

test('no answer and no row repeats the key', async () => {
  const { id, custody_key: key } = await succeed(seal(), 201)
  await succeed(unseal(id, withKey(key)))
  const texts = [
    (await unseal(id, withKey(key))).text,
    (await rotate(id, {}, withKey(key))).text,
    (await api.call('GET', `/api/v2/vault/entries/${id}`)).text,
    (await api.call('GET', '/api/v2/audit/logs')).text,
  ].join()
  assert.ok(texts.includes('vault.unseal'))
  assert.ok(!texts.includes(key))
})
