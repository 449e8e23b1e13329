import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import { signLeaves } from '#src/envelope/sign-leaves.ts'
import { verifyOrigin } from '#src/envelope/verify-origin.ts'
import { ANSWER, issuerMap, makeIssuer, makeRecipient, NOW_S, PLAINTEXT } from './parties.ts'

const providers = [opensslProvider, nobleProvider]

async function seal(provider: CryptoProvider, count = 1): Promise<unknown[]> {
  const issuer = makeIssuer(provider, 'one')
  const { sealing } = makeRecipient(provider, 'one')
  const sealed = Array.from({ length: count }, () => sealEnvelope(provider, sealing, issuer.keyId, ANSWER, PLAINTEXT))
  const signatures = await signLeaves(provider, issuer, sealed)
  return sealed.map((one, i) => JSON.parse(JSON.stringify(one.complete(signatures[i] ?? assert.fail()))))
}

for (const sealer of providers) {
  for (const opener of providers) {
    test(`what ${sealer.name} seals, ${opener.name} verifies and opens`, async () => {
      const [envelope] = await seal(sealer)
      const issuer = makeIssuer(opener, 'one')
      const { reader } = makeRecipient(opener, 'one')
      const expected = { op: 'proxy.publish', sub: 'int_one', rqh: ANSWER.rqh, nowS: NOW_S }
      const opened = openEnvelope(opener, envelope, reader, issuerMap(issuer.published), expected)
      assert.deepEqual(opened.plaintext, PLAINTEXT)
      assert.equal(opened.leaf.length, 48)
      assert.equal(opened.header.rid, 'req_one')
      assert.deepEqual(verifyOrigin(opener, envelope, issuerMap(issuer.published)), opened.header)
    })
  }
}
