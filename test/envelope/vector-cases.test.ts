import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Bytes } from '#src/core/bytes.ts'
import { fromHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { openKeyDocument } from '#src/envelope/key-document.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { findSuite } from '#src/envelope/suites.ts'
import { decapsulatorOf } from '#test/second-reader/kem.ts'
import { openVersion2 } from '#test/second-reader/open-version-2.ts'
import { readKeyDocument } from '#test/second-reader/signatures.ts'
import { applyPatch } from '#test/vectors/apply-patch.ts'
import { urlOf } from '#test/vectors/files.ts'
import type { EnvelopeVectors } from '#test/vectors/make-envelope-vectors.ts'
import type { KeyDocumentVectors } from '#test/vectors/make-key-document-vectors.ts'
import type { RefusedVectors } from '#test/vectors/make-refused-vectors.ts'

const read = (name: string): unknown => JSON.parse(readFileSync(urlOf(name), 'utf8'))
const bytes = (hex: string): Bytes => fromHex(hex) ?? assert.fail('not hexadecimal')
const keys = read('key-document.json') as KeyDocumentVectors
const { suites } = read('envelope-v2-cases.json') as RefusedVectors

interface Expected {
  op: string
  sub: string | null
  rqh: string | null
  now: number
}
type Open = (envelope: unknown, expected: Expected) => Uint8Array

function ours(provider: CryptoProvider, { recipient }: EnvelopeVectors): Open {
  const suite = findSuite(recipient.suite) ?? assert.fail('suite')
  const reader = {
    tenantId: recipient.tenant_id,
    recipientId: recipient.recipient_id,
    suite: recipient.suite,
    kemKeyId: recipient.kem_key_id,
    kem: suite.privateKey(provider, bytes(recipient.kem_seed)),
    macKeyId: recipient.mac_key_id,
    mac: provider.macKey(bytes(recipient.mac_key)),
  }
  const issuers = openKeyDocument(provider, keys.document, keys.root.fingerprint, keys.now)
  return (envelope, { now, ...expected }) =>
    openEnvelope(provider, envelope, reader, issuers, { ...expected, nowS: now }).plaintext
}

function second({ recipient }: EnvelopeVectors): Open {
  const reader = {
    tid: recipient.tenant_id,
    aud: recipient.recipient_id,
    suite: recipient.suite,
    kem: recipient.kem_key_id,
    decapsulator: decapsulatorOf(recipient.suite, Buffer.from(recipient.kem_seed, 'hex')),
    mac: recipient.mac_key_id,
    macKey: Buffer.from(recipient.mac_key, 'hex'),
  }
  const issuers = readKeyDocument(keys.document, keys.root.fingerprint, keys.now)
  return (envelope, expected) => openVersion2(envelope, reader, issuers, expected).plaintext
}

assert.equal(suites.length, 2)
for (const { vectors: file, expected, refused, opens } of suites) {
  const vectors = read(file) as EnvelopeVectors
  const golden = vectors.batches[2]?.envelopes[0] ?? assert.fail('no tree of 7')
  const readers: { name: string; open: Open }[] = [
    { name: 'openssl', open: ours(opensslProvider, vectors) },
    { name: 'noble', open: ours(nobleProvider, vectors) },
    { name: 'the second reader', open: second(vectors) },
  ]
  assert.ok(refused.length > 30 && opens.length > 5)
  assert.equal(new Set(refused.map(({ why }) => why)).size, refused.length)

  for (const { name, open } of readers) {
    test(`${name}: the base of ${file} opens`, () => {
      assert.deepEqual(Buffer.from(open(golden.envelope, expected)), Buffer.from(golden.plaintext, 'hex'))
    })
    for (const one of refused) {
      test(`${name}, ${file}: ${one.why} is ${one.error}`, () => {
        const envelope = applyPatch(golden.envelope, one.patch)
        assert.notDeepEqual(envelope, golden.envelope)
        assert.throws(() => open(envelope, { ...expected, ...one.expected }), { code: one.error })
      })
    }
    for (const one of opens) {
      test(`${name}, ${file}: ${one.why} opens`, () => {
        const plaintext = open(applyPatch(golden.envelope, one.patch), { ...expected, ...one.expected })
        assert.equal(Buffer.from(plaintext).toString(), '{"success":true,"data":{},"error":null}')
      })
    }
  }
}
