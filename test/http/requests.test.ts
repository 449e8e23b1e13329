import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { type ApiServer, refused, startApiServer, succeed } from '#test/support/api-server.ts'

let api: ApiServer

before(async () => {
  api = await startApiServer()
})
after(() => api.close())

const seal = '/api/v2/vault/seal'
const good = { credential_type: 'custom_kv', values: { hostname: 'broker.example', port: 1883 } }
const post = (body: string, headers: Record<string, string> = {}) =>
  api.call('POST', seal, { body, headers: { 'content-type': 'application/json', ...headers } })

const badBodies = [
  {
    name: 'a duplicate member',
    body: '{"credential_type":"custom_kv","credential_type":"api_key","values":{}}',
    says: /credential_type.*twice/,
  },
  {
    name: 'a duplicate by escape',
    body: '{"values":{"a":1},"valu\\u0065s":{"a":2},"credential_type":"custom_kv"}',
    says: /twice/,
  },
  {
    name: 'depth 33',
    body: `{"credential_type":"custom_kv","values":{"a":${'['.repeat(31)}${']'.repeat(31)}}}`,
    says: /deeper than 32/,
  },
  { name: 'depth 5,000', body: '['.repeat(5000) + ']'.repeat(5000), says: /deeper than 32/ },
  { name: 'depth 500,000', body: '['.repeat(500_000), says: /deeper than 32/ },
  {
    name: '100,001 members',
    body: `{${Array.from({ length: 100_001 }, (_, i) => `"${i}":0`).join(',')}}`,
    says: /more than 100000 members/,
  },
  { name: 'a name of 900,000 characters', body: `{"${'a'.repeat(900_000)}":1}`, says: /Body|body/ },
  { name: 'a trailing comma', body: '{"a":1,}', says: /not JSON/ },
  { name: 'a byte order mark', body: '\ufeff{}', says: /not JSON/ },
  { name: 'an unterminated string', body: '{"a', says: /unterminated/ },
  { name: 'an array', body: '[]', says: /body/ },
  { name: 'an unknown member', body: JSON.stringify({ ...good, tenant_id: 'ten_x' }), says: /tenant_id/ },
  { name: 'NaN', body: '{"a":NaN}', says: /not JSON/ },
]

for (const { name, body, says } of badBodies) {
  // How long it may take is judged in test/core/strict-json.test.ts.
  test(`a body with ${name} is 400 with the reason`, async () => {
    const reply = await refused(post(body), 400, 'request.invalid')
    assert.match(reply.json.error.message, says)
  })
}

test('the twin of the bad bodies is accepted', async () => {
  await succeed(post(JSON.stringify(good)), 201)
  await succeed(post(JSON.stringify({ ...good, values: { a: JSON.parse(`${'['.repeat(29)}${']'.repeat(29)}`) } })), 201)
})

test('invalid UTF-8 is 400', async () => {
  const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xff]), Buffer.from('"}')])
  await refused(
    api.call('POST', seal, { body, headers: { 'content-type': 'application/json' } }),
    400,
    'request.invalid',
  )
})

test('__proto__, constructor and toString are data and touch no prototype', async () => {
  const body = `{"credential_type":"custom_kv","values":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"x"}}`
  const { id } = await succeed(post(body), 201)
  const { values } = await succeed(api.call('POST', `/api/v2/vault/unseal/${id}`))
  assert.deepEqual(Object.keys(values).sort(), ['__proto__', 'constructor', 'toString'])
  assert.equal(({} as { polluted?: unknown }).polluted, undefined)
  await refused(post(`{"__proto__":{"credential_type":"custom_kv","values":{}}}`), 400, 'request.invalid')
})

