import { toBase64, toBase64Url } from '../core/base64.ts'
import { type Bytes, concatBytes, wipe } from '../core/bytes.ts'
import type { CryptoProvider, KemPublicKey, MacKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { type HybridCryptoEnvelope, MAX_PLAINTEXT_BYTES, SIGNATURE_ALGORITHM } from './envelope.ts'
import { deriveEnvelopeKeys } from './envelope-keys.ts'
import { encodeHeader, type ProtectedHeader } from './header.ts'
import { findSuite } from './suites.ts'
import { writeTranscript } from './transcript.ts'

/** To whom an envelope is sealed: the public half of a recipient, and the MAC key shared with it. */
export interface SealingRecipient {
  readonly tenantId: string
  readonly recipientId: string
  readonly suite: string
  readonly kemKeyId: string
  readonly kem: KemPublicKey
  readonly macKeyId: string
  readonly mac: MacKey
}

/** What the sealer says about the plaintext; which members may be `null` depends on `op`. Times in Unix seconds. */
export type Claims = Pick<ProtectedHeader, 'op' | 'sub' | 'rid' | 'rqh' | 'st' | 'seq' | 'iat' | 'exp'>

export interface LeafSignature {
  readonly signature: Bytes
  readonly leafIndex: number
  readonly treeSize: number
  readonly hashes: readonly Bytes[]
}

/** Everything of an envelope but its ML-DSA signature. */
export interface SealedEnvelope {
  /** 48 bytes; what the issuer signs, alone or in a tree. */
  readonly leaf: Bytes
  readonly issuerKeyId: string
  complete(signature: LeafSignature): HybridCryptoEnvelope
}

function headerOf(recipient: SealingRecipient, issuerKeyId: string, claims: Claims): ProtectedHeader {
  return {
    v: 2,
    suite: recipient.suite,
    tid: recipient.tenantId,
    kem: recipient.kemKeyId,
    sig: issuerKeyId,
    mac: recipient.macKeyId,
    aud: recipient.recipientId,
    ...claims,
  }
}

/** Encrypts under a fresh encapsulation, so that no key ever sees two nonces. */
function encrypt(provider: CryptoProvider, kem: KemPublicKey, protectedBytes: Bytes, plaintext: Uint8Array) {
  const { ciphertext: ciphertextKem, sharedSecret } = kem.encapsulate()
  const { aesKey, commitment } = deriveEnvelopeKeys(provider, {
    sharedSecret,
    ciphertextKem,
    kemPublicKey: kem.bytes,
    protectedBytes,
  })
  const nonce = provider.randomBytes(sizes.gcmNonce)
  const ciphertextData = concatBytes(nonce, provider.aesGcmSeal(aesKey, nonce, plaintext, protectedBytes))
  wipe(sharedSecret, aesKey)
  return { protectedBytes, ciphertextKem, commitment, ciphertextData }
}

/** The signature of a batch is the same in each of its envelopes: it is written once, not a thousand times. */
let lastSignature: { bytes: Bytes; text: string } | undefined

function signatureText(bytes: Bytes): string {
  if (lastSignature?.bytes !== bytes) lastSignature = { bytes, text: toBase64(bytes) }
  return lastSignature.text
}

/**
 * Seals a plaintext (at most 16 MiB) to a recipient and authenticates it with the recipient's MAC key. The envelope is
 * finished by `complete` with a signature of the issuer over `leaf`.
 *
 * @throws {RangeError} claims that their kind of envelope does not allow, an unknown suite, a longer plaintext
 */
export function sealEnvelope(
  provider: CryptoProvider,
  recipient: SealingRecipient,
  issuerKeyId: string,
  claims: Claims,
  plaintext: Uint8Array,
): SealedEnvelope {
  const suite = findSuite(recipient.suite)
  if (!suite) throw new RangeError('Unknown suite')
  if (plaintext.length > MAX_PLAINTEXT_BYTES) throw new RangeError(`Plaintext over ${MAX_PLAINTEXT_BYTES} bytes`)

  const protectedBytes = encodeHeader(headerOf(recipient, issuerKeyId, claims))
  const parts = encrypt(provider, recipient.kem, protectedBytes, plaintext)
  const { leafInput, transcript } = writeTranscript(parts)
  const hmac = recipient.mac.mac(transcript)
  return {
    leaf: provider.sha384(leafInput),
    issuerKeyId,
    complete: ({ signature, leafIndex, treeSize, hashes }) => ({
      version: 2,
      protected: toBase64Url(protectedBytes),
      encrypted: {
        algorithm: suite.algorithm,
        tenant_id: recipient.tenantId,
        key_id: recipient.kemKeyId,
        ciphertext_kem: toBase64(parts.ciphertextKem),
        ciphertext_data: toBase64(parts.ciphertextData),
        key_commitment: toBase64(parts.commitment),
      },
      signature: {
        algorithm: SIGNATURE_ALGORITHM,
        tenant_id: recipient.tenantId,
        key_id: issuerKeyId,
        mac_key_id: recipient.macKeyId,
        pqc_signature: signatureText(signature),
        hmac_signature: toBase64(hmac),
        inclusion_proof: { leaf_index: leafIndex, tree_size: treeSize, hashes: hashes.map(toBase64) },
      },
    }),
  }
}
