import { stat } from 'node:fs/promises'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { createKeyRing, type KeyRing, makeRingKey, readKeyRing, replaceKeyRing } from './key-ring-file.ts'
import { type KeyRingControl, type KeyWrapper, WrapRefusedError } from './kms.ts'
import { unwrapLocally, wrapLocally } from './local-wrap.ts'

export interface LocalKeyWrapperOptions {
  file: string
  provider: CryptoProvider
  /** True only for the first start of an empty database: a new key opens nothing that was wrapped before. */
  createIfEmpty: boolean
}

/** The same bound as KMS has for `Encrypt`, so that what works here works there. */
const PLAINTEXT_MAX = 4096
/** Keys in a ring: each waits for its rows to move, and is removed then. */
const KEYS_MAX = 64
const KEY_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/

function unavailable(cause: Error): AppError {
  return new AppError('kms.unavailable', 'The key wrapper does not answer.', { cause })
}

/** What changes with every replacement of a file; `undefined` while there is none. */
async function fingerprint(file: string): Promise<string | undefined> {
  try {
    const { ino, mtimeNs, size } = await stat(file, { bigint: true })
    return [ino, mtimeNs, size].join('/')
  } catch {
    return undefined // moved away, or not ours to see: what is in memory serves
  }
}

/**
 * Opens the key wrapper that needs no KMS: a ring of keys in a file of mode 0600. Whoever reads the file reads everything.
 * Keys that another process adds are found when they are first needed.
 *
 * @throws {Error} when the file is missing (and may not be made), malformed, or readable by others; names key ids only
 */
export async function openLocalKeyWrapper(options: LocalKeyWrapperOptions): Promise<KeyWrapper> {
  const { file, provider, createIfEmpty } = options
  if (createIfEmpty && !(await readKeyRing(file))) await createKeyRing(file, provider)
  const seen = await fingerprint(file)
  const ring = await readKeyRing(file)
  if (!ring) throw new Error(`${file} is missing: restore the key file that belongs to this database.`)
  return wrapperOf(options, ring, seen)
}

function wrapperOf(
  { file, provider }: LocalKeyWrapperOptions,
  first: KeyRing,
  firstSeen: string | undefined,
): KeyWrapper & { readonly ring: KeyRingControl } {
  let ring = first
  let seen = firstSeen

  async function reload(): Promise<void> {
    const now = await fingerprint(file)
    if (now === undefined || now === seen) return
    let found: KeyRing | undefined
    try {
      found = await readKeyRing(file)
    } catch (err) {
      throw new AppError('kms.unavailable', 'The key wrapper does not answer.', { cause: err })
    }
    if (!found) return
    ring = found
    seen = now
  }

  const known = (keyId: string) => ring.keys.find(({ id }) => id === keyId)

  const absent = (keyId: string) => `The ring has no key ${keyId}, only ${ring.keys.map(({ id }) => id).join(', ')}.`

  async function replace(next: KeyRing): Promise<void> {
    await replaceKeyRing(file, next)
    await reload()
  }

  return {
    provider: 'local',
    get defaultKeyId() {
      return ring.primary
    },
    async wrap(keyId, plaintext, context) {
      await reload() // nothing is wrapped under a key that was removed meanwhile
      const key = known(keyId)
      if (!key) throw unavailable(new Error(absent(keyId)))
      if (plaintext.length === 0 || plaintext.length > PLAINTEXT_MAX) {
        throw unavailable(new Error(`Cannot wrap ${plaintext.length} bytes: 1 to ${PLAINTEXT_MAX} are possible.`))
      }
      return { keyId, wrapped: wrapLocally(provider, key, plaintext, context) }
    },
    async unwrap(keyId, wrapped, context) {
      if (!known(keyId)) await reload()
      const key = known(keyId)
      if (!key) throw unavailable(new WrapRefusedError(absent(keyId)))
      const plaintext = unwrapLocally(provider, key, wrapped, context)
      if (plaintext) return plaintext
      throw unavailable(new WrapRefusedError(`The key ${keyId} did not open a wrap for ${context.purpose}.`))
    },
    ring: {
      refresh: reload,
      ids: () => ring.keys.map(({ id }) => id),
      async add(keyId, { primary }) {
        if (!KEY_ID.test(keyId)) {
          throw new AppError('request.invalid', 'KMS key id: 1 to 128 of letters, digits, dots, colons, _ and -.')
        }
        await reload()
        const keys = known(keyId) ? ring.keys : [...ring.keys, makeRingKey(provider, keyId)]
        if (keys.length > KEYS_MAX) {
          throw new AppError('quota.exceeded', `The ring has ${KEYS_MAX} keys: remove those that nothing needs first.`)
        }
        await replace({ primary: primary ? keyId : ring.primary, keys })
      },
      async remove(keyId) {
        await reload()
        if (!known(keyId)) throw new AppError('object.not_found', 'The ring has no such key.')
        if (keyId === ring.primary) throw new AppError('object.in_use', 'It is the key for new wraps.')
        await replace({ primary: ring.primary, keys: ring.keys.filter(({ id }) => id !== keyId) })
      },
    },
  }
}
