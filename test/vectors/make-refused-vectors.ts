import assert from 'node:assert/strict'
import { toBase64 } from '#src/core/base64.ts'
import { concatBytes, utf8 } from '#src/core/bytes.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import { bytesNamed, labelled, sealGcm, sign, signingKeys, u32 } from './deterministic.ts'
import { assemble, authenticate, deriveKeys, headerJson, issuer, NOW_S } from './envelope-steps.ts'
import type { EnvelopeVectors } from './make-envelope-vectors.ts'
import {
  claimCases,
  commitmentCases,
  type Expected,
  headerCases,
  keyCases,
  openingCases,
  type Refusal,
  type SignedCase,
  xWingCases,
} from './refused-cases.ts'
import { mlKem, type VectorKem, xWing } from './vector-kems.ts'

type Json = { readonly [name: string]: unknown }
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The JSON merge patch (RFC 7396) that turns one object into another with the same members. */
function difference(from: Json, to: Json): Json {
  const changed = Object.entries(to).filter(([name, value]) => JSON.stringify(from[name]) !== JSON.stringify(value))
  return Object.fromEntries(
    changed.map(([name, value]) => {
      const before = from[name]
      return [name, isObject(value) && isObject(before) ? difference(before, value) : value]
    }),
  )
}

export interface VectorCase {
  readonly why: string
  readonly error?: Refusal
  readonly expected?: Expected
  readonly patch: Json
}

