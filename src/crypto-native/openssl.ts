import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  decapsulate,
  encapsulate,
  hash,
  hkdfSync,
  type KeyObject,
  randomFillSync,
  sign,
  verify,
} from 'node:crypto'
import type { Bytes } from '../core/bytes.ts'
import { checkContext, checkHkdf, checkLength, MAX_CONTEXT } from '../crypto/check-length.ts'
import type { CryptoProvider, KemPrivateKey, KemPublicKey, MacKey, SigningKey, VerifyKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'

type KeyType = 'ml-kem-768' | 'ml-dsa-65'

/** Takes over a `Buffer` without copying when it owns its memory, as the results of node:crypto do, else copies. */
function owned(buffer: Buffer): Bytes {
  return buffer.byteLength === buffer.buffer.byteLength
    ? new Uint8Array(buffer.buffer as ArrayBuffer)
    : new Uint8Array(buffer)
}

/** node:crypto takes raw keys as `Buffer` only; the view shares memory with `bytes`. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function importPublic(type: KeyType, bytes: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: view(bytes), format: 'raw-public', asymmetricKeyType: type })
  } catch {
    return undefined // wrong length, or a coefficient over the modulus (FIPS 203 §7.2)
  }
}

function importSeed(type: KeyType, seed: Uint8Array): { key: KeyObject; publicKey: Bytes } {
  const key = createPrivateKey({ key: view(seed), format: 'raw-seed', asymmetricKeyType: type })
  return { key, publicKey: owned(createPublicKey(key).export({ format: 'raw-public' })) }
}

function kemPublicKey(bytes: Uint8Array): KemPublicKey | undefined {
  const key = importPublic('ml-kem-768', bytes)
  if (!key) return undefined
  return {
    bytes: new Uint8Array(bytes),
    encapsulate() {
      const { ciphertext, sharedKey } = encapsulate(key)
      return { ciphertext: owned(ciphertext), sharedSecret: owned(sharedKey) }
    },
  }
}

function kemPrivateKey(seed: Uint8Array): KemPrivateKey {
  checkLength('ML-KEM seed', seed, sizes.kemSeed)
  const { key, publicKey } = importSeed('ml-kem-768', seed)
  return {
    publicKey,
    decapsulate(ciphertext) {
      checkLength('ML-KEM ciphertext', ciphertext, sizes.kemCiphertext)
      return owned(decapsulate(key, ciphertext))
    },
  }
}

function verifyKey(bytes: Uint8Array): VerifyKey | undefined {
  const key = importPublic('ml-dsa-65', bytes)
  if (!key) return undefined
  return {
    bytes: new Uint8Array(bytes),
    verify(message, context, signature) {
      if (signature.length !== sizes.dsaSignature || context.length > MAX_CONTEXT) return false
      return verify(null, message, { key, context }, signature)
    },
  }
}

function signingKey(seed: Uint8Array): SigningKey {
  checkLength('ML-DSA seed', seed, sizes.dsaSeed)
  const { key, publicKey } = importSeed('ml-dsa-65', seed)
  return {
    publicKey,
    sign(message, context) {
      checkContext(context)
      return new Promise((resolve, reject) => {
        sign(null, message, { key, context }, (err, signature) => (err ? reject(err) : resolve(owned(signature))))
      })
    },
  }
}

function macKey(key: Uint8Array): MacKey {
  const secret = createSecretKey(key)
  return { mac: (message) => owned(createHmac('sha512', secret).update(message).digest()) }
}

function checkAead(key: Uint8Array, nonce: Uint8Array): void {
  checkLength('AES-256 key', key, sizes.aesKey)
  checkLength('GCM nonce', nonce, sizes.gcmNonce)
}

function aesGcmSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Bytes {
  checkAead(key, nonce)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: sizes.gcmTag }).setAAD(aad)
  const sealed = new Uint8Array(plaintext.length + sizes.gcmTag)
  sealed.set(cipher.update(plaintext)) // GCM is a stream mode: `final` brings no more bytes
  cipher.final()
  sealed.set(cipher.getAuthTag(), plaintext.length)
  return sealed
}

function aesGcmOpen(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Bytes | undefined {
  checkAead(key, nonce)
  if (sealed.length < sizes.gcmTag) return undefined
  const end = sealed.length - sizes.gcmTag
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: sizes.gcmTag })
  decipher.setAAD(aad).setAuthTag(sealed.subarray(end))
  const plaintext = owned(decipher.update(sealed.subarray(0, end)))
  try {
    decipher.final()
  } catch {
    plaintext.fill(0)
    return undefined // the tag does not fit: lengths were checked above
  }
  return plaintext
}

/** The server's provider: OpenSSL ≥ 3.5 through node:crypto. Everything is synchronous but `sign`, which uses the thread pool. */
export const opensslProvider: CryptoProvider = {
  name: 'openssl',
  randomBytes: (length) => randomFillSync(new Uint8Array(length)),
  sha384: (message) => owned(hash('sha384', message, 'buffer')),
  sha512: (message) => owned(hash('sha512', message, 'buffer')),
  sha3_256: (message) => owned(hash('sha3-256', message, 'buffer')),
  macKey,
  hkdfSha512(ikm, salt, info, length) {
    checkHkdf(info, length)
    return new Uint8Array(hkdfSync('sha512', ikm, salt, info, length))
  },
  aesGcmSeal,
  aesGcmOpen,
  kemPublicKey,
  kemPrivateKey,
  verifyKey,
  signingKey,
}

/** Reports whether this Node has what the provider needs: ML-KEM and ML-DSA with raw key formats. */
export function isOpensslCapable(): boolean {
  try {
    importSeed('ml-dsa-65', new Uint8Array(sizes.dsaSeed))
    const { publicKey } = importSeed('ml-kem-768', new Uint8Array(sizes.kemSeed))
    return kemPublicKey(publicKey)?.encapsulate().ciphertext.length === sizes.kemCiphertext
  } catch {
    return false // an older OpenSSL does not know these names
  }
}
