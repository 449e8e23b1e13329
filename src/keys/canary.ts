import { type Bytes, concatBytes, equalBytes, labelled, lengthPrefixed, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { DEPLOYMENT, type StoredKey, unwrapKey, wrapNewKey } from './stored-key.ts'

const LABEL = 'sealwire/canary/v1'

/** `public` of a canary: ek[1184] || ct_kem[1088] || nonce[12] || AES-256-GCM of the known text, tag[16]. */
const CIPHERTEXT_AT = sizes.kemPublicKey
const NONCE_AT = CIPHERTEXT_AT + sizes.kemCiphertext
const SEALED_AT = NONCE_AT + sizes.gcmNonce

const known = (id: string): Bytes => labelled(LABEL, lengthPrefixed(id))

function aesKey(provider: CryptoProvider, sharedSecret: Uint8Array, salt: Uint8Array, id: string): Bytes {
  return provider.hkdfSha512(sharedSecret, provider.sha512(salt), known(id), sizes.aesKey)
}

/** Makes the record that proves at every start that KMS, ML-KEM and AES-GCM still open what they once sealed. */
export async function makeCanary(provider: CryptoProvider, wrapper: KeyWrapper, nowMs: number): Promise<StoredKey> {
  const id = newId('can', nowMs)
  const seed = provider.randomBytes(sizes.kemSeed)
  const ek = provider.kemPrivateKey(seed).publicKey
  const kem = provider.kemPublicKey(ek)
  if (!kem) throw new AppError('internal', 'A new key was refused.')
  const { ciphertext, sharedSecret } = kem.encapsulate()
  const nonce = provider.randomBytes(sizes.gcmNonce)
  const key = aesKey(provider, sharedSecret, concatBytes(ciphertext, ek), id)
  const publicKey = concatBytes(ek, ciphertext, nonce, provider.aesGcmSeal(key, nonce, known(id), known(id)))
  const stored = await wrapNewKey(
    wrapper,
    { id, tenantId: DEPLOYMENT, purpose: 'canary', secret: seed, publicKey },
    nowMs,
  )
  wipe(seed, key, sharedSecret)
  return stored
}

/**
 * Opens the canary the whole way. A process whose canary does not open must not start: what it would seal, nobody could
 * open, and what is sealed, it cannot.
 *
 * @throws {AppError} `kms.unavailable`; the message names ids of keys, never bytes
 */
export async function checkCanary(provider: CryptoProvider, wrapper: KeyWrapper, canary: StoredKey): Promise<void> {
  const refuse = (cause: unknown) =>
    new AppError(
      'kms.unavailable',
      `Canary ${canary.id}, wrapped under KMS key ${canary.kmsKeyId}, did not open with the ${wrapper.provider} key wrapper (its key: ${wrapper.defaultKeyId}). Is the wrapper there, with the keys that this database was made with?`,
      { cause },
    )
  let seed: Bytes
  try {
    seed = await unwrapKey(wrapper, canary)
  } catch (err) {
    throw refuse(err)
  }
  const bytes = canary.publicKey
  if (seed.length !== sizes.kemSeed || !bytes || bytes.length <= SEALED_AT) throw refuse('not a canary')
  const kem = provider.kemPrivateKey(seed)
  const salt = concatBytes(bytes.subarray(CIPHERTEXT_AT, NONCE_AT), bytes.subarray(0, CIPHERTEXT_AT))
  const sharedSecret = kem.decapsulate(bytes.subarray(CIPHERTEXT_AT, NONCE_AT))
  const key = aesKey(provider, sharedSecret, salt, canary.id)
  const nonce = bytes.subarray(NONCE_AT, SEALED_AT)
  const opened = provider.aesGcmOpen(key, nonce, bytes.subarray(SEALED_AT), known(canary.id))
  wipe(seed, key, sharedSecret)
  if (!opened || !equalBytes(opened, known(canary.id))) throw refuse('the known text did not open')
}
