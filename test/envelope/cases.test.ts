import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

/** What a hostile envelope may try, by the number of the case, and the tests in which it fails: file and part of a title. */
const cases: Readonly<Record<string, { tries: string; proofs: readonly [file: string, title: string][] }>> = {
  E1: {
    tries: 'a bit flipped, in any field',
    proofs: [
      ['envelope/tamper', 'every single bit flipped in'],
      ['envelope/tamper', 'noble: 2,000 random bits flipped in signature and KEM ciphertext'],
      ['envelope/every-bit', 'every single bit of the text of an envelope counts'],
      ['envelope/every-bit', '20,000 bits flipped anywhere in a ciphertext'],
      ['envelope/suite', 'every bit of the X25519 half of a ciphertext flipped and signed anew'],
    ],
  },
  E2: {
    tries: 'fields swapped between two valid envelopes, of one tenant and of two',
    proofs: [['envelope/tamper', 'every member swapped with a valid envelope of']],
  },
  E4: {
    tries: 'a GCM tag of 4, 8, 12, 15 bytes',
    proofs: [
      ['envelope/tamper', 'a GCM tag of'],
      ['crypto/providers', 'no changed or shortened tag'],
    ],
  },
  E5: {
    tries: 'a two-key GCM collision with both KEM ciphertexts',
    proofs: [
      ['envelope/commitment', 'a ciphertext that opens under two keys opens with the committed one only'],
      ['envelope/vectors', 'the frozen GCM collision opens with the committed key only'],
    ],
  },
  E6: {
    tries: 'a fresh encapsulation to the same key, by itself and signed anew',
    proofs: [
      ['envelope/commitment', 'a KEM ciphertext exchanged for a fresh one is refused, signed anew'],
      ['envelope/tamper', 'every member swapped with a valid envelope of'],
    ],
  },
  E8: {
    tries: 'a signature left out, empty, or not wanted',
    proofs: [
      ['envelope/tamper', 'every member left out, null, empty'],
      ['envelope/tamper', 'no option opens without both signatures'],
      ['http/decrypt-route', 'verify_signature: false is accepted and ignored'],
    ],
  },
  E9: {
    tries: 'ids of another tenant, paths, SQL, __proto__, a megabyte',
    proofs: [
      ['envelope/tamper', 'a signed envelope with a foreign or hostile'],
      ['envelope/tamper', 'a signed envelope of an unknown signer says so'],
      ['http/decrypt-route', 'of another tenant answers byte for byte as one with a random id'],
    ],
  },
  E11: {
    tries: 'a signature made for something else, or with another context',
    proofs: [
      ['envelope/keys', 'a perfect envelope signed'],
      ['http/encryption-sign', 'every reader refuses it: the decrypt route, openEnvelope, verifyOrigin'],
      ['envelope/version-1', 'a key of one version never makes an envelope of the other'],
    ],
  },
  E12: {
    tries: 'a recipient key that is zero, over the modulus, of low order, enrolled already, or ours',
    proofs: [
      ['envelope/recipient-key', 'cannot be enrolled, and its twin can'],
      ['envelope/recipient-key', 'whose X25519 half has low order cannot be enrolled'],
      ['tenants/recipients', 'a key that is enrolled, anywhere, in any state, or that is ours'],
    ],
  },
  E13: {
    tries: 'an answer again, to another request, too late, too early',
    proofs: [
      ['envelope/replay-cache', 'an envelope enters once'],
      ['envelope/request', 'the answer to attempt 1 is refused by attempt 2'],
      ['envelope/life', 'being 61 s early'],
      ['envelope/streams', 'a delivery that is replayed after 361 s'],
      ['sdk/encryption', 'the second time it is a replay'],
    ],
  },
  E15: {
    tries: 'base64 in a spelling that lenient decoders take',
    proofs: [
      ['envelope/encoding', 'is refused, and the canonical form opens'],
      ['envelope/encoding', 'a header in padded or standard base64 is refused'],
    ],
  },
  E16: {
    tries: 'the same JSON written otherwise; duplicate members',
    proofs: [
      ['envelope/encoding', 'the same JSON in another order, with spaces or escapes opens'],
      ['envelope/encoding', 'duplicate members are refused by the strict parser'],
      ['envelope/header', 'a signed header is refused for'],
    ],
  },
  E18: {
    tries: 'a signature without randomness',
    proofs: [
      ['crypto/providers', 'signing is hedged, so two signatures differ'],
      ['crypto/randomness', 'with a random generator that fails nothing is signed'],
    ],
  },
  E20: {
    tries: 'a reader that somebody else wrote',
    proofs: [
      ['second-reader/second-reader', 'the second reader opens what'],
      ['envelope/open', 'verifies and opens'],
    ],
  },
}

for (const [id, { tries, proofs }] of Object.entries(cases)) {
  test(`${id}, ${tries}: there are tests of that name`, () => {
    assert.ok(proofs.length > 0)
    for (const [file, title] of proofs) {
      const source = readFileSync(new URL(`../${file}.test.ts`, import.meta.url), 'utf8')
      assert.ok(source.includes(title), `test/${file}.test.ts has no "${title}"`)
    }
  })
}
