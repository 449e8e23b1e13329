import assert from 'node:assert/strict'
import type { Bytes } from '#src/core/bytes.ts'
import { concatBytes, utf8 } from '#src/core/bytes.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import { bytesNamed, signingKeys } from './deterministic.ts'
import { type EnvelopeParts, NOW_S } from './envelope-steps.ts'

export type Refusal = 'envelope.rejected' | 'envelope.issuer_unknown' | 'envelope.mismatch' | 'envelope.stale'

/** What a reader expects, where it is not what it expects of the base envelope. */
export interface Expected {
  op?: string
  sub?: string | null
  rqh?: string | null
  now?: number
}

/** One envelope that is wrong in one way only: everything that the rule under test does not forbid is right and signed. */
export interface SignedCase {
  why: string
  error?: Refusal
  claims?: Partial<ProtectedHeader>
  spell?: (json: string) => string | Bytes
  parts?: (parts: Omit<EnvelopeParts, 'hmac'>) => Omit<EnvelopeParts, 'hmac'>
  signer?: Bytes
  context?: string
  rootLabel?: string
  macKey?: Bytes
  expected?: Expected
}

/** Replaces exactly one occurrence, so that a case that changes nothing is not made. */
export const swap = (from: string, to: string) => (json: string) => {
  assert.equal(json.split(from).length, 2, `${from} occurs once`)
  return json.replace(from, to)
}

const RID = '"rid":"req_01kad3m5e0000000000000000f"'
const rid = (value: string) => swap(RID, `"rid":${value}`)
const raw = (before: string, bytes: readonly number[]) => (json: string) => {
  const at = json.indexOf(before) + before.length
  return concatBytes(utf8(json.slice(0, at)), new Uint8Array(bytes), utf8(json.slice(at)))
}
const IAT = `"iat":${NOW_S}`

export const headerCases: readonly SignedCase[] = [
  { why: 'a duplicate member', spell: swap('"st":200', '"st":200,"st":200') },
  { why: 'a duplicate member by escape', spell: swap('"st":200', '"st":200,"\\u0073t":200') },
  { why: 'white space', spell: swap('{"v":2', '{ "v":2') },
  { why: 'a trailing newline', spell: (json) => `${json}\n` },
  { why: 'another order', spell: swap('"st":200,"seq":null', '"seq":null,"st":200') },
  { why: 'an escape in a value', spell: rid('"req\\u005fone"') },
  { why: 'a number with an exponent', spell: swap(IAT, '"iat":1795e6') },
  { why: 'a number with a fraction', spell: swap(IAT, `"iat":${NOW_S}.0`) },
  { why: 'minus zero', spell: swap('"st":200', '"st":-0') },
  { why: '2^53 + 1', spell: swap(`"exp":${NOW_S + 300}`, '"exp":9007199254740993') },
  { why: 'a number as string', spell: swap(IAT, `"iat":"${NOW_S}"`) },
  { why: 'true for a number', spell: swap('"st":200', '"st":true') },
  { why: 'an object for a string', spell: rid('{}') },
  { why: 'an array for a string', spell: rid('["req_one"]') },
  { why: 'an unknown member', spell: (json) => `${json.slice(0, -1)},"x":1}` },
  { why: 'a missing member', spell: swap('"seq":null,', '') },
  { why: 'a member named __proto__', spell: (json) => `${json.slice(0, -1)},"__proto__":null}` },
  { why: 'a byte order mark', spell: (json) => `\ufeff${json}` },
  { why: 'broken UTF-8', spell: raw('"rid":"req', [0xff]) },
  { why: 'an encoded surrogate', spell: raw('"rid":"req', [0xed, 0xa0, 0x80]) },
  { why: 'an escaped lone surrogate', spell: rid('"req_\\ud800"') },
  { why: 'an id that is not ASCII', spell: rid('"req_é"') },
  { why: 'an id of 65 characters', spell: rid(`"${'r'.repeat(65)}"`) },
  { why: 'an empty id', spell: rid('""') },
  { why: 'a NUL in an id', spell: raw('"rid":"req', [0]) },
  { why: 'a header of 801 bytes', spell: (json) => json.padEnd(801) },
  { why: 'version 3', spell: swap('"v":2', '"v":3') },
  { why: 'an unknown suite', claims: { suite: 'ML-KEM-1024+AES-256-GCM+ML-DSA-65+HMAC-SHA-512' } },
]

const INTEGRATION = 'int_01kad3m5e0000000000000000g'

