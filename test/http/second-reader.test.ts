import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { enrolmentProof, openEnrolment, requestHash } from '#test/second-reader/enrol.ts'
import { decapsulatorOf, suites } from '#test/second-reader/kem.ts'
import { openVersion2, type Reader } from '#test/second-reader/open-version-2.ts'
import { readKeyDocument } from '#test/second-reader/signatures.ts'
import { succeed } from '#test/support/api-server.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
let pinned: string

async function keyDocument(): Promise<unknown> {
  return (await plant.api.call('GET', '/.well-known/sealwire-keys', { key: null })).json
}
const now = () => Math.floor(Date.now() / 1000)
const issuers = async () => readKeyDocument(await keyDocument(), pinned, now())

before(async () => {
  plant = await startPlant()
  const { root_pub: root } = (await keyDocument()) as { root_pub: string }
  pinned = createHash('sha384').update(Buffer.from(root, 'base64url')).digest('base64url')
})
after(() => plant.close())

/** Sends one request with a nonce of its own, as the page says. */
async function post(key: string, target: string, value: object, status?: number) {
  const nonce = randomBytes(32)
  const body = JSON.stringify(value)
  const headers = { 'content-type': 'application/json', 'envelope-nonce': nonce.toString('base64url') }
  const envelope: unknown = await succeed(plant.api.call('POST', target, { key, body, headers }), status)
  return { envelope, rqh: requestHash({ nonce, method: 'POST', target, body }) }
}

async function enrol(key: string, suite: string): Promise<Reader> {
  const decapsulator = decapsulatorOf(suite, randomBytes(suite.startsWith('X-Wing') ? 32 : 64))
  const value = { kem_public_key: decapsulator.ek.toString('base64'), suite, name: 'second reader' }
  const { envelope, rqh } = await post(key, '/api/v2/recipients', value, 201)
  const reader = openEnrolment(envelope, { suite, decapsulator }, await issuers(), { rqh, now: now() })
  const confirm = { key, body: { proof: enrolmentProof(reader) } }
  await succeed(plant.api.call('POST', `/api/v2/recipients/${reader.aud}/confirm`, confirm))
  return reader
}

assert.equal(Object.keys(suites).length, 2)
for (const suite of Object.keys(suites)) {
  test(`the second reader enrols for ${suite} and opens what the server answers`, async () => {
    const { secret: key } = await succeed(
      plant.api.call('POST', '/api/v2/security/api-keys', { body: { name: suite.slice(0, 6), role: 'editor' } }),
      201,
    )
    const reader = await enrol(key, suite)
    const publish = { integration_id: plant.integrationId, operation: 'publish', payload: { message: '22.5' } }
    const { envelope, rqh } = await post(key, '/api/v2/proxy/outbound', publish)
    const expected = { op: 'proxy.outbound', sub: plant.integrationId, rqh, now: now() }
    const { header, plaintext } = openVersion2(envelope, reader, await issuers(), expected)
    assert.equal(header.suite, suite)
    assert.equal(JSON.parse(plaintext.toString()).data.outcome, 'acknowledged')

    const known = await issuers()
    const other = { ...expected, rqh: 'A'.repeat(64) }
    assert.throws(() => openVersion2(envelope, reader, known, other), { code: 'envelope.mismatch' })
  })
}
