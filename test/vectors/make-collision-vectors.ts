import { type Bytes, concatBytes, utf8 } from '#src/core/bytes.ts'
import { collide } from '#test/envelope/gcm-collision.ts'
import { bytesNamed, openGcm } from './deterministic.ts'
import { assemble, authenticate, deriveKeys, headerJson, inHex, signRoot } from './envelope-steps.ts'
import { mlKem } from './vector-kems.ts'

/**
 * Makes envelopes around one GCM ciphertext that opens under the keys of two KEM ciphertexts: properly signed, and crossed,
 * each with the commitment of the other.
 */
export function makeCollisionVectors() {
  const header = utf8(headerJson(mlKem, {}))
  const [a, b] = [deriveKeys(mlKem, 'collision a', header), deriveKeys(mlKem, 'collision b', header)]
  const nonce = bytesNamed('collision nonce', 12)
  const sealed = collide([a.aes_key, b.aes_key], nonce, header, bytesNamed('collision block', 16))
  const data = concatBytes(nonce, sealed)
  const envelopeWith = (ciphertextKem: Bytes, commitment: Bytes) => {
    const parts = { header, ciphertext_kem: ciphertextKem, key_commitment: commitment, ciphertext_data: data }
    const { leaf, hmac } = authenticate(mlKem.recipient.mac_key, parts)
    return assemble(mlKem, { ...parts, hmac }, signRoot(1, leaf).signature, { index: 0, size: 1, hashes: [] })
  }
  return {
    about: 'One AES-256-GCM ciphertext that opens under two keys; recipient and issuer are those of envelope-v2.json.',
    header: headerJson(mlKem, {}),
    ...inHex({ nonce, sealed }),
    sides: [a, b].map(({ aes_key, key_commitment }) =>
      inHex({ aes_key, key_commitment, plaintext: openGcm(aes_key, nonce, sealed, header) }),
    ),
    opens: [envelopeWith(a.ciphertext_kem, a.key_commitment), envelopeWith(b.ciphertext_kem, b.key_commitment)],
    refused: [envelopeWith(a.ciphertext_kem, b.key_commitment), envelopeWith(b.ciphertext_kem, a.key_commitment)],
  }
}

export type CollisionVectors = ReturnType<typeof makeCollisionVectors>