export const claimCases: readonly SignedCase[] = [
  { why: 'a life of 0 s', claims: { exp: NOW_S } },
  { why: 'a life of 301 s', claims: { exp: NOW_S + 301 } },
  { why: 'an answer that does not expire', claims: { exp: null } },
  { why: 'an answer without status', claims: { st: null } },
  { why: 'a status of 600', claims: { st: 600 } },
  { why: 'an answer with a sequence number', claims: { seq: 1 } },
  { why: 'a stored object that expires', claims: { op: 'stored.object', sub: null, rqh: null, st: null } },
  { why: 'a delivery with the hash of a request', claims: { op: 'webhook.delivery', st: null } },
  {
    why: 'an event offered as an answer',
    error: 'envelope.mismatch',
    claims: { op: 'stream.event', st: null, seq: 1 },
  },
  {
    why: 'a delivery offered as an answer',
    error: 'envelope.mismatch',
    claims: { op: 'webhook.delivery', rqh: null, st: null },
  },
  {
    why: 'a stored message offered as an answer',
    error: 'envelope.mismatch',
    claims: { op: 'stored.message', rqh: null, st: null, seq: 1 },
  },
  {
    why: 'a stored object offered as an answer',
    error: 'envelope.mismatch',
    claims: { op: 'stored.object', sub: null, rqh: null, st: null, exp: null },
  },
  { why: 'another operation', error: 'envelope.mismatch', claims: { op: 'vault.list' } },
  { why: 'another subject', error: 'envelope.mismatch', claims: { sub: 'int_two' } },
  { why: 'the answer to another request', error: 'envelope.mismatch', claims: { rqh: 'x'.repeat(64) } },
  { why: 'the answer to a request without nonce', error: 'envelope.mismatch', claims: { rqh: null } },
  { why: '61 s early', error: 'envelope.stale', claims: { iat: NOW_S + 61, exp: NOW_S + 300 } },
  { why: '61 s late', error: 'envelope.stale', claims: { iat: NOW_S - 161, exp: NOW_S - 61 } },
  { why: 'another tenant', claims: { tid: 'ten_two' } },
  { why: 'another recipient', claims: { aud: 'rcp_two' } },
  { why: 'another KEM key', claims: { kem: 'kem_two' } },
  { why: 'another MAC key', claims: { mac: 'mac_two' } },
]

const secretOf = (name: string): Bytes => signingKeys(bytesNamed(name, 32)).sk

export const keyCases: readonly SignedCase[] = [
  { why: 'an unknown signer', error: 'envelope.issuer_unknown', claims: { sig: 'sig_two' }, signer: secretOf('two') },
  { why: 'a revoked key', claims: { sig: 'sig_revoked' }, signer: secretOf('revoked') },
  { why: 'an audit key', claims: { sig: 'aud_active' }, signer: secretOf('audit') },
  { why: 'the root key in the name of the issuer', signer: secretOf('root') },
  { why: 'a version 1 key in the name of the issuer', signer: secretOf('version 1 signer') },
  { why: 'made before its key was published', claims: { sig: 'sig_next', iat: NOW_S - 1 }, signer: secretOf('next') },
  {
    why: 'made after its key was retired',
    claims: { sig: 'sig_retired', iat: NOW_S + 1 },
    signer: secretOf('retired'),
  },
  { why: 'a signature with an empty context', context: '' },
  { why: 'a signature with the context of a key document', context: 'sealwire/keys/v1' },
  { why: 'a signature over a root with another label', rootLabel: 'sealwire/envelope/v2' },
  { why: 'an HMAC of another key', macKey: bytesNamed('another mac key', 64) },
]

const flipFirst = (bytes: Bytes): Bytes => bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte))

export const commitmentCases: readonly SignedCase[] = [
  {
    why: 'another commitment beside the right tag',
    parts: (parts) => ({ ...parts, key_commitment: flipFirst(parts.key_commitment) }),
  },
  {
    why: 'a KEM ciphertext changed by one bit',
    parts: (parts) => ({ ...parts, ciphertext_kem: flipFirst(parts.ciphertext_kem) }),
  },
  {
    why: 'a ciphertext changed by one bit',
    parts: (parts) => ({
      ...parts,
      ciphertext_data: concatBytes(parts.ciphertext_data.slice(0, 12), flipFirst(parts.ciphertext_data.slice(12))),
    }),
  },
  { why: 'a tag of 15 bytes', parts: (parts) => ({ ...parts, ciphertext_data: parts.ciphertext_data.slice(0, -1) }) },
]

export const xWingCases: readonly SignedCase[] = [
  { why: 'the other suite in the header', claims: { suite: 'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512' } },
  {
    why: 'a ciphertext cut to its ML-KEM half',
    parts: (parts) => ({ ...parts, ciphertext_kem: parts.ciphertext_kem.slice(0, 1088) }),
  },
  {
    why: 'an X25519 half of low order',
    parts: (parts) => ({
      ...parts,
      ciphertext_kem: concatBytes(parts.ciphertext_kem.slice(0, 1088), new Uint8Array(32)),
    }),
  },
  {
    why: 'the highest bit of the X25519 half set, which X25519 itself ignores',
    parts: (parts) => ({
      ...parts,
      ciphertext_kem: parts.ciphertext_kem.map((byte, i) => (i === 1119 ? byte ^ 0x80 : byte)),
    }),
  },
]

const longest = (prefix: string) => prefix.padEnd(64, 'x')

/** Envelopes at the edge of the rules, which open. */
export const openingCases: readonly SignedCase[] = [
  { why: 'a life of 1 s', claims: { exp: NOW_S + 1 } },
  { why: '60 s early', claims: { iat: NOW_S + 60, exp: NOW_S + 300 } },
  { why: '60 s late', claims: { iat: NOW_S - 160, exp: NOW_S - 60 } },
  { why: 'ids of 64 characters', claims: { rid: longest('req'), op: longest('op') }, expected: { op: longest('op') } },
  { why: 'a key that was published at this second', claims: { sig: 'sig_next' }, signer: secretOf('next') },
  { why: 'a key that was retired at this second', claims: { sig: 'sig_retired' }, signer: secretOf('retired') },
  {
    why: 'a stored object',
    claims: { op: 'stored.object', sub: null, rqh: null, st: null, exp: null },
    expected: { op: 'stored.object', sub: null, rqh: null, now: NOW_S + 10 ** 9 },
  },
  {
    why: 'an event',
    claims: { op: 'stream.event', st: null, seq: 2 ** 53 - 1 },
    expected: { op: 'stream.event', sub: INTEGRATION },
  },
]
