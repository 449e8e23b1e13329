import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { version1MacKey } from '#src/envelope/version-1.ts'
import { prepareVersion1 } from '#src/http/version-1.ts'
import type { TenantSigningKeys } from '#src/keys/tenant-signing-keys.ts'
import { createTenantQueue } from '#src/signing/tenant-queue.ts'
import type { KnownRecipient } from '#src/tenants/recipients.ts'
import { makeIssuer, makeRecipient } from '#test/envelope/parties.ts'
import { testClock } from '#test/support/deployment.ts'

const { sealing } = makeRecipient(provider, 'version 1')
const { signing, verify } = makeIssuer(provider, 'version 1')
const mac = provider.macKey(version1MacKey(provider, new Uint8Array(64)))
const keys = { ...sealing, keyId: 'sig_1', signing, verify, macKeyId: 'mac_1', mac }
const recipient: KnownRecipient = { ...sealing, custody: 'server' }
const answer = {
  op: 'proxy.outbound',
  subject: null,
  requestId: 'req_1',
  requestHash: null,
  status: 200,
  plaintext: { success: true, data: null, error: null },
}

function parts(maxPerTenant: number) {
  const tenantSigningKeys = { version1Keys: async () => keys } as unknown as TenantSigningKeys
  const version1Queue = createTenantQueue({ maxPerTenant, maxQueue: 10 })
  return { allowsVersion1: async () => true, tenantSigningKeys, version1Queue, provider, clock: testClock() }
}

test('a tenant whose places are taken is refused before anything is sent; another tenant is not', async () => {
  const services = parts(1)
  const [one, two] = [newId('ten'), newId('ten')]
  const first = await prepareVersion1(services, one, recipient)
  const second = await prepareVersion1(services, one, recipient)
  first.admit()
  first.admit()
  assert.equal(services.version1Queue.pending, 1, 'one place, however often it is asked for')
  assert.throws(() => second.admit(), { code: 'signer.busy' })
  const other = await prepareVersion1(services, two, recipient)
  assert.ok((await other.seal(answer)).signature.pqc_signature)
  assert.ok((await first.seal(answer)).signature.pqc_signature)
  second.admit()
  second.release()
  assert.equal(services.version1Queue.pending, 0)
})

test('an answer whose operation took no place takes one when it is sealed', async () => {
  const services = parts(1)
  const sealing = await prepareVersion1(services, newId('ten'), recipient)
  await sealing.seal(answer)
  sealing.release()
  assert.equal(services.version1Queue.pending, 0)
})

for (const { why, custody } of [
  { why: 'a recipient that the client holds', custody: 'client' as const },
  { why: 'no recipient', custody: undefined },
]) {
  test(`an API key with ${why} gets no version 1`, () =>
    assert.rejects(prepareVersion1(parts(1), newId('ten'), custody && { ...recipient, custody }), {
      code: 'request.invalid',
    }))
}
