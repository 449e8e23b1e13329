/** Sizes in bytes: FIPS 203 table 3 (ML-KEM-768), FIPS 204 table 2 (ML-DSA-65), SP 800-38D, FIPS 180-4. */
export const sizes = {
  kemPublicKey: 1184,
  kemCiphertext: 1088,
  kemSeed: 64,
  sharedSecret: 32,
  dsaPublicKey: 1952,
  dsaSeed: 32,
  dsaSignature: 3309,
  aesKey: 32,
  gcmNonce: 12,
  gcmTag: 16,
  commitment: 32,
  hmacTag: 64,
  macKey: 64,
  sha384: 48,
} as const
