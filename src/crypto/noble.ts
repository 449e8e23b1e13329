import { gcm } from '@noble/ciphers/aes.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha384, sha512 } from '@noble/hashes/sha2.js'
import { sha3_256 } from '@noble/hashes/sha3.js'
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js'
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { type KEMPrepared, ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { type Bytes, copyBytes, wipe } from '../core/bytes.ts'
import { checkContext, checkHkdf, checkLength, MAX_CONTEXT } from './check-length.ts'
import type {
  CryptoProvider,
  KemPrivateKey,
  KemPublicKey,
  MacKey,
  PostableKey,
  SigningKey,
  VerifyKey,
  XWingPrivateKey,
} from './provider.ts'
import { sizes } from './sizes.ts'

/** `getRandomValues` refuses more at once (Web Cryptography API §10.1.1). */
const RANDOM_QUOTA = 65_536

function randomBytes(length: number): Bytes {
  const out = new Uint8Array(length)
  for (let at = 0; at < length; at += RANDOM_QUOTA) crypto.getRandomValues(out.subarray(at, at + RANDOM_QUOTA))
  return out
}

function kemPublicKey(bytes: Uint8Array): KemPublicKey | undefined {
  if (bytes.length !== sizes.kemPublicKey) return undefined
  let prepared: KEMPrepared
  try {
    prepared = ml_kem768.prepare(bytes)
  } catch {
    return undefined // a coefficient over the modulus, the one thing left to refuse
  }
  return {
    bytes: copyBytes(bytes),
    encapsulate() {
      const { cipherText, sharedSecret } = prepared.encapsulate()
      return { ciphertext: copyBytes(cipherText), sharedSecret: copyBytes(sharedSecret) }
    },
  }
}

function kemPrivateKey(seed: Uint8Array): KemPrivateKey {
  checkLength('ML-KEM seed', seed, sizes.kemSeed)
  const { publicKey, secretKey } = ml_kem768.keygen(seed)
  return {
    publicKey: copyBytes(publicKey),
    decapsulate(ciphertext) {
      checkLength('ML-KEM ciphertext', ciphertext, sizes.kemCiphertext)
      return copyBytes(ml_kem768.decapsulate(ciphertext, secretKey))
    },
  }
}

/** The library's X-Wing, which refuses an X25519 result of zero; encapsulating once shows whether it refuses this key. */
function xWingPublicKey(bytes: Uint8Array): KemPublicKey | undefined {
  if (bytes.length !== sizes.xWingPublicKey) return undefined
  const key = copyBytes(bytes)
  const encapsulate = () => {
    const { cipherText, sharedSecret } = ml_kem768_x25519.encapsulate(key)
    return { ciphertext: copyBytes(cipherText), sharedSecret: copyBytes(sharedSecret) }
  }
  try {
    wipe(encapsulate().sharedSecret)
  } catch {
    return undefined // a coefficient over the modulus, or a point of low order: the length was checked above
  }
  return { bytes: key, encapsulate }
}

function xWingPrivateKey(seed: Uint8Array): XWingPrivateKey {
  checkLength('X-Wing seed', seed, sizes.xWingSeed)
  const { publicKey, secretKey } = ml_kem768_x25519.keygen(seed)
  return {
    publicKey: copyBytes(publicKey),
    decapsulate(ciphertext) {
      checkLength('X-Wing ciphertext', ciphertext, sizes.xWingCiphertext)
      try {
        return copyBytes(ml_kem768_x25519.decapsulate(ciphertext, secretKey))
      } catch {
        return undefined // a point of low order, the one thing left to refuse
      }
    },
  }
}

function verifyKey(bytes: Uint8Array): VerifyKey | undefined {
  if (bytes.length !== sizes.dsaPublicKey) return undefined
  const key = copyBytes(bytes)
  const verify: VerifyKey['verify'] = (message, context, signature) => {
    if (signature.length !== sizes.dsaSignature || context.length > MAX_CONTEXT) return false
    return ml_dsa65.verify(signature, message, key, { context })
  }
  return { bytes: key, verify, verifyAsync: async (...given) => verify(...given) }
}

function signingKey(seed: Uint8Array): SigningKey {
  checkLength('ML-DSA seed', seed, sizes.dsaSeed)
  const { publicKey, secretKey } = ml_dsa65.keygen(seed)
  return {
    publicKey: copyBytes(publicKey),
    postable: copyBytes(seed),
    async sign(message, context) {
      checkContext(context)
      return copyBytes(ml_dsa65.sign(message, secretKey, { context }))
    },
  }
}

function macKey(key: Uint8Array): MacKey {
  const keyed = hmac.create(sha512, key)
  return { postable: copyBytes(key), mac: (message) => copyBytes(keyed.clone().update(message).digest()) }
}

/** Bytes that were posted are this thread's own copy: they are wiped once the key, which has one as well, is made of them. */
function posted<Key>(make: (bytes: Uint8Array) => Key, key: PostableKey): Key {
  if (!(key instanceof Uint8Array)) throw new TypeError('Not a key of this provider')
  const made = make(key)
  wipe(key)
  return made
}

function checkAead(key: Uint8Array, nonce: Uint8Array): void {
  checkLength('AES-256 key', key, sizes.aesKey)
  checkLength('GCM nonce', nonce, sizes.gcmNonce)
}

/** The portable provider: pure JavaScript (the noble libraries), in Node and in browsers. Best-effort constant time. */
export const nobleProvider: CryptoProvider = {
  name: 'noble',
  randomBytes,
  sha384: (message) => copyBytes(sha384(message)),
  sha512: (message) => copyBytes(sha512(message)),
  sha3_256: (message) => copyBytes(sha3_256(message)),
  macKey,
  postedMacKey: (key) => posted(macKey, key),
  hkdfSha512(ikm, salt, info, length) {
    checkHkdf(info, length)
    return copyBytes(hkdf(sha512, ikm, salt, info, length))
  },
  aesGcmSeal(key, nonce, plaintext, aad) {
    checkAead(key, nonce)
    return copyBytes(gcm(key, nonce, aad).encrypt(plaintext))
  },
  aesGcmOpen(key, nonce, sealed, aad) {
    checkAead(key, nonce)
    if (sealed.length < sizes.gcmTag) return undefined
    try {
      return copyBytes(gcm(key, nonce, aad).decrypt(sealed))
    } catch {
      return undefined // the tag does not fit: lengths were checked above
    }
  },
  kemPublicKey,
  kemPrivateKey,
  xWingPublicKey,
  xWingPrivateKey,
  verifyKey,
  signingKey,
  postedSigningKey: (key) => posted(signingKey, key),
}
