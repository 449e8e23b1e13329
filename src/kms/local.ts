import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { createKeyRing, type KeyRing, type RingKey, readKeyRing } from './key-ring-file.ts'
import type { KeyWrapper } from './kms.ts'
import { unwrapLocally, wrapLocally } from './local-wrap.ts'

export interface LocalKeyWrapperOptions {
  file: string
  provider: CryptoProvider
  /** True only for the first start of an empty database: a new key opens nothing that was wrapped before. */
  createIfEmpty: boolean
}

/** The same bound as KMS has for `Encrypt`, so that what works here works there. */
const PLAINTEXT_MAX = 4096

function unavailable(reason: string): AppError {
  return new AppError('kms.unavailable', 'The key wrapper does not answer.', { cause: new Error(reason) })
}

/**
 * Opens the key wrapper that needs no KMS: a ring of keys in a file of mode 0600. Whoever reads the file reads everything.
 *
 * @throws {Error} when the file is missing (and may not be made), malformed, or readable by others; names key ids only
 */
export async function openLocalKeyWrapper(options: LocalKeyWrapperOptions): Promise<KeyWrapper> {
  const { file, provider, createIfEmpty } = options
  let ring = await readKeyRing(file)
  if (!ring && createIfEmpty) {
    await createKeyRing(file, provider)
    ring = await readKeyRing(file)
  }
  if (!ring) throw new Error(`${file} is missing: restore the key file that belongs to this database.`)
  return wrapperOf(ring, provider)
}

function wrapperOf(ring: KeyRing, provider: CryptoProvider): KeyWrapper {
  const keys = new Map(ring.keys.map((key) => [key.id, key]))

  function find(keyId: string): RingKey {
    const key = keys.get(keyId)
    if (!key) throw unavailable(`The ring has no key ${keyId}, only ${[...keys.keys()].join(', ')}.`)
    return key
  }

  return {
    provider: 'local',
    defaultKeyId: ring.primary,
    async wrap(keyId, plaintext, context) {
      const key = find(keyId)
      if (plaintext.length === 0 || plaintext.length > PLAINTEXT_MAX) {
        throw unavailable(`Cannot wrap ${plaintext.length} bytes: 1 to ${PLAINTEXT_MAX} are possible.`)
      }
      return { keyId, wrapped: wrapLocally(provider, key, plaintext, context) }
    },
    async unwrap(keyId, wrapped, context) {
      const plaintext = unwrapLocally(provider, find(keyId), wrapped, context)
      if (!plaintext) throw unavailable(`The key ${keyId} did not open a wrap for ${context.purpose}.`)
      return plaintext
    },
  }
}
