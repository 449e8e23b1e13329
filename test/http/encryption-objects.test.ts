import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createTenant } from '#src/app.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { type ApiServer, type Call, refused, startApiServer, succeed } from '#test/support/api-server.ts'

let api: ApiServer
let strangerKey: string

before(async () => {
  api = await startApiServer()
  const { ownerKey } = await createTenant(api.config, { name: 'stranger', sandbox: false }, { log: silentLog })
  strangerKey = ownerKey.reveal()
})
after(() => api.close())

const encrypt = (body: unknown, call: Call = {}) => api.call('POST', '/api/v2/encryption/encrypt', { body, ...call })
const decrypt = (body: unknown, call: Call = {}) => api.call('POST', '/api/v2/encryption/decrypt', { body, ...call })
const context = { purpose: 'backup', line: '4' }

async function newKey(role: string): Promise<string> {
  return (await succeed(api.call('POST', '/api/v2/security/api-keys', { body: { name: role, role } }), 201)).secret
}

describe('POST /api/v2/encryption/encrypt', () => {
  test('answers a stored object of the tenant: it names no request, no subject, no status and does not expire', async () => {
    const reply = await encrypt({ data: 'recipe 17', encryption_context: context })
    const { envelope, algorithm, key_id } = await succeed(Promise.resolve(reply), 200)
    const header = JSON.parse(Buffer.from(envelope.protected, 'base64url').toString())
    const { op, sub, rqh, st, seq, exp, rid, kem } = header
    assert.deepEqual(
      { op, sub, rqh, st, seq, exp },
      { op: 'stored.object', sub: null, rqh: null, st: null, seq: null, exp: null },
    )
    assert.equal(rid, reply.json.meta.request_id)
    assert.deepEqual([algorithm, key_id], ['ML-KEM-768', kem])
    assert.ok(!reply.text.includes('recipe'))
  })

  const written = [
    { name: 'text', body: { data: 'grün' }, bytes: Buffer.from('grün') },
    { name: 'base64', body: { data: 'AP8Q', encoding: 'base64' }, bytes: Buffer.from([0, 255, 16]) },
    { name: 'nothing', body: { data: '' }, bytes: Buffer.alloc(0) },
    { name: 'text that looks like base64', body: { data: 'abcd' }, bytes: Buffer.from('abcd') },
  ]
  for (const { name, body, bytes } of written) {
    test(`${name} comes back byte for byte, as often as it is asked, for every API key of the tenant`, async () => {
      const { envelope } = await succeed(encrypt(body))
      for (const key of [api.ownerKey, api.ownerKey, await newKey('editor')]) {
        const { plaintext, signature_valid, header } = await succeed(decrypt({ envelope }, { key }))
        assert.deepEqual(plaintext, { encryption_context: {}, data: bytes.toString('base64') })
        assert.deepEqual([signature_valid, header.op], [true, 'stored.object'])
      }
    })
  }

  test('the largest object fits into the request that decrypts it; one byte more is refused', async () => {
    const full = Object.fromEntries(
      Array.from({ length: 16 }, (_, i) => [`${i}`.padEnd(64, 'n'), '\u0001'.repeat(256)]),
    )
    const largest = randomBytes(512 * 1024)
    const body = { data: largest.toString('base64'), encoding: 'base64', encryption_context: full }
    const { envelope } = await succeed(encrypt(body))
    const { plaintext } = await succeed(decrypt({ envelope, encryption_context: full }))
    assert.ok(largest.equals(Buffer.from(plaintext.data, 'base64')))
    const more = Buffer.concat([largest, Buffer.alloc(1)]).toString('base64')
    await refused(encrypt({ ...body, data: more }), 413, 'request.too_large')
  })

  const malformed: object[] = [
    { data: 'not base64', encoding: 'base64' },
    { data: 'QQ=', encoding: 'base64' },
    { data: 'x', encoding: 'hex' },
    { data: '\ud800' },
    {},
    { data: 'x', encryption_context: [] },
    { data: 'x', encryption_context: 'text' },
    { data: 'x', encryption_context: { purpose: 1 } },
    { data: 'x', encryption_context: { purpose: { nested: 'x' } } },
    { data: 'x', encryption_context: { 'white space': 'x' } },
    { data: 'x', encryption_context: { purpose: 'x'.repeat(257) } },
    { data: 'x', encryption_context: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`n${i}`, ''])) },
    { data: 'x', more: 1 },
  ]
  for (const body of malformed) {
    test(`refuses ${JSON.stringify(body).slice(0, 60)}`, async () => {
      await refused(encrypt(body), 400, 'request.invalid')
    })
  }

  test('needs encryption:use, and an API key', async () => {
    await refused(encrypt({ data: 'x' }, { key: await newKey('viewer') }), 403, 'auth.forbidden')
    await refused(encrypt({ data: 'x' }, { key: null }), 401, 'auth.unauthenticated')
  })
})

