import assert from 'node:assert/strict'
import { createHash, createPublicKey, verify as verifySignature } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createTenant } from '#src/app.ts'
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from '#src/core/base64.ts'
import { concatBytes, labelled, lengthPrefixed, u32, utf8 } from '#src/core/bytes.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { openKeyDocument } from '#src/envelope/key-document.ts'
import { type IssuerKey, openEnvelope } from '#src/envelope/open.ts'
import { verifyOrigin } from '#src/envelope/verify-origin.ts'
import { makeRecipient } from '#test/envelope/parties.ts'
import { refusal } from '#test/envelope/refusal.ts'
import { type ApiServer, type Call, refused, startApiServer, succeed } from '#test/support/api-server.ts'

let api: ApiServer
let strangerKey: string

before(async () => {
  api = await startApiServer()
  const { ownerKey } = await createTenant(api.config, { name: 'stranger', sandbox: false }, { log: silentLog })
  strangerKey = ownerKey.reveal()
})
after(() => api.close())

const sign = (body: unknown, call: Call = {}) => api.call('POST', '/api/v2/encryption/sign', { body, ...call })
const verify = (body: unknown, call: Call = {}) => api.call('POST', '/api/v2/encryption/verify', { body, ...call })
const bytesOf = (text: string) => fromBase64(text) ?? new Uint8Array()

async function newKey(role: string): Promise<string> {
  return (await succeed(api.call('POST', '/api/v2/security/api-keys', { body: { name: role, role } }), 201)).secret
}

describe('POST /api/v2/encryption/sign', () => {
  test('signs the bytes as they are: node:crypto verifies with the public key of the tenant', async () => {
    const signed = await succeed(sign({ data: 'AP8Q', encoding: 'base64' }), 200)
    assert.equal(signed.algorithm, 'ML-DSA-65+HMAC-SHA-512')
    const [current] = await succeed(api.call('GET', '/api/v2/encryption/keys'))
    assert.deepEqual([current.key_id, current.mac_key_id, current.state], [signed.key_id, signed.mac_key_id, 'active'])
    const key = createPublicKey({
      key: Buffer.from(current.public_key, 'base64'),
      format: 'raw-public',
      asymmetricKeyType: 'ml-dsa-65',
    })
    const signature = Buffer.from(signed.pqc_signature, 'base64')
    const judge = (context: string) =>
      verifySignature(null, Buffer.from([0, 255, 16]), { key, context: Buffer.from(context) }, signature)
    assert.equal(judge('sealwire/sign/v1'), true)
    for (const context of ['', 'sealwire/envelope/v2', 'sealwire/keys/v1']) assert.equal(judge(context), false)
  })

  test('data of almost the whole body is signed and verified', async () => {
    const data = 'x'.repeat(1024 * 1024 - 8192)
    assert.equal((await succeed(verify({ data, ...(await succeed(sign({ data }))) }))).valid, true)
    await refused(sign({ data: 'x'.repeat(1024 * 1024) }), 413, 'request.too_large')
  })

  test('needs encryption:use, and data that is what it says', async () => {
    const viewer = await newKey('viewer')
    await refused(sign({ data: 'x' }, { key: viewer }), 403, 'auth.forbidden')
    await refused(sign({ data: 'x' }, { key: null }), 401, 'auth.unauthenticated')
    for (const body of [{}, { data: 'é', encoding: 'base64' }, { data: 'x', key_id: newId('sig') }])
      await refused(sign(body), 400, 'request.invalid')
  })

  test('each use is on record, without the data', async () => {
    const data = 'do not write this down'
    const signed = await succeed(sign({ data }))
    await succeed(verify({ data, ...signed }))
    const logs = await api.call('GET', '/api/v2/audit/logs?limit=2')
    const [verified, made] = await succeed(Promise.resolve(logs))
    assert.deepEqual([made.action, made.detail], ['encryption.sign', { key_id: signed.key_id, bytes: data.length }])
    assert.deepEqual(
      [verified.action, verified.detail],
      ['encryption.verify', { key_id: signed.key_id, bytes: data.length, valid: true }],
    )
    assert.ok(!logs.text.includes(data))
  })
})

