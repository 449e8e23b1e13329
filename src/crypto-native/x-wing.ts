import {
  createPrivateKey,
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  hash,
  type KeyObject,
} from 'node:crypto'
import { type Bytes, copyBytes, wipe } from '../core/bytes.ts'
import { checkLength } from '../crypto/check-length.ts'
import type { KemPublicKey, XWingPrivateKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import {
  type CombinerInput,
  combinerInput,
  splitCiphertext,
  splitExpandedSeed,
  splitPublicKey,
  X_WING_EXPANDED_BYTES,
} from '../crypto/x-wing.ts'
import { importPublic, importSeed, owned, view } from './raw-keys.ts'

function importX25519(bytes: Uint8Array): KeyObject {
  return createPublicKey({ key: view(bytes), format: 'raw-public', asymmetricKeyType: 'x25519' })
}

/** X25519 of a scalar and a point; `undefined` for a point of low order, which OpenSSL refuses (RFC 7748 §6.1). */
function agree(privateKey: KeyObject, publicKey: KeyObject): Bytes | undefined {
  try {
    return owned(diffieHellman({ privateKey, publicKey }))
  } catch {
    return undefined // the result is all zero: both keys were imported, so nothing else is left to fail
  }
}

function combine(input: CombinerInput): Bytes {
  const message = combinerInput(input)
  const sharedSecret = owned(hash('sha3-256', message, 'buffer'))
  wipe(message, input.secretMlKem, input.secretX25519)
  return sharedSecret
}

/** Imports an X-Wing encapsulation key (1216 bytes) for OpenSSL's ML-KEM-768 and X25519. */
export function xWingPublicKey(bytes: Uint8Array): KemPublicKey | undefined {
  if (bytes.length !== sizes.xWingPublicKey) return undefined
  const own = copyBytes(bytes)
  const halves = splitPublicKey(own)
  const mlKem = importPublic('ml-kem-768', halves.mlKem)
  const x25519 = importX25519(halves.x25519)
  if (!mlKem || !agree(generateKeyPairSync('x25519').privateKey, x25519)) return undefined
  return {
    bytes: own,
    encapsulate() {
      const ephemeral = generateKeyPairSync('x25519')
      const secretX25519 = agree(ephemeral.privateKey, x25519)
      if (!secretX25519) throw new Error('X25519 failed') // never: the key was tried at import
      const ciphertextX25519 = owned(ephemeral.publicKey.export({ format: 'raw-public' }))
      const { ciphertext, sharedKey } = encapsulate(mlKem)
      const secretMlKem = owned(sharedKey)
      const sharedSecret = combine({ secretMlKem, secretX25519, ciphertextX25519, publicKeyX25519: halves.x25519 })
      const joined = new Uint8Array(sizes.xWingCiphertext)
      joined.set(ciphertext)
      joined.set(ciphertextX25519, sizes.kemCiphertext)
      return { ciphertext: joined, sharedSecret }
    },
  }
}

/** Makes an X-Wing decapsulation key from its seed (32 bytes). */
export function xWingPrivateKey(seed: Uint8Array): XWingPrivateKey {
  checkLength('X-Wing seed', seed, sizes.xWingSeed)
  const expanded = owned(hash('shake256', seed, { outputEncoding: 'buffer', outputLength: X_WING_EXPANDED_BYTES }))
  const seeds = splitExpandedSeed(expanded)
  const mlKem = importSeed('ml-kem-768', seeds.mlKem)
  const x25519 = createPrivateKey({ key: view(seeds.x25519), format: 'raw-private', asymmetricKeyType: 'x25519' })
  wipe(expanded)
  const publicKeyX25519 = owned(createPublicKey(x25519).export({ format: 'raw-public' }))
  const publicKey = new Uint8Array(sizes.xWingPublicKey)
  publicKey.set(mlKem.publicKey)
  publicKey.set(publicKeyX25519, sizes.kemPublicKey)
  return {
    publicKey,
    decapsulate(ciphertext) {
      checkLength('X-Wing ciphertext', ciphertext, sizes.xWingCiphertext)
      const halves = splitCiphertext(ciphertext)
      const secretX25519 = agree(x25519, importX25519(halves.x25519))
      if (!secretX25519) return undefined
      const secretMlKem = owned(decapsulate(mlKem.key, view(halves.mlKem)))
      return combine({ secretMlKem, secretX25519, ciphertextX25519: halves.x25519, publicKeyX25519 })
    },
  }
}