describe('POST /api/v2/encryption/decrypt of a stored object', () => {
  test('opens with the context that it was made with, in any order, and with no other', async () => {
    const { envelope } = await succeed(encrypt({ data: 'x', encryption_context: context }))
    await succeed(decrypt({ envelope, encryption_context: { line: '4', purpose: 'backup' } }))
    const others = [undefined, {}, { purpose: 'backup' }, { ...context, line: '5' }, { ...context, more: '' }]
    const texts = new Set<string>()
    for (const encryption_context of others)
      texts.add((await refused(decrypt({ envelope, encryption_context }), 400, 'envelope.rejected')).json.error.message)
    assert.deepEqual([...texts], ['Envelope did not verify.'])
  })

  test('is the one error for another tenant, as it is for a key id that nobody has', async () => {
    const { envelope } = await succeed(encrypt({ data: 'x' }))
    const unknown = { ...envelope.encrypted, key_id: newId('kem') }
    const header = JSON.parse(Buffer.from(envelope.protected, 'base64url').toString())
    const renamed = { ...header, kem: unknown.key_id }
    const random = {
      ...envelope,
      protected: Buffer.from(JSON.stringify(renamed)).toString('base64url'),
      encrypted: unknown,
    }
    const replies = [
      await refused(decrypt({ envelope }, { key: strangerKey }), 400, 'envelope.rejected'),
      await refused(decrypt({ envelope: random }), 400, 'envelope.rejected'),
      await refused(decrypt({ envelope: 17 }), 400, 'envelope.rejected'),
    ]
    assert.equal(new Set(replies.map(({ json }) => JSON.stringify(json.error))).size, 1)
  })

  test('a byte changed anywhere is the one error', async () => {
    const { envelope } = await succeed(encrypt({ data: 'recipe 17' }))
    const flip = (text: string) => `${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}`
    const { encrypted, signature } = envelope
    const changed = [
      ...['ciphertext_kem', 'ciphertext_data', 'key_commitment'].map((name) => ({
        ...envelope,
        encrypted: { ...encrypted, [name]: flip(encrypted[name]) },
      })),
      ...['pqc_signature', 'hmac_signature'].map((name) => ({
        ...envelope,
        signature: { ...signature, [name]: flip(signature[name]) },
      })),
    ]
    assert.equal(changed.length, 5)
    for (const one of changed) await refused(decrypt({ envelope: one }), 400, 'envelope.rejected')
    await succeed(decrypt({ envelope }))
  })

  test('each use is on record, without data and without the context', async () => {
    const secret = 'do not write this down'
    const { envelope } = await succeed(encrypt({ data: secret, encryption_context: { purpose: 'also-not-this' } }))
    await succeed(decrypt({ envelope, encryption_context: { purpose: 'also-not-this' } }))
    const logs = await api.call('GET', '/api/v2/audit/logs?limit=10')
    const rows = await succeed(Promise.resolve(logs))
    const [opened, made] = rows as { action: string; detail: Record<string, unknown>; object: unknown }[]
    const { kem, rid } = JSON.parse(Buffer.from(envelope.protected, 'base64url').toString())
    assert.deepEqual(
      [made?.action, made?.detail, made?.object],
      ['encryption.encrypt', { kem_key_id: kem, bytes: secret.length }, { kind: 'envelope', id: rid }],
    )
    assert.deepEqual(
      [opened?.action, opened?.detail['op'], opened?.detail['rid']],
      ['encryption.decrypt', 'stored.object', rid],
    )
    assert.ok(!logs.text.includes(secret) && !logs.text.includes('also-not-this'))
  })
})
