import { createPrivateKey, createPublicKey, decapsulate, diffieHellman, hash, type KeyObject } from 'node:crypto'
import { must } from './decode.ts'

/** Section 4 of the page. */
export interface Suite {
  readonly algorithm: string
  readonly ciphertextBytes: number
}

export const suites: Readonly<Record<string, Suite>> = {
  'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512': { algorithm: 'ML-KEM-768', ciphertextBytes: 1088 },
  'X-Wing+AES-256-GCM+ML-DSA-65+HMAC-SHA-512': { algorithm: 'X-Wing', ciphertextBytes: 1120 },
}

export interface Decapsulator {
  readonly ek: Buffer
  decapsulate(ciphertext: Buffer): Buffer
}

const publicBytes = (key: KeyObject): Buffer => createPublicKey(key).export({ format: 'raw-public' })

function mlKem(seed: Buffer): Decapsulator {
  const key = createPrivateKey({ key: seed, format: 'raw-seed', asymmetricKeyType: 'ml-kem-768' })
  return { ek: publicBytes(key), decapsulate: (ciphertext) => decapsulate(key, ciphertext) }
}

function xWing(seed: Buffer): Decapsulator {
  const expanded = hash('shake256', seed, { outputEncoding: 'buffer', outputLength: 96 })
  const half = mlKem(expanded.subarray(0, 64))
  const scalar = createPrivateKey({ key: expanded.subarray(64), format: 'raw-private', asymmetricKeyType: 'x25519' })
  const pkX = publicBytes(scalar)
  return {
    ek: Buffer.concat([half.ek, pkX]),
    decapsulate(ciphertext) {
      const ctX = ciphertext.subarray(1088)
      const ssX = agree(scalar, ctX)
      const ssM = half.decapsulate(ciphertext.subarray(0, 1088))
      return hash('sha3-256', Buffer.concat([ssM, ssX, ctX, pkX, Buffer.from('5c2e2f2f5e5c', 'hex')]), 'buffer')
    },
  }
}

/** X25519, refused when the result is zero; OpenSSL refuses it by itself. */
function agree(privateKey: KeyObject, point: Buffer): Buffer {
  const publicKey = createPublicKey({ key: point, format: 'raw-public', asymmetricKeyType: 'x25519' })
  let result = Buffer.alloc(32)
  try {
    result = diffieHellman({ privateKey, publicKey })
  } catch {
    // stays zero
  }
  must(result.some((byte) => byte !== 0))
  return result
}

export function decapsulatorOf(suite: string, seed: Buffer): Decapsulator {
  return suite.startsWith('X-Wing') ? xWing(seed) : mlKem(seed)
}
