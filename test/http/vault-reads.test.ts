import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { operations } from '#src/http/operations.ts'
import { type ApiServer, refused, startApiServer, succeed } from '#test/support/api-server.ts'

let api: ApiServer
before(async () => {
  api = await startApiServer()
})
after(() => api.close())

const PASSWORD = 'correct horse'
const values = { hostname: 'broker.example', port: 8883, username: 'sealwire', password: PASSWORD }

test('V11: no route but unseal answers a value, its name, a mask or its length', async () => {
  const entry = await succeed(
    api.call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values } }),
    201,
  )
  const body = { name: 'plant', system_type: 'mqtt', credential_id: entry.id }
  const integration = await succeed(api.call('POST', '/api/v2/integrations', { body }), 201)
  const long = { ...values, password: PASSWORD.repeat(50) }
  const other = await succeed(
    api.call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values: long } }),
    201,
  )
  const reads = operations.filter(({ method, path }) => method === 'get' && /vault|integrations/.test(path))
  assert.ok(reads.length >= 5, `${reads.length}`)
  for (const { path, id } of reads) {
    const of = path.startsWith('/api/v2/vault') ? entry.id : integration.id
    const { status, text } = await api.call('GET', path.replace(':id', of))
    assert.equal(status, 200, id)
    for (const secret of [PASSWORD, 'broker.example', '8883', 'password', 'username', '***', '•••']) {
      assert.ok(!text.includes(secret), `${id}: ${secret}`)
    }
  }
  const sizes = await Promise.all(
    [entry.id, other.id].map(async (id) => (await api.call('GET', `/api/v2/vault/entries/${id}`)).text.length),
  )
  assert.equal(sizes[0], sizes[1], 'an answer is as long whatever the value')
})

test('V11: a mask that comes back does not overwrite the value', async () => {
  const { id } = await succeed(
    api.call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values } }),
  )
  for (const mask of ['****', '••••••••', '●●●']) {
    const body = { values: { ...values, password: mask } }
    await refused(api.call('POST', `/api/v2/vault/rotate/${id}`, { body }), 400, 'request.invalid')
  }
  const opened = await succeed(api.call('POST', `/api/v2/vault/unseal/${id}`))
  assert.deepEqual([opened.version, opened.values], [1, values])
})
