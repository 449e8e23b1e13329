import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTenant } from '#src/app.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { type Reply, refused, succeed } from '#test/support/api-server.ts'
import { PASSWORD, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
let strangerKey: string
/** An API key of the owner's tenant whose recipient the server holds, and one whose recipient its client holds. */
let neighbourKey: string
let enrolledKey: string
/** Ids of recipients and keys of another tenant: held by the server, and by its client. */
let foreign: { aud: string; kem: string; mac: string; clientHeld: string }

before(async () => {
  plant = await startPlant()
  const { api } = plant
  const { ownerKey } = await createTenant(api.config, { name: 'stranger', sandbox: false }, { log: silentLog })
  strangerKey = ownerKey.reveal()
  neighbourKey = await newKey(api.ownerKey)
  enrolledKey = await newKey(api.ownerKey)
  await new Sealwire({ baseUrl: api.url, apiKey: enrolledKey }).recipients.enroll({ name: 'device' })
  const { header } = await strangersAnswer()
  const foreignKey = await newKey(strangerKey)
  const theirs = await new Sealwire({ baseUrl: api.url, apiKey: foreignKey }).recipients.enroll({ name: 'device' })
  foreign = { aud: header.aud, kem: header.kem, mac: header.mac, clientHeld: theirs.recipientId }
})
after(() => plant.close())

async function newKey(key: string): Promise<string> {
  const body = { name: 'other', role: 'editor' }
  return (await succeed(plant.api.call('POST', '/api/v2/security/api-keys', { key, body }), 201)).secret
}

const headerOf = (envelope: HybridCryptoEnvelope): ProtectedHeader =>
  JSON.parse(Buffer.from(envelope.protected, 'base64url').toString())

async function publish(key: string, integrationId = plant.integrationId): Promise<HybridCryptoEnvelope> {
  const body = { integration_id: integrationId, operation: 'publish', payload: { message: '1' } }
  return succeed(plant.api.call('POST', '/api/v2/proxy/outbound', { key, body }))
}

/** An answer to the owner of the other tenant. */
async function strangersAnswer(): Promise<{ envelope: HybridCryptoEnvelope; header: ProtectedHeader }> {
  const create = (target: string, body: unknown) =>
    succeed(plant.api.call('POST', target, { key: strangerKey, body }), 201)
  const values = { hostname: '127.0.0.1', port: plant.broker.ports.tcp, username: 'sealwire', password: PASSWORD }
  const credential = await create('/api/v2/vault/seal', { credential_type: 'custom_kv', values })
  const { id } = await create('/api/v2/integrations', {
    name: 'theirs',
    system_type: 'mqtt',
    credential_id: credential.id,
    allowed_operations: ['publish'],
    config: { topic: 'a' },
  })
  const envelope = await publish(strangerKey, id)
  return { envelope, header: headerOf(envelope) }
}

const decrypt = (envelope: unknown, key = plant.api.ownerKey, more: object = {}): Promise<Reply> =>
  plant.api.call('POST', '/api/v2/encryption/decrypt', { key, body: { envelope, ...more } })

/** The envelope with other ids, in the header and beside it, so that its form is right. */
function renamed(envelope: HybridCryptoEnvelope, ids: Partial<ProtectedHeader>): HybridCryptoEnvelope {
  const header = { ...headerOf(envelope), ...ids }
  const { tid, kem, mac } = header
  return {
    ...envelope,
    protected: Buffer.from(JSON.stringify(header)).toString('base64url'),
    encrypted: { ...envelope.encrypted, tenant_id: tid, key_id: kem },
    signature: { ...envelope.signature, tenant_id: tid, mac_key_id: mac },
  }
}

/** What may differ between two answers that mean the same: the id and time of the request, and what it left of its quota. */
function comparable({ status, headers, text, json }: Reply): unknown {
  const { request_id, timestamp } = json.meta as { request_id: string; timestamp: string }
  const names = [...headers.keys()].filter((name) => !['date', 'ratelimit', 'x-request-id'].includes(name)).sort()
  return {
    status,
    headers: names.map((name) => [name, headers.get(name)]),
    text: text.replaceAll(request_id, 'R').replaceAll(timestamp, 'T'),
  }
}

test('the answer to another API key of the same tenant answers byte for byte as one for a recipient that nobody has', async () => {
  const envelope = await publish(neighbourKey)
  const reply = await refused(decrypt(envelope), 400, 'envelope.rejected')
  const random = await decrypt(renamed(envelope, { aud: newId('rcp'), kem: newId('kem'), mac: newId('mac') }))
  assert.deepEqual(comparable(reply), comparable(random))
  assert.equal((await decrypt(envelope, neighbourKey)).status, 200, 'the twin: its own key opens it')
})

test('the answer to another tenant does so too, whole and with our tenant id written over it', async () => {
  const { envelope, header } = await strangersAnswer()
  const reply = await refused(decrypt(envelope), 400, 'envelope.rejected')
  const own = headerOf(await publish(plant.api.ownerKey))
  assert.notEqual(header.tid, own.tid)
  const random = await decrypt(
    renamed(envelope, { tid: own.tid, aud: newId('rcp'), kem: newId('kem'), mac: newId('mac') }),
  )
  assert.deepEqual(comparable(reply), comparable(random))
  assert.deepEqual(comparable(await decrypt(renamed(envelope, { tid: own.tid }))), comparable(random))
  assert.equal((await decrypt(envelope, strangerKey)).status, 200, 'the twin: its own key opens it')
})

for (const member of ['aud', 'kem', 'mac'] as const) {
  test(`an answer with ${member} of another tenant answers byte for byte as one with a random id`, async () => {
    const envelope = await publish(plant.api.ownerKey)
    const theirs = await refused(decrypt(renamed(envelope, { [member]: foreign[member] })), 400, 'envelope.rejected')
    const kind = { aud: 'rcp', kem: 'kem', mac: 'mac' } as const
    const random = await decrypt(renamed(envelope, { [member]: newId(kind[member]) }))
    assert.deepEqual(comparable(theirs), comparable(random))
    assert.equal((await decrypt(envelope)).status, 200, 'the twin')
  })
}

test('only for a recipient of the own tenant it is said that its client holds the key', async () => {
  const envelope = await publish(enrolledKey)
  for (const key of [enrolledKey, plant.api.ownerKey]) await refused(decrypt(envelope, key), 409, 'envelope.not_ours')
  const own = await publish(plant.api.ownerKey)
  const theirs = await refused(decrypt(renamed(own, { aud: foreign.clientHeld })), 400, 'envelope.rejected')
  assert.deepEqual(comparable(theirs), comparable(await decrypt(renamed(own, { aud: newId('rcp') }))))
})

test('verify_signature: false is accepted and ignored', async () => {
  const envelope = await publish(plant.api.ownerKey)
  const { pqc_signature, hmac_signature } = (await publish(plant.api.ownerKey)).signature
  const forged = [
    { ...envelope, signature: { ...envelope.signature, pqc_signature } },
    { ...envelope, signature: { ...envelope.signature, hmac_signature } },
  ]
  const relaxed = { verify_signature: false }
  for (const one of forged) await refused(decrypt(one, plant.api.ownerKey, relaxed), 400, 'envelope.rejected')
  const { signature_valid } = await succeed(decrypt(envelope, plant.api.ownerKey, relaxed))
  assert.equal(signature_valid, true)
})

test('an answer opens once: the second time it is a replay', async () => {
  const envelope = await publish(plant.api.ownerKey)
  assert.equal((await decrypt(envelope)).status, 200)
  await refused(decrypt(envelope), 400, 'envelope.replay')
})
