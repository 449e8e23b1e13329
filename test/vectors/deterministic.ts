import { gcm } from '@noble/ciphers/aes.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha384, sha512 } from '@noble/hashes/sha2.js'
import { sha3_256, shake256 } from '@noble/hashes/sha3.js'
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { type Bytes, concatBytes, copyBytes, utf8 } from '#src/core/bytes.ts'

/**
 * The primitives without any randomness of their own, so that the vectors are the same in every run, and the encodings
 * written out, so that a mistake in ours is not in both.
 */

/** A number as four bytes, the greatest first. */
export function u32(value: number): Bytes {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value])
}

/** `LP(x)`: the length of `x` as four bytes, then `x`. */
export function lengthPrefixed(value: Bytes | string): Bytes {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return new Uint8Array([...u32(bytes.length), ...bytes])
}

/** `label || 0x00 || parts`. */
export function labelled(label: string, ...parts: readonly Bytes[]): Bytes {
  return new Uint8Array([...new TextEncoder().encode(label), 0, ...parts.flatMap((part) => [...part])])
}

/** Stands for random bytes: SHA-512 of a name, as often as needed. */
export function bytesNamed(name: string, length: number): Bytes {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, i) =>
    sha512(utf8(`sealwire vectors: ${name} ${i}`)),
  )
  return concatBytes(...blocks).slice(0, length)
}

export function kemKeys(seed: Bytes): { ek: Bytes; dk: Bytes } {
  const { publicKey, secretKey } = ml_kem768.keygen(seed)
  return { ek: copyBytes(publicKey), dk: copyBytes(secretKey) }
}

/** ML-KEM.Encaps_internal (FIPS 203 §6.2) with the message `m` of 32 bytes. */
export function encapsulate(ek: Bytes, m: Bytes): { ciphertext: Bytes; sharedSecret: Bytes } {
  const { cipherText, sharedSecret } = ml_kem768.encapsulate(ek, m)
  return { ciphertext: copyBytes(cipherText), sharedSecret: copyBytes(sharedSecret) }
}

export function signingKeys(seed: Bytes): { pub: Bytes; sk: Bytes } {
  const { publicKey, secretKey } = ml_dsa65.keygen(seed)
  return { pub: copyBytes(publicKey), sk: copyBytes(secretKey) }
}

/** The deterministic variant of ML-DSA (FIPS 204 §5.2, rnd = 32 zero bytes). */
export function sign(sk: Bytes, message: Bytes, context: string): Bytes {
  return copyBytes(ml_dsa65.sign(message, sk, { context: utf8(context), extraEntropy: false }))
}

export const sha384Of = (...parts: readonly Bytes[]): Bytes => copyBytes(sha384(concatBytes(...parts)))
export const sha512Of = (...parts: readonly Bytes[]): Bytes => copyBytes(sha512(concatBytes(...parts)))
export const sha3Of = (message: Bytes): Bytes => copyBytes(sha3_256(message))
export const shake256Of = (message: Bytes, length: number): Bytes => copyBytes(shake256(message, { dkLen: length }))
export const macOf = (key: Bytes, message: Bytes): Bytes => copyBytes(hmac(sha512, key, message))

export function derive(secret: Bytes, salt: Bytes, info: Bytes, length = 64): Bytes {
  return copyBytes(hkdf(sha512, secret, salt, info, length))
}

export function sealGcm(key: Bytes, nonce: Bytes, plaintext: Bytes, aad: Bytes): Bytes {
  return copyBytes(gcm(key, nonce, aad).encrypt(plaintext))
}

export function openGcm(key: Bytes, nonce: Bytes, sealed: Bytes, aad: Bytes): Bytes {
  return copyBytes(gcm(key, nonce, aad).decrypt(sealed))
}
