import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTenant } from '#src/app.ts'
import { silentLog } from '#src/core/log.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { failureOf } from '#test/support/sdk-calls.ts'

let api: ApiServer
let client: Sealwire

before(async () => {
  api = await startApiServer()
  client = new Sealwire({ baseUrl: api.url, apiKey: api.ownerKey })
})
after(() => api.close())

describe('encryption.encrypt and decryptObject', () => {
  for (const data of ['grün', new Uint8Array([0, 255, 16]), '']) {
    test(`bring back ${JSON.stringify(data)} byte for byte`, async () => {
      const envelope = await client.encryption.encrypt(data, { encryptionContext: { purpose: 'backup' } })
      const opened = await client.encryption.decryptObject(envelope, { encryptionContext: { purpose: 'backup' } })
      const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
      assert.deepEqual(opened.data, bytes)
      assert.deepEqual([opened.header.op, opened.signatureValid], ['stored.object', true])
    })
  }

  test('another context, none, and names that look like members of the wire, are told apart', async () => {
    const encryptionContext = { lineNumber: '4', line_number: '5' }
    const envelope = await client.encryption.encrypt('x', { encryptionContext })
    assert.deepEqual((await client.encryption.decryptObject(envelope, { encryptionContext })).data.length, 1)
    for (const other of [undefined, { line_number: '5' }, { lineNumber: '5', line_number: '4' }]) {
      const options = other && { encryptionContext: other }
      assert.equal((await failureOf(client.encryption.decryptObject(envelope, options))).code, 'envelope.rejected')
    }
  })

  test('an auditor sees who made it; it does not open here, where nobody has the object key', async () => {
    const envelope = await client.encryption.encrypt('x')
    const recipient = await client.recipients.enroll({ name: 'laptop' })
    const reader = new Sealwire({ baseUrl: api.url, apiKey: api.ownerKey, recipient })
    assert.equal((await reader.encryption.verifyOrigin(envelope)).op, 'stored.object')
    assert.equal((await failureOf(reader.encryption.decrypt(envelope))).code, 'envelope.rejected')
    assert.equal(
      (await reader.encryption.decryptObject(envelope)).data.length,
      1,
      'the server opens it for any API key',
    )
  })
})

describe('encryption.sign and verify', () => {
  test('what was signed verifies, here with the public key and at the server; anything else does not', async () => {
    const signature = await client.encryption.sign('batch 17')
    const { valid, pqcValid, hmacValid, keyState } = await client.encryption.verify('batch 17', signature)
    assert.deepEqual(
      { valid, pqcValid, hmacValid, keyState },
      { valid: true, pqcValid: true, hmacValid: true, keyState: 'active' },
    )
    assert.equal((await client.encryption.verify('batch 18', signature)).valid, false)
    const [key] = await client.encryption.verificationKeys()
    assert.equal(key?.keyId, signature.keyId)
    const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'))
    const verifyKey = nobleProvider.verifyKey(bytes(key?.publicKey ?? ''))
    const context = new TextEncoder().encode('sealwire/sign/v1')
    assert.ok(verifyKey?.verify(new TextEncoder().encode('batch 17'), context, bytes(signature.pqcSignature)))
  })

  test('after a rotation the old signature still verifies, and the next one is of the new key', async () => {
    const before = await client.encryption.sign('x')
    const { id, retiredId } = await client.keys.rotate('sign')
    assert.equal(retiredId, before.keyId)
    const { valid, keyState } = await client.encryption.verify('x', before)
    assert.deepEqual([valid, keyState], [true, 'retired'])
    const next = await client.encryption.sign('x')
    assert.equal(next.keyId, id)
    const keys = await client.encryption.verificationKeys()
    assert.deepEqual(
      keys.slice(0, 2).map(({ keyId, state }) => [keyId, state]),
      [
        [next.keyId, 'active'],
        [before.keyId, 'retired'],
      ],
    )
  })

  test('after a rotation of the object key old objects still open', async () => {
    const before = await client.encryption.encrypt('x')
    await client.keys.rotate('object')
    const next = await client.encryption.encrypt('x')
    assert.notEqual(next.encrypted.key_id, before.encrypted.key_id)
    for (const envelope of [before, next])
      assert.equal((await client.encryption.decryptObject(envelope)).data.length, 1)
  })
})

describe('version 1', () => {
  test('an owner is handed the keys, and the SDK opens with them only what it is told to', async () => {
    const [{ tenant_id: tenantId }] = (await api.call('GET', '/api/v2/audit/logs?limit=1')).json.data
    const settings = { envelopeVersions: [1, 2] } as const
    await setTenant(api.config, tenantId, settings, { log: silentLog })
    const recipient = await client.recipients.enroll({ name: 'desk' })
    const reader = new Sealwire({ baseUrl: api.url, apiKey: api.ownerKey, recipient })
    const [info] = await reader.recipients.listVersion1()
    assert.ok(info)
    const version1Keys = [await reader.recipients.exportVersion1(info.id)]

    const device = await client.apiKeys.create({ name: 'device', role: 'editor' })
    const body = { integration_id: 'int_none', operation: 'publish', payload: { message: '1' }, dry_run: true }
    const headers = { 'x-api-key': device.secret, 'content-type': 'application/json', 'envelope-version': '1' }
    const outbound = `${api.url}/api/v2/proxy/outbound`
    const seal = { credentialType: 'custom_kv', values: { hostname: '127.0.0.1', port: 1883 } }
    const { id: credentialId } = await client.vault.seal(seal)
    const integration = await client.integrations.create({
      name: 'plant',
      systemType: 'mqtt',
      credentialId,
      allowedOperations: ['publish'],
      config: { topic: 'a' },
    })
    const request = { method: 'POST', headers, body: JSON.stringify({ ...body, integration_id: integration.id }) }
    const { data: envelope } = (await (await fetch(outbound, request)).json()) as { data: unknown }

    assert.equal((await failureOf(reader.encryption.decrypt(envelope))).code, 'envelope.rejected')
    const opened = await reader.encryption.decrypt(envelope, { allowVersion1: true, version1Keys })
    assert.deepEqual([opened.header.v, opened.header.op, opened.answer.success], [1, 'proxy.outbound', true])
    const again = reader.encryption.decrypt(envelope, { allowVersion1: true, version1Keys })
    assert.equal((await failureOf(again)).code, 'envelope.replay')
  })
})
