import { type Bytes, concatBytes, copyBytes, equalBytes, labelled, lengthPrefixed, wipe } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { encodeContext } from './context.ts'
import type { WrapContext } from './kms.ts'

/** One key of the ring. */
export interface LocalKey {
  id: string
  /** 32 bytes. */
  key: Bytes
}

const VERSION = Uint8Array.of(1)
const SALT_SIZE = 32
const LABEL = 'sealwire/kms-local/v1'

/** Everything between the inputs and the bytes of a wrap; the frozen vectors hold each of them. */
export interface Derivation {
  info: Bytes
  aad: Bytes
  aesKey: Bytes
  /** 32 bytes: binds the wrap to this key, which AES-GCM alone does not. */
  commitment: Bytes
}

/** Derives the keys of one wrap from a key of the ring and `salt` (32 bytes). RFC 5869. */
export function derive(provider: CryptoProvider, key: LocalKey, salt: Uint8Array, context: WrapContext): Derivation {
  const ctx = encodeContext(context)
  const info = labelled(LABEL, lengthPrefixed(key.id), ctx)
  const okm = provider.hkdfSha512(key.key, salt, info, sizes.aesKey + sizes.commitment)
  const derivation = {
    info,
    aad: concatBytes(VERSION, lengthPrefixed(key.id), salt, ctx),
    aesKey: copyBytes(okm.subarray(0, sizes.aesKey)),
    commitment: copyBytes(okm.subarray(sizes.aesKey)),
  }
  wipe(okm)
  return derivation
}

/** Returns `0x01 || LP(key_id) || salt[32] || commitment[32] || nonce[12] || ciphertext || tag[16]`. */
export function wrapLocally(
  provider: CryptoProvider,
  key: LocalKey,
  plaintext: Uint8Array,
  context: WrapContext,
): Bytes {
  const salt = provider.randomBytes(SALT_SIZE)
  const nonce = provider.randomBytes(sizes.gcmNonce)
  const { aad, aesKey, commitment } = derive(provider, key, salt, context)
  const sealed = provider.aesGcmSeal(aesKey, nonce, plaintext, aad)
  wipe(aesKey)
  return concatBytes(VERSION, lengthPrefixed(key.id), salt, commitment, nonce, sealed)
}

/** Opens what {@link wrapLocally} made with the same key and context; `undefined` for anything else, whatever the reason. */
export function unwrapLocally(
  provider: CryptoProvider,
  key: LocalKey,
  wrapped: Uint8Array,
  context: WrapContext,
): Bytes | undefined {
  const start = concatBytes(VERSION, lengthPrefixed(key.id))
  const fixed = SALT_SIZE + sizes.commitment + sizes.gcmNonce
  if (wrapped.length < start.length + fixed + sizes.gcmTag) return undefined
  if (!equalBytes(wrapped.subarray(0, start.length), start)) return undefined
  const body = wrapped.subarray(start.length)
  const salt = body.subarray(0, SALT_SIZE)
  const { aad, aesKey, commitment } = derive(provider, key, salt, context)
  const nonce = body.subarray(SALT_SIZE + sizes.commitment, fixed)
  const committed = equalBytes(body.subarray(SALT_SIZE, SALT_SIZE + sizes.commitment), commitment)
  const plaintext = committed ? provider.aesGcmOpen(aesKey, nonce, body.subarray(fixed), aad) : undefined
  wipe(aesKey)
  return plaintext
}