describe('POST /api/v2/encryption/verify', () => {
  test('takes what sign answered, for every API key of the tenant', async () => {
    const signed = await succeed(sign({ data: 'batch 17' }))
    for (const key of [api.ownerKey, await newKey('editor')]) {
      const judged = await succeed(verify({ data: 'batch 17', ...signed }, { key }), 200)
      assert.deepEqual(judged, {
        valid: true,
        pqc_valid: true,
        hmac_valid: true,
        algorithm: 'ML-DSA-65+HMAC-SHA-512',
        key_id: signed.key_id,
        key_state: 'active',
      })
    }
    assert.equal(
      (await succeed(verify({ data: Buffer.from('batch 17').toString('base64'), encoding: 'base64', ...signed })))
        .valid,
      true,
    )
  })

  test('says which half is wrong, and that both must be right', async () => {
    const [one, two] = [await succeed(sign({ data: 'one' })), await succeed(sign({ data: 'two' }))]
    const judge = async (body: object) => {
      const { valid, pqc_valid, hmac_valid } = await succeed(verify(body))
      return { valid, pqc_valid, hmac_valid }
    }
    assert.deepEqual(await judge({ data: 'two', ...one }), { valid: false, pqc_valid: false, hmac_valid: false })
    const mixed = { ...one, hmac_signature: two.hmac_signature }
    assert.deepEqual(await judge({ data: 'one', ...mixed }), { valid: false, pqc_valid: true, hmac_valid: false })
    assert.deepEqual(await judge({ data: 'two', ...mixed }), { valid: false, pqc_valid: false, hmac_valid: true })
  })

  test('whatever is wrong with a signature is an answer, never an error', async () => {
    const data = 'x'
    const signed = await succeed(sign({ data }))
    const wrong = [
      { pqc_signature: '' },
      { hmac_signature: '' },
      { pqc_signature: 'no base64!' },
      { pqc_signature: `${signed.pqc_signature.slice(0, -4)}====` },
      { pqc_signature: signed.hmac_signature },
      { hmac_signature: signed.pqc_signature },
      { key_id: newId('sig'), mac_key_id: newId('mac') },
      { key_id: '', mac_key_id: '' },
      { key_id: 'sig_', mac_key_id: 'mac_' },
      { mac_key_id: newId('mac') },
      { key_id: signed.mac_key_id },
    ]
    for (const change of wrong) {
      const { valid } = await succeed(verify({ data, ...signed, ...change }))
      assert.equal(valid, false, JSON.stringify(change).slice(0, 80))
    }
    const theirs = await succeed(verify({ data, ...signed }, { key: strangerKey }))
    const nobodys = await succeed(verify({ data, ...signed, key_id: newId('sig'), mac_key_id: newId('mac') }))
    assert.deepEqual({ ...theirs, key_id: '' }, { ...nobodys, key_id: '' }, 'another tenant’s key answers as none does')
    assert.equal((await succeed(verify({ data, ...signed }))).valid, true)
  })

  test('a signature is not JSON of another kind', async () => {
    const signed = await succeed(sign({ data: 'x' }))
    await refused(verify({ data: 'x', ...signed, pqc_signature: 17 }), 400, 'request.invalid')
    await refused(verify({ data: 'x', ...signed, pqc_signature: 'A'.repeat(8193) }), 400, 'request.invalid')
    await refused(verify({ data: 'x' }), 400, 'request.invalid')
  })
})