/** Makes the envelope of a case, with valid signatures unless the case is about them, alone in its tree. */
function makeSigned(kem: VectorKem, base: Json & { readonly rqh: string }, one: SignedCase) {
  const json = headerJson(kem, { sub: 'int_01kad3m5e0000000000000000g', rqh: base.rqh, ...one.claims })
  const spelled = one.spell?.(json) ?? json
  const header = typeof spelled === 'string' ? utf8(spelled) : spelled
  const name = `${kem.prefix}tree 7 leaf 0`
  const keys = deriveKeys(kem, name, header)
  const nonce = bytesNamed(`${name} nonce`, 12)
  const sealed = sealGcm(keys.aes_key, nonce, utf8('{"success":true,"data":{},"error":null}'), header)
  const { ciphertext_kem, key_commitment } = keys
  const good = { header, ciphertext_kem, key_commitment, ciphertext_data: concatBytes(nonce, sealed) }
  const parts = one.parts?.(good) ?? good
  const { leaf, hmac } = authenticate(one.macKey ?? kem.recipient.mac_key, parts)
  const message = labelled(one.rootLabel ?? 'sealwire/envelope/v2/root', u32(1), leaf)
  const signature = sign(one.signer ?? signingKeys(issuer.seed).sk, message, one.context ?? 'sealwire/envelope/v2')
  const envelope = assemble(kem, { ...parts, hmac }, signature, { index: 0, size: 1, hashes: [] })
  // The outer members say what the header says, or its own rules would not be reached.
  const { suite, tid, kem: kemId, sig, mac } = { ...(JSON.parse(headerJson(kem, one.claims ?? {})) as Json) }
  const { encrypted, signature: signed } = envelope
  const algorithm = String(suite).startsWith('X-Wing') ? 'X-Wing' : 'ML-KEM-768'
  return {
    ...envelope,
    encrypted: { ...encrypted, algorithm, tenant_id: tid, key_id: kemId },
    signature: { ...signed, tenant_id: tid, key_id: sig, mac_key_id: mac },
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** The next character before the padding: the same bytes, spelled otherwise. */
function setUnusedBit(text: string): string {
  return text.replace(/.=$/, (end) => `${ALPHABET.charAt(ALPHABET.indexOf(end.charAt(0)) + 1)}=`)
}

function urlAlphabet(text: string): string {
  assert.match(text, /[+/]/)
  return text.replaceAll('+', '-').replaceAll('/', '_')
}

function padding(text: string): string {
  return '='.repeat((4 - (text.length % 4)) % 4) || '='
}

/** Cases that need no key: the base with one member changed. */
function changedMembers(kem: VectorKem, { encrypted, signature, ...base }: HybridCryptoEnvelope): VectorCase[] {
  const proof = (inclusion_proof: Json) => ({ signature: { inclusion_proof } })
  const [first = '', second = '', third = ''] = signature.inclusion_proof.hashes
  const commitment = encrypted.key_commitment
  const other = kem === mlKem ? xWing : mlKem
  return [
    ...Array.from({ length: 7 }, (_, i) => i)
      .filter((i) => i !== 0)
      .map((leaf_index) => ({
        why: `leaf index ${leaf_index} for 0`,
        patch: proof({ leaf_index }),
      })),
    { why: 'tree size 6 for 7', patch: proof({ tree_size: 6 }) },
    { why: 'tree size 8 for 7', patch: proof({ tree_size: 8 }) },
    { why: 'tree size 0', patch: proof({ tree_size: 0 }) },
    { why: 'tree size 1,025', patch: proof({ tree_size: 1025 }) },
    { why: 'leaf index 7 of 7', patch: proof({ leaf_index: 7 }) },
    { why: 'leaf index −1', patch: proof({ leaf_index: -1 }) },
    { why: 'leaf index 1.5', patch: proof({ leaf_index: 1.5 }) },
    { why: 'a leaf index as string', patch: proof({ leaf_index: '0' }) },
    { why: 'a hash too many at the end', patch: proof({ hashes: [first, second, third, first] }) },
    { why: 'a hash too many at the start', patch: proof({ hashes: [first, first, second, third] }) },
    { why: 'a hash too few', patch: proof({ hashes: [first, second] }) },
    { why: 'two hashes swapped', patch: proof({ hashes: [second, first, third] }) },
    { why: 'the leaf offered as its own root', patch: proof({ tree_size: 1, hashes: [] }) },
    { why: 'eleven hashes', patch: proof({ hashes: Array.from({ length: 11 }, () => first) }) },
    { why: 'a hash of 47 bytes', patch: proof({ hashes: [toBase64(new Uint8Array(47)), second, third] }) },
    { why: 'the KEM of the other suite', patch: { encrypted: { algorithm: other.algorithm } } },
    { why: 'one signature algorithm only', patch: { signature: { algorithm: 'ML-DSA-65' } } },
    { why: 'version 1', patch: { version: 1 } },
    { why: 'a version as string', patch: { version: '2' } },
    { why: 'another tenant outside', patch: { encrypted: { tenant_id: 'ten_two' } } },
    { why: 'another signer outside', patch: { signature: { key_id: 'sig_two' } } },
    { why: 'an unknown outer member', patch: { x: 1 } },
    { why: 'an unknown member of encrypted', patch: { encrypted: { nonce: 'AAAA' } } },
    { why: 'a missing member of encrypted', patch: { encrypted: { key_commitment: null } } },
    { why: 'base64 with a line break', patch: { encrypted: { key_commitment: `${commitment}\n` } } },
    { why: 'base64 without padding', patch: { encrypted: { key_commitment: commitment.replace('=', '') } } },
    {
      why: 'base64 whose unused bits are not zero',
      patch: { encrypted: { key_commitment: setUnusedBit(commitment) } },
    },
    { why: 'base64url for base64', patch: { signature: { hmac_signature: urlAlphabet(signature.hmac_signature) } } },
    { why: 'a header with padding', patch: { protected: `${base.protected}${padding(base.protected)}` } },
    { why: 'an empty ciphertext', patch: { encrypted: { ciphertext_data: '' } } },
  ].map((one) => ({ ...one, error: 'envelope.rejected' as const }))
}

function makeSuite(kem: VectorKem, file: string, vectors: EnvelopeVectors, signed: readonly SignedCase[]) {
  const golden = vectors.batches[2]?.envelopes[0] ?? assert.fail('no tree of 7')
  const base = golden.envelope
  const seal = (one: SignedCase): Json => {
    const made = makeSigned(kem, { ...base, rqh: vectors.request.rqh }, one)
    return { ...(one.expected && { expected: one.expected }), patch: difference({ ...base }, made) }
  }
  return {
    vectors: file,
    expected: { op: 'proxy.publish', sub: 'int_01kad3m5e0000000000000000g', rqh: vectors.request.rqh, now: NOW_S },
    refused: [
      ...changedMembers(kem, base),
      ...signed.map((one) => ({ why: one.why, error: one.error ?? 'envelope.rejected', ...seal(one) })),
    ] as VectorCase[],
    opens: openingCases.map((one) => ({ why: one.why, ...seal(one) })) as VectorCase[],
  }
}

/**
 * Makes what a reader must refuse and, at the edge of the rules, must open: each as a JSON merge patch (RFC 7396) of the
 * first envelope in the tree of 7, whose keys and key document are those of the other files.
 */
export function makeRefusedVectors(ofSuite: { mlKem: EnvelopeVectors; xWing: EnvelopeVectors }) {
  return {
    about:
      'Envelopes of version 2 to refuse, and to open. Each is `patch` (RFC 7396) applied to the first envelope of the tree of 7 in `vectors`; issuer keys: key-document.json; `expected` of a case replaces members of the common one.',
    suites: [
      makeSuite(mlKem, 'envelope-v2.json', ofSuite.mlKem, [
        ...headerCases,
        ...claimCases,
        ...keyCases,
        ...commitmentCases,
      ]),
      makeSuite(xWing, 'envelope-v2-x-wing.json', ofSuite.xWing, [...commitmentCases, ...xWingCases]),
    ],
  }
}

export type RefusedVectors = ReturnType<typeof makeRefusedVectors>
