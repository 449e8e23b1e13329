import { toBase64, toBase64Url } from '#src/core/base64.ts'
import { type Bytes, concatBytes, copyBytes, labelled, lengthPrefixed, u32, utf8 } from '#src/core/bytes.ts'
import type { KemPublicKey, MacKey, SigningKey } from '#src/crypto/provider.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import { type Expectation, type IssuerKey, type OpenedEnvelope, openEnvelope } from '#src/envelope/open.ts'
import { ANSWER, issuerMap, NOW_S, type Parties, PLAINTEXT } from './parties.ts'

export interface SealedParts {
  protectedBytes: Bytes
  ciphertextKem: Bytes
  commitment: Bytes
  ciphertextData: Bytes
}

/** What a forger with every private key changes; what is absent is as a good sealer does it. */
export interface Forgery {
  claims?: Partial<ProtectedHeader>
  /** Spells the header in another way, or replaces it. */
  spell?: (json: string) => string | Bytes
  plaintext?: Uint8Array
  kem?: KemPublicKey
  /** Changes the parts before they are signed. */
  parts?: (parts: SealedParts) => SealedParts
  signing?: SigningKey
  context?: string
  rootLabel?: string
  mac?: MacKey
}

/** Seals as section 2.3 of the format says, written down a second time. */
function sealParts({ provider, recipient }: Parties, protectedBytes: Bytes, forgery: Forgery): SealedParts {
  const kem = forgery.kem ?? recipient.sealing.kem
  const { ciphertext, sharedSecret } = kem.encapsulate()
  const salt = provider.sha512(concatBytes(ciphertext, kem.bytes))
  const info = labelled('sealwire/envelope/v2', lengthPrefixed(protectedBytes))
  const okm = provider.hkdfSha512(sharedSecret, salt, info, 64)
  const nonce = provider.randomBytes(12)
  const sealed = provider.aesGcmSeal(okm.subarray(0, 32), nonce, forgery.plaintext ?? PLAINTEXT, protectedBytes)
  const ciphertextData = concatBytes(nonce, sealed)
  return { protectedBytes, ciphertextKem: ciphertext, commitment: okm.slice(32), ciphertextData }
}

export function transcriptOf(parts: SealedParts): Bytes {
  const { protectedBytes, ciphertextKem, commitment, ciphertextData } = parts
  const fields = [protectedBytes, ciphertextKem, commitment, ciphertextData].map(lengthPrefixed)
  return labelled('sealwire/envelope/v2', ...fields)
}

export function headerOf({ recipient, issuer }: Parties, claims: Partial<ProtectedHeader> = {}): ProtectedHeader {
  const { suite, tenantId: tid, kemKeyId: kem, macKeyId: mac, recipientId: aud } = recipient.sealing
  const { op, sub, rid, rqh, st, seq, iat, exp } = { ...ANSWER, ...claims }
  return { v: 2, suite, tid, kem, sig: issuer.keyId, mac, aud, op, sub, rid, rqh, st, seq, iat, exp, ...claims }
}

/** Makes an envelope of one leaf with valid signatures over whatever the forgery asks for. */
export async function forge(parties: Parties, forgery: Forgery = {}): Promise<HybridCryptoEnvelope> {
  const { provider, recipient, issuer } = parties
  const header = headerOf(parties, forgery.claims)
  const spelled = forgery.spell?.(JSON.stringify(header)) ?? JSON.stringify(header)
  const sealed = sealParts(parties, typeof spelled === 'string' ? utf8(spelled) : spelled, forgery)
  const parts = forgery.parts?.(sealed) ?? sealed
  const transcript = transcriptOf(parts)
  const leaf = provider.sha384(concatBytes(new Uint8Array([0]), transcript))
  const message = labelled(forgery.rootLabel ?? 'sealwire/envelope/v2/root', u32(1), leaf)
  const context = utf8(forgery.context ?? 'sealwire/envelope/v2')
  const signature = await (forgery.signing ?? issuer.signing).sign(message, context)
  return {
    version: 2,
    protected: toBase64Url(parts.protectedBytes),
    encrypted: {
      algorithm: header.suite.startsWith('X-Wing') ? 'X-Wing' : 'ML-KEM-768',
      tenant_id: header.tid,
      key_id: header.kem,
      ciphertext_kem: toBase64(parts.ciphertextKem),
      ciphertext_data: toBase64(parts.ciphertextData),
      key_commitment: toBase64(parts.commitment),
    },
    signature: {
      algorithm: 'ML-DSA-65+HMAC-SHA-512',
      tenant_id: header.tid,
      key_id: header.sig,
      mac_key_id: header.mac,
      pqc_signature: toBase64(signature),
      hmac_signature: toBase64((forgery.mac ?? recipient.sealing.mac).mac(transcript)),
      inclusion_proof: { leaf_index: 0, tree_size: 1, hashes: [] },
    },
  }
}

export const EXPECTED: Expectation = { op: 'proxy.publish', sub: 'int_one', rqh: ANSWER.rqh, nowS: NOW_S }

/** Opens the JSON text of an envelope as the recipient of the parties. */
export function openText(
  { provider, recipient, issuer }: Parties,
  text: string,
  expected: Partial<Expectation> = {},
  keys: readonly IssuerKey[] = [issuer.published],
): OpenedEnvelope {
  const received: unknown = JSON.parse(text)
  return openEnvelope(provider, received, recipient.reader, issuerMap(...keys), { ...EXPECTED, ...expected })
}

/** Opens an envelope through JSON, as if it had travelled. */
export function open(
  parties: Parties,
  envelope: unknown,
  expected: Partial<Expectation> = {},
  keys: readonly IssuerKey[] = [parties.issuer.published],
): OpenedEnvelope {
  return openText(parties, JSON.stringify(envelope), expected, keys)
}

/** A copy of the bytes with one bit flipped; bits are counted from the first byte's lowest. */
export function flipBit(bytes: Uint8Array, bit: number): Bytes {
  const flipped = copyBytes(bytes)
  flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
  return flipped
}