const badMedia = [
  { name: 'text/plain', headers: { 'content-type': 'text/plain' } },
  { name: 'UTF-16', headers: { 'content-type': 'application/json; charset=utf-16' } },
  { name: 'a form', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
  { name: 'gzip', headers: { 'content-encoding': 'gzip' } },
]
for (const { name, headers } of badMedia) {
  test(`${name} is 415`, async () => {
    await refused(post(JSON.stringify(good), headers), 415, 'request.unsupported_media')
  })
}

test('a body over 1 MiB is 413, by its length and by what arrives', async () => {
  const body = JSON.stringify({ ...good, metadata: { a: 'x'.repeat(1024 * 1024) } })
  await refused(post(body), 413, 'request.too_large')
  const { status } = await fetch(api.url + seal, {
    method: 'POST',
    headers: { 'x-api-key': api.ownerKey, 'content-type': 'application/json' },
    body: new Blob([body]).stream(),
    duplex: 'half',
  } as RequestInit)
  assert.equal(status, 413)
})

test('an empty body and null are read as {}', async () => {
  const { id } = await succeed(post(JSON.stringify(good)), 201)
  await succeed(api.call('POST', `/api/v2/vault/rotate/${id}`, { headers: { 'content-type': 'application/json' } }))
  await succeed(api.call('POST', `/api/v2/vault/rotate/${id}`, { body: 'null' }))
})

const flip = (text: string, at: number) => text.slice(0, at) + (text[at] === 'a' ? 'b' : 'a') + text.slice(at + 1)
const strangers = () => [
  { name: 'no key', headers: {} },
  { name: 'an empty key', headers: { 'x-api-key': '' } },
  { name: 'the prefix alone', headers: { 'x-api-key': 'qs_live_' } },
  { name: 'a wrong secret', headers: { 'x-api-key': flip(api.ownerKey, 50) } },
  { name: 'a wrong checksum', headers: { 'x-api-key': flip(api.ownerKey, api.ownerKey.length - 1) } },
  { name: 'a key of the other kind', headers: { 'x-api-key': api.ownerKey.replace('qs_live_', 'qs_test_') } },
  { name: 'a long key', headers: { 'x-api-key': `${api.ownerKey}${'a'.repeat(8000)}` } },
  { name: 'a key in both headers', headers: { 'x-api-key': api.ownerKey, authorization: `Bearer ${api.ownerKey}` } },
  { name: 'a key twice', headers: { 'x-api-key': `${api.ownerKey}, ${api.ownerKey}` } },
  { name: 'Basic', headers: { authorization: `Basic ${api.ownerKey}` } },
]

test('every stranger gets the same 401, and the right key does not', async () => {
  const texts = new Set<string>()
  for (const { name, headers } of strangers()) {
    const reply = await api.call('GET', '/api/v2/vault/entries', { key: null, headers })
    assert.equal(reply.status, 401, name)
    texts.add(JSON.stringify(reply.json.error))
  }
  assert.equal(texts.size, 1)
  await succeed(
    api.call('GET', '/api/v2/vault/entries', { key: null, headers: { authorization: `Bearer ${api.ownerKey}` } }),
  )
  await succeed(api.call('GET', '/api/v2/vault/entries'))
})

test('a key in the URL is no key', async () => {
  const reply = await api.call('GET', `/api/v2/vault/entries?api_key=${api.ownerKey}`, { key: null })
  assert.equal(reply.status, 401)
})

test('unknown routes are 404, known ones with another method 405 with Allow', async () => {
  await refused(api.call('GET', '/api/v2/nothing', { undocumented: true }), 404, 'route.not_found')
  await refused(api.call('GET', '/api/v2/vault/entries/', { undocumented: true }), 404, 'route.not_found')
  const reply = await refused(
    api.call('PUT', '/api/v2/vault/seal', { undocumented: true }),
    405,
    'route.method_not_allowed',
  )
  assert.equal(reply.headers.get('allow'), 'POST')
  const override = await api.call('GET', '/api/v2/vault/entries', { headers: { 'x-http-method-override': 'DELETE' } })
  assert.equal(override.status, 200)
})

test('errors are RFC 9457 for callers that accept it', async () => {
  const reply = await api.call('GET', '/api/v2/vault/entries', {
    key: null,
    headers: { accept: 'application/problem+json' },
  })
  assert.equal(reply.headers.get('content-type')?.split(';')[0], 'application/problem+json')
  assert.equal(reply.json.status, 401)
  assert.equal(reply.json.code, 'auth.unauthenticated')
})

test('unknown and repeated query members are refused', async () => {
  for (const query of ['?nothing=1', '?limit=1&limit=2', '?limit[]=1', '?limit=0', '?limit=1e9', '?__proto__=1']) {
    await refused(api.call('GET', `/api/v2/integrations${query}`), 400, 'request.invalid')
  }
  await succeed(api.call('GET', '/api/v2/integrations?limit=1'))
})

test('answers carry the security headers, no cache and a request id that is ours', async () => {
  const reply = await api.call('GET', '/api/v2/vault/entries', { headers: { 'x-request-id': 'mine' } })
  assert.equal(reply.headers.get('cache-control'), 'no-store')
  assert.equal(reply.headers.get('x-content-type-options'), 'nosniff')
  assert.match(reply.headers.get('content-security-policy') ?? '', /default-src 'none'/)
  assert.match(reply.headers.get('x-request-id') ?? '', /^req_/)
  assert.equal(reply.headers.get('x-powered-by'), null)
  assert.equal(reply.json.meta.request_id, reply.headers.get('x-request-id'))
})

test('bytes that are not HTTP get a 400 and the connection is closed', async () => {
  const { port } = new URL(api.url)
  const socket = connect(Number(port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write('nonsense\r\n\r\n')
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1\.1 400 /)
})

test('a scope that is missing is 403 and named; the twin with the scope succeeds', async () => {
  const make = async (scopes: string[]) =>
    (
      await succeed(
        api.call('POST', '/api/v2/security/api-keys', { body: { name: 'narrow', role: 'editor', scopes } }),
        201,
      )
    ).secret as string
  const narrow = await make(['vault:read'])
  const reply = await refused(api.call('POST', seal, { key: narrow, body: good }), 403, 'auth.forbidden')
  assert.match(reply.json.error.message, /vault:write/)
  await succeed(api.call('POST', seal, { key: await make(['vault:write']), body: good }), 201)
})

test('a revoked key is refused at once', async () => {
  const { key, secret } = await succeed(
    api.call('POST', '/api/v2/security/api-keys', { body: { name: 'short-lived' } }),
    201,
  )
  await succeed(api.call('GET', '/api/v2/vault/entries', { key: secret }))
  await succeed(api.call('DELETE', `/api/v2/security/api-keys/${key.id}`))
  await refused(api.call('GET', '/api/v2/vault/entries', { key: secret }), 401, 'auth.unauthenticated')
})

test('integrations are paged with a cursor that serves one caller and one query', async () => {
  const { id: credential_id } = await succeed(post(JSON.stringify(good)), 201)
  for (const name of ['a', 'b', 'c'])
    await succeed(api.call('POST', '/api/v2/integrations', { body: { name, system_type: 'mqtt', credential_id } }), 201)
  const first = await api.call('GET', '/api/v2/integrations?limit=2')
  assert.deepEqual(
    first.json.data.map(({ name }: { name: string }) => name),
    ['a', 'b'],
  )
  const cursor = first.json.meta.next_cursor as string
  const second = await api.call('GET', `/api/v2/integrations?limit=2&cursor=${cursor}`)
  assert.deepEqual(
    second.json.data.map(({ name }: { name: string }) => name),
    ['c'],
  )
  assert.equal(second.json.meta.next_cursor, undefined)
  await refused(api.call('GET', `/api/v2/integrations?limit=1&cursor=${cursor}`), 400, 'request.invalid')
  await refused(api.call('GET', `/api/v2/integrations?limit=2&cursor=${flip(cursor, 3)}`), 400, 'request.invalid')
  const { secret } = await succeed(
    api.call('POST', '/api/v2/security/api-keys', { body: { name: 'other', role: 'viewer' } }),
    201,
  )
  await refused(
    api.call('GET', `/api/v2/integrations?limit=2&cursor=${cursor}`, { key: secret }),
    400,
    'request.invalid',
  )
})

test('vault entries and API keys are paged, newest first, and a viewer sees only its own recipients', async () => {
  const { secret } = await succeed(
    api.call('POST', '/api/v2/security/api-keys', { body: { name: 'pager', role: 'editor' } }),
    201,
  )
  for (const path of ['/api/v2/vault/entries', '/api/v2/security/api-keys']) {
    const all: { id: string }[] = await succeed(api.call('GET', `${path}?limit=200`))
    assert.ok(all.length >= 2, path)
    const ids: string[] = []
    let cursor = ''
    do {
      const page = await api.call('GET', `${path}?limit=1${cursor}`)
      ids.push(...page.json.data.map(({ id }: { id: string }) => id))
      cursor = page.json.meta.next_cursor === undefined ? '' : `&cursor=${page.json.meta.next_cursor}`
    } while (cursor !== '')
    assert.deepEqual(
      ids,
      all.map(({ id }) => id),
    )
    assert.deepEqual(ids, ids.toSorted().reverse())
  }
  assert.deepEqual(await succeed(api.call('GET', '/api/v2/recipients', { key: secret })), [])
})
