import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { eventually } from '#test/audit/parts.ts'
import { type ApiServer, refused, startApiServer, succeed } from '#test/support/api-server.ts'
import { runCli } from '#test/support/cli.ts'

const PATH = '/api/v2/security/keys'
const values = { hostname: '127.0.0.1', port: 1883, password: 'correct horse' }

let api: ApiServer
let entryId: string
before(async () => {
  api = await startApiServer()
  entryId = (
    await succeed(api.call('POST', '/api/v2/vault/seal', { body: { credential_type: 'custom_kv', values } }), 201)
  ).id
})
after(() => api.close())

interface Listed {
  id: string
  purpose: string
  state: string
  records: number | null
  move: { state: string; left: number } | null
}
const list = () => succeed(api.call('GET', PATH), 200) as Promise<Listed[]>
const keyWithRole = async (role: string) =>
  (await succeed(api.call('POST', '/api/v2/security/api-keys', { body: { name: role, role } }), 201)).secret as string

test('rotating the vault key: the list shows both, the record moves, opens all the while, and it is on the audit log', async () => {
  const [first] = (await list()).filter(({ purpose }) => purpose === 'vault')
  assert.deepEqual([first?.state, first?.records, first?.move], ['active', 1, null])
  const rotated = await succeed(api.call('POST', `${PATH}/vault/rotate`), 200)
  assert.equal(rotated.retired_id, first?.id)
  const open = () => succeed(api.call('POST', `/api/v2/vault/unseal/${entryId}`), 200)
  assert.deepEqual((await open()).values, values)
  const moved = await eventually(async () => {
    const [now, before] = (await list()).filter(({ purpose }) => purpose === 'vault')
    assert.equal((now?.records ?? 0) + (before?.records ?? 0), 1)
    return now?.move?.left === 0 ? { now, before } : undefined
  })
  assert.deepEqual([moved.now?.id, moved.now?.state, moved.before?.state], [rotated.id, 'active', 'retired'])
  assert.deepEqual((await open()).values, values)
  const rows = await succeed(api.call('GET', '/api/v2/audit/logs?action=tenant_keys.rotate'))
  assert.equal(rows[0].object.id, rotated.id)
  assert.equal((await succeed(api.call('POST', '/api/v2/audit/verify'))).ok, true)
})

for (const purpose of ['sign', 'object', 'version-1']) {
  test(`rotating ${purpose} twice: the second retires the first`, async () => {
    const first = await succeed(api.call('POST', `${PATH}/${purpose}/rotate`), 200)
    const second = await succeed(api.call('POST', `${PATH}/${purpose}/rotate`), 200)
    assert.equal(second.retired_id, first.id)
    const states = (await list()).filter((key) => key.purpose === purpose).map(({ id, state }) => [id, state])
    assert.deepEqual(states.slice(0, 2), [
      [second.id, 'active'],
      [first.id, 'retired'],
    ])
  })
}

test('no key of the list is secret, and a key is as short as an id', async () => {
  for (const key of await list()) {
    assert.deepEqual(Object.keys(key).toSorted(), [
      'created_at',
      'id',
      'move',
      'purpose',
      'records',
      'records_in_custody',
      'retired_at',
      'state',
    ])
  }
})

test('an owner rotates; an admin only looks; an editor and a stranger do neither', async () => {
  const admin = await keyWithRole('admin')
  await succeed(api.call('GET', PATH, { key: admin }), 200)
  await refused(api.call('POST', `${PATH}/vault/rotate`, { key: admin }), 403, 'auth.forbidden')
  const editor = await keyWithRole('editor')
  await refused(api.call('GET', PATH, { key: editor }), 403, 'auth.forbidden')
  await refused(api.call('POST', `${PATH}/vault/rotate`, { key: editor }), 403, 'auth.forbidden')
  await refused(api.call('GET', PATH, { key: null }), 401, 'auth.unauthenticated')
  await refused(api.call('POST', `${PATH}/vault/rotate`, { key: null }), 401, 'auth.unauthenticated')
})

test('an unknown purpose is not found, a body with members is refused', async () => {
  await refused(api.call('POST', `${PATH}/issuer/rotate`), 404, 'object.not_found')
  await refused(api.call('POST', `${PATH}/vault/rotate`, { body: { to: 'x' } }), 400, 'request.invalid')
})

test('a retry with the same Idempotency-Key rotates once', async () => {
  const headers = { 'idempotency-key': 'rotate-once' }
  const first = await succeed(api.call('POST', `${PATH}/vault/rotate`, { headers }), 200)
  const again = await succeed(api.call('POST', `${PATH}/vault/rotate`, { headers }), 200)
  assert.equal(again.id, first.id)
})

test('SDK and CLI do the same', async () => {
  const sdk = new Sealwire({ baseUrl: api.url, apiKey: api.ownerKey })
  const rotated = await sdk.keys.rotate('vault')
  const listed = await sdk.keys.list()
  assert.equal(listed.find(({ id }) => id === rotated.id)?.state, 'active')
  const env = { SEALWIRE_URL: api.url, SEALWIRE_API_KEY: api.ownerKey }
  const again = await runCli(['keys', 'vault', 'rotate'], { env })
  assert.equal(again.code, 0, again.err)
  const status = await runCli(['keys', 'vault', 'status'], { env })
  assert.match(status.out, new RegExp(`${again.out} +active +\\S+ +records: [01]`))
  assert.match(status.err, /The move is (running|waiting): \d records? ?left|The move is/)
})