/** E11: the caller has `sign` make both signatures of an envelope that he wrote himself. */
describe('nobody makes an envelope with sign', () => {
  const nowS = () => Math.floor(Date.now() / 1000)

  async function publishedKeys(): Promise<ReadonlyMap<string, IssuerKey>> {
    const { json } = await api.call('GET', '/.well-known/sealwire-keys', { key: null })
    const root = toBase64Url(provider.sha384(fromBase64Url(json.root_pub) ?? new Uint8Array()))
    return openKeyDocument(provider, json, root, nowS())
  }

  // biome-ignore lint/suspicious/noExplicitAny: an envelope whose parts are exchanged
  type Crafted = any

  /** Puts signatures of the sign route over exactly what the issuer and the MAC key would sign. */
  async function signAsEnvelope(envelope: Crafted, header: object): Promise<Crafted> {
    const protectedBytes = utf8(JSON.stringify(header))
    const { ciphertext_kem, ciphertext_data, key_commitment } = envelope.encrypted
    const fields = [protectedBytes, bytesOf(ciphertext_kem), bytesOf(key_commitment), bytesOf(ciphertext_data)]
    const transcript = labelled('sealwire/envelope/v2', ...fields.map(lengthPrefixed))
    const leaf = createHash('sha384')
      .update(concatBytes(new Uint8Array(1), transcript))
      .digest()
    const rootMessage = labelled('sealwire/envelope/v2/root', u32(1), leaf)
    const pqc = await succeed(sign({ data: toBase64(rootMessage), encoding: 'base64' }))
    const hmac = await succeed(sign({ data: toBase64(transcript), encoding: 'base64' }))
    return {
      ...envelope,
      protected: toBase64Url(protectedBytes),
      signature: {
        ...envelope.signature,
        key_id: (header as { sig: string }).sig,
        pqc_signature: pqc.pqc_signature,
        hmac_signature: hmac.hmac_signature,
        inclusion_proof: { leaf_index: 0, tree_size: 1, hashes: [] },
      },
    }
  }

  test('every reader refuses it: the decrypt route, openEnvelope, verifyOrigin', async () => {
    const { envelope } = await succeed(api.call('POST', '/api/v2/encryption/encrypt', { body: { data: 'x' } }))
    const header = JSON.parse(Buffer.from(envelope.protected, 'base64url').toString())
    const signed = await succeed(sign({ data: 'x' }))
    const issuers = await publishedKeys()
    const crafted = [
      { made: await signAsEnvelope(envelope, header), code: 'envelope.rejected' as const },
      {
        made: await signAsEnvelope(envelope, { ...header, sig: signed.key_id }),
        code: 'envelope.issuer_unknown' as const,
      },
    ]
    const { reader } = makeRecipient(provider, 'victim', {
      tenantId: header.tid,
      recipientId: header.aud,
      kemKeyId: header.kem,
      macKeyId: header.mac,
    })
    const expected = { op: 'stored.object', sub: null, rqh: null, nowS: nowS() }
    for (const { made, code } of crafted) {
      await refused(api.call('POST', '/api/v2/encryption/decrypt', { body: { envelope: made } }), 400, code)
      assert.throws(() => verifyOrigin(provider, made, issuers), refusal(code))
      assert.throws(() => openEnvelope(provider, made, reader, issuers, expected), refusal(code))
    }
    assert.equal(verifyOrigin(provider, envelope, issuers).op, 'stored.object', 'the one it was made from is genuine')
    await succeed(api.call('POST', '/api/v2/encryption/decrypt', { body: { envelope } }))
  })

  test('the sign keys of a tenant come in pages, newest first', async () => {
    const { key_id: old } = await succeed(sign({ data: 'x' }))
    const { id } = await succeed(api.call('POST', '/api/v2/security/keys/sign/rotate'))
    const first = await api.call('GET', '/api/v2/encryption/keys?limit=1')
    const ids = (keys: { key_id: string; state: string }[]) => keys.map(({ key_id, state }) => [key_id, state])
    assert.deepEqual(ids(first.json.data), [[id, 'active']])
    const cursor = encodeURIComponent(first.json.meta.next_cursor)
    const next = await succeed(api.call('GET', `/api/v2/encryption/keys?limit=1&cursor=${cursor}`))
    assert.deepEqual(ids(next), [[old, 'retired']])
    const listed = await succeed(api.call('GET', '/api/v2/security/keys'))
    const retired = listed.find((one: { id: string }) => one.id === old)
    assert.ok(Date.parse(retired.retired_at) >= Date.parse(retired.created_at))
  })

  test('the sign keys of a tenant are in no key document', async () => {
    const { key_id } = await succeed(sign({ data: 'x' }))
    const keys = await succeed(api.call('GET', '/api/v2/encryption/keys'))
    assert.ok(keys.some((one: { key_id: string }) => one.key_id === key_id))
    const issuers = await publishedKeys()
    assert.ok(issuers.size > 0)
    assert.equal(issuers.get(key_id), undefined)
    const published = new Set([...issuers.values()].map(({ key }) => toBase64(key.bytes)))
    for (const { public_key } of keys) assert.ok(!published.has(public_key))
  })
})
