import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  decapsulate,
  encapsulate,
  hash,
  hkdfSync,
  KeyObject,
  randomFillSync,
  sign,
  verify,
} from 'node:crypto'
import type { Bytes } from '../core/bytes.ts'
import { checkContext, checkHkdf, checkLength, MAX_CONTEXT } from '../crypto/check-length.ts'
import type {
  CryptoProvider,
  KemPrivateKey,
  KemPublicKey,
  MacKey,
  PostableKey,
  SigningKey,
  VerifyKey,
} from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { importPublic, importSeed, owned, publicHalf } from './raw-keys.ts'
import { xWingPrivateKey, xWingPublicKey } from './x-wing.ts'

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
    async verifyAsync(message, context, signature) {
      if (signature.length !== sizes.dsaSignature || context.length > MAX_CONTEXT) return false
      return new Promise((resolve, reject) => {
        verify(null, message, { key, context }, signature, (err, isValid) => (err ? reject(err) : resolve(isValid)))
      })
    },
  }
}

/** Where signatures are made and verified: on Node's thread pool, or in the thread that asks. */
type Where = 'pool' | 'here'

function signingKeyOf(key: KeyObject, publicKey: Bytes, where: Where): SigningKey {
  return {
    publicKey,
    postable: key,
    async sign(message, context) {
      checkContext(context)
      if (where === 'here') return owned(sign(null, message, { key, context }))
      return new Promise((resolve, reject) => {
        sign(null, message, { key, context }, (err, signature) => (err ? reject(err) : resolve(owned(signature))))
      })
    },
  }
}

function signingKey(seed: Uint8Array): SigningKey {
  checkLength('ML-DSA seed', seed, sizes.dsaSeed)
  const { key, publicKey } = importSeed('ml-dsa-65', seed)
  return signingKeyOf(key, publicKey, 'pool')
}

function macKeyOf(key: KeyObject): MacKey {
  return { postable: key, mac: (message) => owned(createHmac('sha512', key).update(message).digest()) }
}

/** Takes a key that was posted: a handle, which no other provider makes. */
function posted<Key>(make: (key: KeyObject) => Key, key: PostableKey): Key {
  if (!(key instanceof KeyObject)) throw new TypeError('Not a key of this provider')
  return make(key)
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

/** Small amounts come from a pool, because asking for 12 bytes costs as much as asking for thousands; what is handed out is wiped. */
const pool = new Uint8Array(8192)
const POOLED = 64
let used = pool.length

function randomBytes(length: number): Bytes {
  if (length > POOLED) return randomFillSync(new Uint8Array(length))
  if (used + length > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = pool.slice(used, used + length)
  pool.fill(0, used, used + length)
  used += length
  return bytes
}

/** The server's provider: OpenSSL ≥ 3.5 through node:crypto. Everything is synchronous but `sign`, which uses the thread pool. */
export const opensslProvider: CryptoProvider = {
  name: 'openssl',
  randomBytes,
  sha384: (message) => owned(hash('sha384', message, 'buffer')),
  sha512: (message) => owned(hash('sha512', message, 'buffer')),
  sha3_256: (message) => owned(hash('sha3-256', message, 'buffer')),
  macKey: (key) => macKeyOf(createSecretKey(key)),
  postedMacKey: (key) => posted(macKeyOf, key),
  hkdfSha512(ikm, salt, info, length) {
    checkHkdf(info, length)
    return new Uint8Array(hkdfSync('sha512', ikm, salt, info, length))
  },
  aesGcmSeal,
  aesGcmOpen,
  kemPublicKey,
  kemPrivateKey,
  xWingPublicKey,
  xWingPrivateKey,
  verifyKey,
  signingKey,
  postedSigningKey: (key) => posted((handle) => signingKeyOf(handle, publicHalf(handle), 'pool'), key),
}

/** The same for a thread that has nothing else to do: it signs and verifies itself. */
export const opensslInThread: CryptoProvider = {
  ...opensslProvider,
  postedSigningKey: (key) => posted((handle) => signingKeyOf(handle, publicHalf(handle), 'here'), key),
  verifyKey(bytes) {
    const key = verifyKey(bytes)
    return key && { ...key, verifyAsync: async (...given) => key.verify(...given) }
  },
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
