/** Envelope version 2 as it travels; `b64` is standard base64 with padding, `b64u` base64url without. */
export interface HybridCryptoEnvelope {
  readonly version: 2
  /** b64u of the header bytes, which are signed as they are. */
  readonly protected: string
  readonly encrypted: {
    /** Name of the KEM. */
    readonly algorithm: string
    readonly tenant_id: string
    readonly key_id: string
    readonly ciphertext_kem: string
    /** b64 of `nonce[12] || ciphertext || tag[16]`. */
    readonly ciphertext_data: string
    /** b64, 32 bytes. */
    readonly key_commitment: string
  }
  readonly signature: {
    readonly algorithm: string
    readonly tenant_id: string
    readonly key_id: string
    readonly mac_key_id: string
    /** b64, 3309 bytes. */
    readonly pqc_signature: string
    /** b64, 64 bytes. */
    readonly hmac_signature: string
    readonly inclusion_proof: {
      readonly leaf_index: number
      readonly tree_size: number
      /** b64, 48 bytes each. */
      readonly hashes: readonly string[]
    }
  }
}

export const SIGNATURE_ALGORITHM = 'ML-DSA-65+HMAC-SHA-512'

/** 16 MiB. */
export const MAX_PLAINTEXT_BYTES = 16 * 1024 * 1024
/** Most envelopes under one signature. */
export const MAX_TREE_SIZE = 1024
