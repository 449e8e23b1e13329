import type { Bytes } from '../core/bytes.ts'

/**
 * A secret key as it goes to another thread of this process (structured clone). Of OpenSSL it is a handle, and the bytes of the
 * key are copied nowhere.
 */
export type PostableKey = object

/** An encapsulation key, imported once and used many times: ML-KEM-768 (1184 bytes) or X-Wing (1216 bytes). */
export interface KemPublicKey {
  readonly bytes: Bytes
  /** Fresh shared secret (32 bytes) and its ciphertext (ML-KEM-768: 1088 bytes, FIPS 203 §7.2; X-Wing: 1120 bytes). */
  encapsulate(): { ciphertext: Bytes; sharedSecret: Bytes }
}

/** A decapsulation key, made from its seed: `d || z` of ML-KEM-768 (64 bytes) or that of X-Wing (32 bytes). */
export interface KemPrivateKey {
  readonly publicKey: Bytes
  /** Always returns 32 bytes: a wrong ciphertext gives an unrelated secret (implicit rejection); FIPS 203 §7.3. */
  decapsulate(ciphertext: Uint8Array): Bytes
}

/** An X-Wing decapsulation key: unlike ML-KEM it has ciphertexts without a secret. */
export interface XWingPrivateKey {
  readonly publicKey: Bytes
  /** 32 bytes; `undefined` when the X25519 part has low order, so that anybody could have known the secret (RFC 7748 §6.1). */
  decapsulate(ciphertext: Uint8Array): Bytes | undefined
}

/** An ML-DSA-65 verification key (1952 bytes). */
export interface VerifyKey {
  readonly bytes: Bytes
  /** Pure ML-DSA with a context string; `false` for every reason alike, wrong lengths included; FIPS 204 §5.3. */
  verify(message: Uint8Array, context: Uint8Array, signature: Uint8Array): boolean
  /** The same; OpenSSL verifies on the thread pool. */
  verifyAsync(message: Uint8Array, context: Uint8Array, signature: Uint8Array): Promise<boolean>
}

/** An ML-DSA-65 signing key, made from its 32-byte seed. */
export interface SigningKey {
  readonly publicKey: Bytes
  readonly postable: PostableKey
  /** Pure, hedged ML-DSA: 3309 bytes, different for each call; FIPS 204 §5.2. OpenSSL signs on the thread pool. */
  sign(message: Uint8Array, context: Uint8Array): Promise<Bytes>
}

/** An HMAC-SHA-512 key, imported once. */
export interface MacKey {
  readonly postable: PostableKey
  /** 64 bytes; FIPS 198-1, RFC 2104. Compare with `equalBytes`. */
  mac(message: Uint8Array): Bytes
}

/**
 * Every primitive the formats need, once. `crypto/noble.ts` runs everywhere, `crypto-native/openssl.ts` on Node; both give
 * the same bytes for the same input, and the tests hold each to the other.
 *
 * Wrong lengths are the caller's mistake and throw `RangeError`; hostile input gives `undefined` or `false`.
 */
export interface CryptoProvider {
  readonly name: 'openssl' | 'noble'
  randomBytes(length: number): Bytes
  /** 48 bytes; FIPS 180-4. */
  sha384(message: Uint8Array): Bytes
  /** 64 bytes; FIPS 180-4. */
  sha512(message: Uint8Array): Bytes
  /** 32 bytes; FIPS 202. */
  sha3_256(message: Uint8Array): Bytes
  macKey(key: Uint8Array): MacKey
  /** The same key again, from the `postable` that another thread's provider of this name made. */
  postedMacKey(key: PostableKey): MacKey
  /** RFC 5869 with SHA-512; `info` at most 1,024 bytes (OpenSSL's limit, so everybody's). */
  hkdfSha512(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Bytes
  /** `ciphertext || tag[16]`; key 32 bytes, nonce 12 bytes; SP 800-38D. */
  aesGcmSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Bytes
  /** Opens `ciphertext || tag[16]`; `undefined` when it does not authenticate. No shorter tag is accepted. */
  aesGcmOpen(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Bytes | undefined
  /** Refuses (`undefined`) what FIPS 203 §7.2 refuses: wrong length, a coefficient over the modulus. */
  kemPublicKey(bytes: Uint8Array): KemPublicKey | undefined
  /** Seed of 64 bytes. */
  kemPrivateKey(seed: Uint8Array): KemPrivateKey
  /**
   * Refuses (`undefined`) wrong length, what {@link kemPublicKey} refuses, and an X25519 part of low order.
   *
   * @see draft-connolly-cfrg-xwing-kem-10
   */
  xWingPublicKey(bytes: Uint8Array): KemPublicKey | undefined
  /** Seed of 32 bytes, which SHAKE-256 expands. */
  xWingPrivateKey(seed: Uint8Array): XWingPrivateKey
  /** 1952 bytes, else `undefined`. */
  verifyKey(bytes: Uint8Array): VerifyKey | undefined
  /** Seed of 32 bytes. */
  signingKey(seed: Uint8Array): SigningKey
  /** See {@link postedMacKey}. */
  postedSigningKey(key: PostableKey): SigningKey
}
