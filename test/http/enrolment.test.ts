import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { fromBase64Url, toBase64, toBase64Url } from '#src/core/base64.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { enrolmentProof, openEnrolment } from '#src/envelope/enrolment.ts'
import { openKeyDocument } from '#src/envelope/key-document.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { requestHash } from '#src/envelope/request-hash.ts'
import { ML_KEM_SUITE } from '#src/envelope/suites.ts'
import { refused, succeed } from '#test/support/api-server.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
let rootPin: string

before(async () => {
  plant = await startPlant()
  const { json } = await plant.api.call('GET', '/.well-known/sealwire-keys', { key: null })
  rootPin = toBase64Url(nobleProvider.sha384(fromBase64Url(json.root_pub) ?? new Uint8Array()))
})
after(() => plant.close())

const nowS = () => Math.floor(Date.now() / 1000)
const path = '/api/v2/recipients'

async function newKey(): Promise<string> {
  return (
    await succeed(
      plant.api.call('POST', '/api/v2/security/api-keys', { body: { name: 'device', role: 'editor' } }),
      201,
    )
  ).secret
}

async function issuers() {
  const { json } = await plant.api.call('GET', '/.well-known/sealwire-keys', { key: null })
  return openKeyDocument(nobleProvider, json, rootPin, nowS())
}

/** Step one, as a client that shares no state with the SDK. */
async function enroll(key: string, seed = new Uint8Array(randomBytes(64))) {
  const kem = nobleProvider.kemPrivateKey(seed)
  const nonce = new Uint8Array(randomBytes(32))
  const body = JSON.stringify({ kem_public_key: toBase64(kem.publicKey), suite: ML_KEM_SUITE, name: 'device' })
  const rqh = requestHash(nobleProvider, { nonce, method: 'POST', target: path, body: new TextEncoder().encode(body) })
  const envelope = await succeed(
    plant.api.call('POST', path, {
      key,
      body,
      headers: { 'content-type': 'application/json', 'envelope-nonce': toBase64Url(nonce) },
    }),
    201,
  )
  const opened = openEnrolment(nobleProvider, envelope, kem, ML_KEM_SUITE, await issuers(), { rqh, nowS: nowS() })
  return {
    kem,
    envelope,
    opened,
    proof: toBase64(enrolmentProof(nobleProvider.macKey(opened.macKey), opened.recipientId, kem.publicKey)),
  }
}

test('enrolment in two steps; from then on answers open at the client and nowhere else', async () => {
  const key = await newKey()
  const { kem, opened, proof } = await enroll(key)
  const confirmed = await succeed(
    plant.api.call('POST', `${path}/${opened.recipientId}/confirm`, { key, body: { proof } }),
  )
  assert.equal(confirmed.state, 'active')
  const envelope = await succeed(
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      key,
      body: { integration_id: plant.integrationId, operation: 'publish', payload: { message: '1' } },
    }),
  )
  const reader = {
    tenantId: opened.tenantId,
    recipientId: opened.recipientId,
    suite: ML_KEM_SUITE,
    kemKeyId: opened.kemKeyId,
    kem,
    macKeyId: opened.macKeyId,
    mac: nobleProvider.macKey(opened.macKey),
  }
  const { plaintext } = openEnvelope(nobleProvider, envelope, reader, await issuers(), {
    op: 'proxy.outbound',
    rqh: null,
    nowS: nowS(),
  })
  assert.equal(JSON.parse(new TextDecoder().decode(plaintext)).data.outcome, 'acknowledged')
  await refused(
    plant.api.call('POST', '/api/v2/encryption/decrypt', { key, body: { envelope } }),
    409,
    'envelope.not_ours',
  )
})

