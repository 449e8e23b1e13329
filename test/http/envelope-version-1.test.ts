import assert from 'node:assert/strict'
import {
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  decapsulate,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { createTenant, setTenant } from '#src/app.ts'
import { fromBase64, fromBase64Url, toBase64Url } from '#src/core/base64.ts'
import { decodeUtf8, utf8 } from '#src/core/bytes.ts'
import { newId, uuidOfId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { openKeyDocument } from '#src/envelope/key-document.ts'
import { requestHash } from '#src/envelope/request-hash.ts'
import { type HybridCryptoEnvelopeV1, openVersion1 } from '#src/envelope/version-1.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { refused, succeed } from '#test/support/api-server.ts'
import { openAnswer, type Plant, startPlant } from '#test/support/plant.ts'

/** What a reader of version 1 was handed. */
interface Handed {
  id: string
  tenant_uuid: string
  kem_key_id: string
  kem_seed: string
  signing_key_id: string
  signing_public_key: string
  mac_key_id: string
  hmac_secret: string
  hmac_key: string
}

let plant: Plant
let tenantId: string

const path = '/api/v2/proxy/outbound'
const version1 = { 'Envelope-Version': '1' }
const b64 = (text: string) => Buffer.from(text, 'base64')

const allow = (versions: [2] | [1, 2], tenant = tenantId) =>
  setTenant(plant.api.config, tenant, { envelopeVersions: versions }, { log: silentLog })

const publishBody = (payload: object = {}) => ({
  integration_id: plant.integrationId,
  operation: 'publish',
  payload: { message: '22.5', qos: 1, ...payload },
})

const publish = (headers: Record<string, string> = version1, key?: string) =>
  plant.api.call('POST', path, { headers, body: publishBody(), ...(key !== undefined && { key }) })

async function newKey(role: string): Promise<{ id: string; secret: string }> {
  const { key, secret } = await succeed(
    plant.api.call('POST', '/api/v2/security/api-keys', { body: { name: role, role } }),
    201,
  )
  return { id: key.id, secret }
}

async function exportKeys(): Promise<Handed> {
  const [current] = await succeed(plant.api.call('GET', '/api/v2/recipients?envelope_version=1'))
  const envelope = await succeed(plant.api.call('POST', `/api/v2/recipients/${current.id}/export`))
  return (await openAnswer(plant.api, envelope)).data
}

/** A decoder of the published format that shares nothing with ours: section 3 in a few lines. */
function decode({ encrypted, signature }: HybridCryptoEnvelopeV1, keys: Handed): string {
  assert.deepEqual(Object.keys(encrypted).sort(), ['algorithm', 'ciphertext_data', 'ciphertext_kem', 'tenant_id'])
  assert.deepEqual(Object.keys(signature).sort(), ['algorithm', 'hmac_signature', 'pqc_signature', 'tenant_id'])
  assert.deepEqual([encrypted.algorithm, signature.algorithm], ['ML-KEM-768', 'ML-DSA-65+HMAC-SHA-512'])
  assert.deepEqual([encrypted.tenant_id, signature.tenant_id], [keys.tenant_uuid, keys.tenant_uuid])
  const data = b64(encrypted.ciphertext_data)
  const signer = createPublicKey({
    key: b64(keys.signing_public_key),
    format: 'raw-public',
    asymmetricKeyType: 'ml-dsa-65',
  })
  assert.ok(verify(null, data, signer, b64(signature.pqc_signature)), 'ML-DSA-65, empty context')
  const mac = createHmac('sha512', b64(keys.hmac_key)).update(data).digest()
  assert.ok(timingSafeEqual(mac, b64(signature.hmac_signature)), 'HMAC-SHA-512')
  const kem = createPrivateKey({ key: b64(keys.kem_seed), format: 'raw-seed', asymmetricKeyType: 'ml-kem-768' })
  const secret = decapsulate(kem, b64(encrypted.ciphertext_kem))
  const aesKey = Buffer.from(hkdfSync('sha512', secret, '', 'quantaseal-aes-key', 32))
  const decipher = createDecipheriv('aes-256-gcm', aesKey, data.subarray(0, 12)).setAuthTag(data.subarray(-16))
  return Buffer.concat([decipher.update(data.subarray(12, -16)), decipher.final()]).toString()
}

/** The same with the codec that the SDK has. */
function openWithCodec(envelope: HybridCryptoEnvelopeV1, keys: Handed): string {
  const bytes = (text: string) => fromBase64(text) ?? new Uint8Array()
  const reader = {
    kem: nobleProvider.kemPrivateKey(bytes(keys.kem_seed)),
    verify: nobleProvider.verifyKey(bytes(keys.signing_public_key)) ?? assert.fail(),
    mac: nobleProvider.macKey(bytes(keys.hmac_key)),
    tenantUuid: keys.tenant_uuid,
  }
  return decodeUtf8(openVersion1(nobleProvider, envelope, reader))
}

before(async () => {
  plant = await startPlant()
  const [row] = await succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=1'))
  tenantId = row.tenant_id
})
after(() => plant.close())

describe('a tenant as it was made', () => {
  test('refuses version 1 and says how to allow it; nothing was published', async () => {
    const reply = await refused(publish(), 400, 'request.invalid')
    assert.match(reply.json.error.message, new RegExp(`sealwire tenants set ${tenantId} --envelope-versions 1,2`))
    assert.deepEqual(await succeed(plant.api.call('GET', '/api/v2/recipients?envelope_version=1')), [])
    const rows = await succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=1'))
    assert.deepEqual([rows[0].action, rows[0].detail.code], ['request.refused', 'request.invalid'])
  })

  for (const version of ['3', '0', '', '1,2', 'one']) {
    test(`refuses version ${JSON.stringify(version)}`, async () => {
      await refused(publish({ 'Envelope-Version': version }), 400, 'request.invalid')
    })
  }

  test('answers in version 2 when asked for it, and when not asked', async () => {
    for (const headers of [{ 'Envelope-Version': '2' }, {}])
      assert.equal((await succeed(publish(headers as Record<string, string>))).version, 2)
  })
})

describe('a tenant that the operator allowed version 1', () => {
  before(() => allow([1, 2]))

  test('gets answers that an independent decoder and our codec open, with the context inside', async () => {
    const nonce = randomBytes(32)
    const body = JSON.stringify(publishBody())
    const headers = { ...version1, 'Envelope-Nonce': toBase64Url(nonce) }
    const reply = await plant.api.call('POST', path, { headers, body })
    const envelope = await succeed(Promise.resolve(reply), 202)
    const keys = await exportKeys()
    const text = decode(envelope, keys)
    assert.equal(openWithCodec(envelope, keys), text)
    assert.ok(text.startsWith('{"ctx":{"v":1,'), 'the context comes first')
    const { ctx, data } = JSON.parse(text)
    const rqh = requestHash(nobleProvider, { nonce, method: 'POST', target: path, body: utf8(body) })
    assert.deepEqual(ctx, {
      v: 1,
      suite: 'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512',
      tid: tenantId,
      kem: keys.kem_key_id,
      sig: keys.signing_key_id,
      mac: keys.mac_key_id,
      aud: keys.id,
      op: 'proxy.outbound',
      sub: plant.integrationId,
      rid: reply.json.meta.request_id,
      rqh,
      st: 202, // acknowledged, and nobody subscribes
      seq: null,
      iat: ctx.iat,
      exp: ctx.iat + 300,
    })
    assert.ok(Math.abs(ctx.iat - Date.now() / 1000) < 60)
    assert.deepEqual([data.success, data.error, data.data.outcome], [true, null, 'acknowledged'])
    assert.equal(keys.tenant_uuid, uuidOfId(tenantId))
    const secret = nobleProvider.sha512(fromBase64(keys.hmac_secret) ?? new Uint8Array())
    assert.deepEqual(Buffer.from(secret), b64(keys.hmac_key), 'both spellings of the HMAC key are handed out')
  })

  test('gets version 2 from the same API key without the header: one tenant, two formats, keys of their own', async () => {
    const envelope = await succeed(publish({}))
    assert.equal((await openAnswer(plant.api, envelope)).success, true)
    const { kem_key_id, signing_key_id, mac_key_id } = await exportKeys()
    const { key_id } = envelope.encrypted
    assert.ok(![kem_key_id].includes(key_id))
    assert.notEqual(envelope.signature.key_id, signing_key_id)
    assert.notEqual(envelope.signature.mac_key_id, mac_key_id)
  })

  test('keys of version 1 are in no key document, and the decrypt route opens nothing of version 1', async () => {
    const { json } = await plant.api.call('GET', '/.well-known/sealwire-keys', { key: null })
    const root = toBase64Url(nobleProvider.sha384(fromBase64Url(json.root_pub) ?? new Uint8Array()))
    const published = openKeyDocument(nobleProvider, json, root, Math.floor(Date.now() / 1000))
    const { signing_key_id, signing_public_key } = await exportKeys()
    assert.ok(published.size > 0)
    assert.equal(published.get(signing_key_id), undefined)
    for (const { key } of published.values()) assert.ok(!Buffer.from(key.bytes).equals(b64(signing_public_key)))
    const envelope = await succeed(publish())
    await refused(
      plant.api.call('POST', '/api/v2/encryption/decrypt', { body: { envelope } }),
      400,
      'envelope.rejected',
    )
  })

  test('refusals are in the clear, as for every API key whose recipient the server holds', async () => {
    const body = { ...publishBody(), integration_id: newId('int') }
    const reply = await refused(plant.api.call('POST', path, { headers: version1, body }), 404, 'object.not_found')
    assert.equal(reply.json.data, null)
  })

  test('a repetition with its Idempotency-Key is sealed anew, in the version that this request asks for', async () => {
    const key = { 'Idempotency-Key': 'one-and-the-same' }
    const first = await openAnswer(plant.api, await succeed(publish(key)))
    const again = await succeed(publish({ ...key, ...version1 }))
    const { data } = JSON.parse(decode(again, await exportKeys()))
    assert.deepEqual([data.data.message_id, data.data.replayed], [first.data.message_id, true])
  })

  test('an API key that holds its own recipient is refused: one header on the way must not open its answers to the server', async () => {
    const { secret } = await newKey('editor')
    await succeed(publish(version1, secret))
    const client = new Sealwire({ baseUrl: plant.api.url, apiKey: secret, provider: nobleProvider })
    await client.recipients.enroll({ name: 'device' })
    const reply = await refused(publish(version1, secret), 400, 'request.invalid')
    assert.match(reply.json.error.message, /recipient of its own/)
    assert.equal(reply.json.data.version, 2, 'and is told so in an envelope that it can open')
  })

  test('operations whose answer is no envelope refuse the header, and so do those that hand out keys', async () => {
    const list = plant.api.call('GET', '/api/v2/recipients', { headers: version1 })
    await refused(list, 400, 'request.invalid')
    const seal = { body: { credential_type: 'custom_kv', values: { hostname: 'h', port: 1883 } }, headers: version1 }
    await refused(plant.api.call('POST', '/api/v2/vault/seal', seal), 400, 'request.invalid')
    const enroll = { body: {}, headers: version1 }
    await refused(plant.api.call('POST', '/api/v2/recipients', enroll), 400, 'request.invalid')
    const target = `/api/v2/recipients/${(await exportKeys()).id}/export`
    const reply = await refused(plant.api.call('POST', target, { headers: version1 }), 400, 'request.invalid')
    assert.match(reply.json.error.message, /version 2 only/)
  })

  test('its keys are handed out to its owner, on record; to nobody else', async () => {
    const { id } = await exportKeys()
    const [row] = await succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=1&action=tenant_keys.export'))
    assert.deepEqual(
      [row.detail, row.object],
      [{ purpose: 'version-1' }, { kind: 'key', id: id.replace('rcp_', 'kem_') }],
    )
    const target = `/api/v2/recipients/${id}/export`
    for (const role of ['viewer', 'editor', 'admin'])
      await refused(plant.api.call('POST', target, { key: (await newKey(role)).secret }), 403, 'auth.forbidden')
    const { ownerKey } = await createTenant(plant.api.config, { name: 'other', sandbox: false }, { log: silentLog })
    await refused(plant.api.call('POST', target, { key: ownerKey.reveal() }), 404, 'object.not_found')
    const recipients = await succeed(plant.api.call('GET', '/api/v2/recipients'))
    for (const unknown of [recipients[0].id, newId('rcp')])
      await refused(plant.api.call('POST', `/api/v2/recipients/${unknown}/export`), 404, 'object.not_found')
  })

  test('after a rotation the next answer has new keys, and the old ones open what they opened', async () => {
    const [before, oldKeys] = [await succeed(publish()), await exportKeys()]
    await succeed(plant.api.call('POST', '/api/v2/security/keys/version-1/rotate'))
    const [after, newKeys] = [await succeed(publish()), await exportKeys()]
    assert.equal(JSON.parse(decode(before, oldKeys)).ctx.kem, oldKeys.kem_key_id)
    assert.equal(JSON.parse(decode(after, newKeys)).ctx.kem, newKeys.kem_key_id)
    assert.throws(() => openWithCodec(after, oldKeys), { code: 'envelope.rejected' })
    assert.throws(() => openWithCodec(before, newKeys), { code: 'envelope.rejected' })
    const sets = await succeed(plant.api.call('GET', '/api/v2/recipients?envelope_version=1'))
    assert.deepEqual(
      sets.map(({ id, state }: { id: string; state: string }) => [id, state]),
      [
        [newKeys.id, 'active'],
        [oldKeys.id, 'retired'],
      ],
    )
    const [page] = await succeed(plant.api.call('GET', '/api/v2/recipients?envelope_version=1&limit=1'))
    assert.equal(page.id, newKeys.id)
  })

  test('a flood of version 1 is bounded, and takes nothing from those who ask for version 2', async () => {
    const calm = await newKey('editor')
    const flood = Array.from({ length: 150 }, () => publish())
    const others = await Promise.all(Array.from({ length: 20 }, () => publish({}, calm.secret)))
    assert.deepEqual([...new Set(others.map(({ status }) => status))], [202])
    const keys = await exportKeys()
    for (const reply of await Promise.all(flood)) {
      if (reply.status === 503) assert.equal(reply.json.error.code, 'signer.busy')
      else assert.equal(JSON.parse(decode(reply.json.data, keys)).ctx.rid, reply.json.meta.request_id)
    }
  })

  test('another tenant is still refused, and this one again once the operator takes it back', async () => {
    const other = await createTenant(plant.api.config, { name: 'third', sandbox: false }, { log: silentLog })
    await refused(publish(version1, other.ownerKey.reveal()), 400, 'request.invalid')
    await allow([2])
    await refused(publish(), 400, 'request.invalid')
    assert.equal((await succeed(publish({}))).version, 2)
    await allow([1, 2])
    await succeed(publish())
    const rows = await succeed(plant.api.call('GET', '/api/v2/audit/logs?limit=2&action=tenants.update'))
    assert.deepEqual(
      rows.map(({ actor, detail }: { actor: { id: string }; detail: unknown }) => [actor.id, detail]),
      [
        ['operator', { envelope_versions: '1,2' }],
        ['operator', { envelope_versions: '2' }],
      ],
    )
  })

  test('the operator cannot set a tenant that is not there', () =>
    assert.rejects(allow([1, 2], newId('ten')), { code: 'object.not_found' }))
})
