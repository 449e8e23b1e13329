import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import type { Bytes } from '../core/bytes.ts'

export type KeyType = 'ml-kem-768' | 'ml-dsa-65'

/** Takes over a `Buffer` without copying when it owns its memory, as the results of node:crypto do, else copies. */
export function owned(buffer: Buffer): Bytes {
  return buffer.byteLength === buffer.buffer.byteLength
    ? new Uint8Array(buffer.buffer as ArrayBuffer)
    : new Uint8Array(buffer)
}

/** node:crypto takes raw keys as `Buffer` only; the view shares memory with `bytes`. */
export function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Imports a public key; `undefined` for a wrong length or a coefficient over the modulus (FIPS 203 §7.2). */
export function importPublic(type: KeyType, bytes: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: view(bytes), format: 'raw-public', asymmetricKeyType: type })
  } catch {
    return undefined // OpenSSL refused it, for one of these two reasons
  }
}

/** Imports a private key from its seed, whose length the caller has checked. */
export function importSeed(type: KeyType, seed: Uint8Array): { key: KeyObject; publicKey: Bytes } {
  const key = createPrivateKey({ key: view(seed), format: 'raw-seed', asymmetricKeyType: type })
  return { key, publicKey: publicHalf(key) }
}

/** The raw public half of a private key. */
export function publicHalf(key: KeyObject): Bytes {
  return owned(createPublicKey(key).export({ format: 'raw-public' }))
}