test('a refusal is sealed for a caller with a recipient of its own, and repeats code and message outside', async () => {
  const key = await newKey()
  const { kem, opened, proof } = await enroll(key)
  await succeed(plant.api.call('POST', `${path}/${opened.recipientId}/confirm`, { key, body: { proof } }))
  const reply = await refused(
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      key,
      body: {
        integration_id: plant.integrationId,
        operation: 'publish',
        payload: { topic: 'forbidden', message: '1' },
      },
    }),
    403,
    'policy.denied',
  )
  const reader = {
    tenantId: opened.tenantId,
    recipientId: opened.recipientId,
    suite: ML_KEM_SUITE,
    kemKeyId: opened.kemKeyId,
    kem,
    macKeyId: opened.macKeyId,
    mac: nobleProvider.macKey(opened.macKey),
  }
  const { header, plaintext } = openEnvelope(nobleProvider, reply.json.data, reader, await issuers(), {
    op: 'proxy.outbound',
    rqh: null,
    nowS: nowS(),
  })
  assert.equal(header.st, 403)
  assert.deepEqual(JSON.parse(new TextDecoder().decode(plaintext)).error, reply.json.error)
})

test('a wrong proof is refused and the right one still works', async () => {
  const key = await newKey()
  const { opened, proof } = await enroll(key)
  const call = (text: string) =>
    plant.api.call('POST', `${path}/${opened.recipientId}/confirm`, { key, body: { proof: text } })
  const wrong = await call(toBase64(new Uint8Array(64)))
  assert.ok(wrong.status >= 400, wrong.text)
  assert.equal((await succeed(call(proof))).state, 'active')
})

test('a lost answer: the same key enrolled again works', async () => {
  const key = await newKey()
  const seed = new Uint8Array(randomBytes(64))
  await enroll(key, seed)
  const { opened, proof } = await enroll(key, seed)
  assert.equal(
    (await succeed(plant.api.call('POST', `${path}/${opened.recipientId}/confirm`, { key, body: { proof } }))).state,
    'active',
  )
})

const badKeys = [
  { name: 'all zero', bytes: new Uint8Array(1184) },
  { name: 'a coefficient over the modulus', bytes: new Uint8Array(1184).fill(255) },
  { name: 'one byte short', bytes: new Uint8Array(1183).fill(1) },
  { name: 'one byte long', bytes: new Uint8Array(1185).fill(1) },
]
for (const { name, bytes } of badKeys) {
  test(`a KEM key that is ${name} is 400`, async () => {
    await refused(
      plant.api.call('POST', path, {
        key: await newKey(),
        body: { kem_public_key: toBase64(bytes), suite: ML_KEM_SUITE, name: 'x' },
      }),
      400,
      'request.invalid',
    )
  })
}

test('a KEM key that is enrolled elsewhere is refused', async () => {
  const [first, second] = [await newKey(), await newKey()]
  const { kem, opened, proof } = await enroll(first)
  await succeed(plant.api.call('POST', `${path}/${opened.recipientId}/confirm`, { key: first, body: { proof } }))
  await refused(
    plant.api.call('POST', path, {
      key: second,
      body: { kem_public_key: toBase64(kem.publicKey), suite: ML_KEM_SUITE, name: 'x' },
    }),
    400,
    'request.invalid',
  )
})

test('a key that enrolled once never falls back to the server: after revocation it is told to enrol again', async () => {
  const key = await newKey()
  const { opened, proof } = await enroll(key)
  await succeed(plant.api.call('POST', `${path}/${opened.recipientId}/confirm`, { key, body: { proof } }))
  await succeed(plant.api.call('DELETE', `${path}/${opened.recipientId}`))
  const call = plant.api.call('POST', '/api/v2/proxy/outbound', {
    key,
    body: { integration_id: plant.integrationId, operation: 'publish', payload: { message: '1' } },
  })
  await refused(call, 409, 'recipient.required')
})

test('a document under another root is refused', async () => {
  const { json } = await plant.api.call('GET', '/.well-known/sealwire-keys', { key: null })
  const other = toBase64Url(nobleProvider.sha384(new Uint8Array(1952)))
  assert.throws(() => openKeyDocument(nobleProvider, json, other, nowS()))
  assert.ok(openKeyDocument(nobleProvider, json, rootPin, nowS()).size > 0)
})
