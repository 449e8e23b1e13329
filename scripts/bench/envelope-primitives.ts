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
  randomFillSync,
  verify,
} from 'node:crypto'
import { gcm } from '@noble/ciphers/aes.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha384, sha512 } from '@noble/hashes/sha2.js'
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { sizes } from '#src/crypto/sizes.ts'

/** Everything that the primitives of one envelope take, ready made and of the lengths that they have there. */
export interface Ingredients {
  readonly kemSeed: Uint8Array
  readonly ek: Uint8Array
  readonly ciphertextKem: Uint8Array
  readonly macKey: Uint8Array
  readonly aesKey: Uint8Array
  readonly nonce: Uint8Array
  readonly aad: Uint8Array
  readonly plaintext: Uint8Array
  /** `ciphertext || tag` of the plaintext. */
  readonly sealed: Uint8Array
  /** What HKDF takes as `info`. */
  readonly info: Uint8Array
  /** What the HMAC is over; the leaf is a hash of one byte more. */
  readonly transcript: Uint8Array
  readonly leafInput: Uint8Array
  readonly issuerPublicKey: Uint8Array
  readonly rootMessage: Uint8Array
  readonly context: Uint8Array
  readonly signature: Uint8Array
}

/** The primitives of sealing, of verifying and of opening, each called once on inputs that lie ready: no format, no copies. */
export interface RawOperations {
  seal(): void
  verify(): void
  open(): void
}

const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const OKM_BYTES = sizes.aesKey + sizes.commitment

function assertTrue(isTrue: boolean): void {
  if (!isTrue) throw new Error('the primitives do not agree with the envelope')
}

export function rawOpenssl(given: Ingredients): RawOperations {
  const { aad, plaintext, sealed, info, transcript, leafInput, nonce, aesKey } = given
  const ek = createPublicKey({ key: view(given.ek), format: 'raw-public', asymmetricKeyType: 'ml-kem-768' })
  const dk = createPrivateKey({ key: view(given.kemSeed), format: 'raw-seed', asymmetricKeyType: 'ml-kem-768' })
  const issuer = createPublicKey({
    key: view(given.issuerPublicKey),
    format: 'raw-public',
    asymmetricKeyType: 'ml-dsa-65',
  })
  const mac = createSecretKey(given.macKey)
  const saltInput = Buffer.concat([given.ciphertextKem, given.ek])
  const body = sealed.subarray(0, plaintext.length)
  const tag = sealed.subarray(plaintext.length)
  const derive = (secret: Uint8Array) =>
    hkdfSync('sha512', secret, hash('sha512', saltInput, 'buffer'), info, OKM_BYTES)
  const authenticate = () => createHmac('sha512', mac).update(transcript).digest()

  function verifySignature(): void {
    hash('sha384', leafInput, 'buffer')
    assertTrue(verify(null, given.rootMessage, { key: issuer, context: given.context }, given.signature))
  }
  return {
    seal() {
      derive(encapsulate(ek).sharedKey)
      randomFillSync(new Uint8Array(sizes.gcmNonce))
      const cipher = createCipheriv('aes-256-gcm', aesKey, nonce, { authTagLength: sizes.gcmTag }).setAAD(aad)
      cipher.update(plaintext)
      cipher.final()
      cipher.getAuthTag()
      hash('sha384', leafInput, 'buffer')
      authenticate()
    },
    verify: verifySignature,
    open() {
      verifySignature()
      authenticate()
      derive(decapsulate(dk, given.ciphertextKem))
      const decipher = createDecipheriv('aes-256-gcm', aesKey, nonce, { authTagLength: sizes.gcmTag })
      decipher.setAAD(aad).setAuthTag(tag)
      decipher.update(body)
      decipher.final()
    },
  }
}

export function rawNoble(given: Ingredients): RawOperations {
  const { aad, plaintext, sealed, info, transcript, leafInput, nonce, aesKey, context } = given
  const ek = ml_kem768.prepare(given.ek)
  const { secretKey } = ml_kem768.keygen(given.kemSeed)
  const mac = hmac.create(sha512, given.macKey)
  const saltInput = Buffer.concat([given.ciphertextKem, given.ek])
  const derive = (secret: Uint8Array) => hkdf(sha512, secret, sha512(saltInput), info, OKM_BYTES)
  const authenticate = () => mac.clone().update(transcript).digest()

  function verifySignature(): void {
    sha384(leafInput)
    assertTrue(ml_dsa65.verify(given.signature, given.rootMessage, given.issuerPublicKey, { context }))
  }
  return {
    seal() {
      derive(ek.encapsulate().sharedSecret)
      crypto.getRandomValues(new Uint8Array(sizes.gcmNonce))
      gcm(aesKey, nonce, aad).encrypt(plaintext)
      sha384(leafInput)
      authenticate()
    },
    verify: verifySignature,
    open() {
      verifySignature()
      authenticate()
      derive(ml_kem768.decapsulate(given.ciphertextKem, secretKey))
      gcm(aesKey, nonce, aad).decrypt(sealed)
    },
  }
}
