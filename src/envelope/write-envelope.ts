import type { HybridCryptoEnvelope } from './envelope.ts'

/**
 * Writes an envelope of ours as JSON, in the characters of `JSON.stringify`. Its texts are ids, names and base64, so none of
 * 7 KB is searched for what JSON would escape.
 */
export function writeEnvelope({ version, protected: header, encrypted, signature }: HybridCryptoEnvelope): string {
  const { algorithm, tenant_id, key_id, ciphertext_kem, ciphertext_data, key_commitment } = encrypted
  const { mac_key_id, pqc_signature, hmac_signature, inclusion_proof } = signature
  const { leaf_index, tree_size, hashes } = inclusion_proof
  const proof = hashes.length === 0 ? '' : `"${hashes.join('","')}"`
  return (
    `{"version":${version},"protected":"${header}","encrypted":{"algorithm":"${algorithm}","tenant_id":"${tenant_id}",` +
    `"key_id":"${key_id}","ciphertext_kem":"${ciphertext_kem}","ciphertext_data":"${ciphertext_data}",` +
    `"key_commitment":"${key_commitment}"},"signature":{"algorithm":"${signature.algorithm}",` +
    `"tenant_id":"${signature.tenant_id}","key_id":"${signature.key_id}","mac_key_id":"${mac_key_id}",` +
    `"pqc_signature":"${pqc_signature}","hmac_signature":"${hmac_signature}",` +
    `"inclusion_proof":{"leaf_index":${leaf_index},"tree_size":${tree_size},"hashes":[${proof}]}}}`
  )
}
