import { LRUCache } from 'lru-cache'
import type { Caller } from '../audit/audit.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { Secret } from '../core/secret.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { SHARE_BYTES } from './record.ts'

/** The third part of an entry in split custody: 32 bytes that its holder has and we do not store. Whoever made it wipes it. */
export type CustodyShare = Secret<Bytes>

/** What a caller of the vault brings and wants. */
export interface CustodyOptions {
  /** Opens an entry in split custody. */
  readonly share?: CustodyShare | undefined
  /** Makes a new share: the entry is in split custody from then on, and opens with this share alone. */
  readonly enable?: boolean | undefined
}

const MAX_WRONG = 10
/** Milliseconds after which one more wrong share may be tried. */
const REGAIN_MS = 6_000
const REMEMBERED_MAX = 10_000

/** What opens with a share and did not: it is wrong, or the record was changed; one text for both. */
export const notOpenedByShare = (cause: unknown) =>
  new AppError('custody.rejected', 'The vault entry could not be opened with this custody key.', { cause })

/** The refusal of whoever opens an entry in split custody without its share. */
export const shareRequired = () =>
  new AppError(
    'custody.required',
    'This entry is in split custody: send the custody key that sealing it returned, as X-Vault-Custody-Key.',
  )

/** The refusal of a share for an entry that has none. */
export const shareUnexpected = () =>
  new AppError('request.invalid', 'X-Vault-Custody-Key: this entry is not in split custody; leave it out.')

/** Runs a write with a new share where one is wanted; it is wiped unless the write succeeds. */
export async function withNewShare<T extends object>(
  provider: Pick<CryptoProvider, 'randomBytes'>,
  wanted: boolean,
  write: (share: CustodyShare | undefined) => Promise<T>,
): Promise<T | (T & { custodyShare: CustodyShare })> {
  if (!wanted) return write(undefined)
  const custodyShare = new Secret(provider.randomBytes(SHARE_BYTES))
  try {
    return { ...(await write(custodyShare)), custodyShare }
  } catch (err) {
    wipe(custodyShare.reveal())
    throw err
  }
}

export interface ShareAttempts {
  /**
   * Runs `open` with a share that may be wrong, for a caller. A success costs nothing; what is running counts until it has
   * ended.
   *
   * @throws {AppError} `rate.limited` before anything is opened; `custody.rejected` where `open` throws `vault.unavailable`
   */
  run<T>(entryKey: string, { actor }: Pick<Caller, 'actor'>, open: () => Promise<T>): Promise<T>
}

/**
 * Bounds wrong shares: ten of each caller for an entry, and another one every 6 s, in this process. A share has 256 bits, so
 * the bound keeps nobody from guessing; it keeps load from the key wrapper and from ML-KEM. It is for each caller, so that
 * nobody keeps the holder out by trying wrong ones.
 */
export function createShareAttempts({ clock }: { clock: Pick<Clock, 'monotonic'> }): ShareAttempts {
  /** The time at which all attempts of a caller for an entry are free again. */
  const freeAtMs = new LRUCache<string, number>({ max: REMEMBERED_MAX })

  function take(key: string): void {
    const nowMs = clock.monotonic()
    const free = Math.max(nowMs, freeAtMs.get(key) ?? nowMs)
    const overMs = free + REGAIN_MS - (nowMs + MAX_WRONG * REGAIN_MS)
    if (overMs > 0) {
      throw new AppError('rate.limited', 'Too many wrong custody keys for this entry.', {
        retryAfterS: Math.ceil(overMs / 1000),
      })
    }
    freeAtMs.set(key, free + REGAIN_MS)
  }

  return {
    async run(entryKey, { actor }, open) {
      const key = `${entryKey}/${actor.id}`
      take(key)
      try {
        const opened = await open()
        giveBack(key)
        return opened
      } catch (err) {
        if (!(err instanceof AppError) || err.code !== 'vault.unavailable') {
          giveBack(key) // a key wrapper or a database that is away says nothing about the share
          throw err
        }
        throw notOpenedByShare(err)
      }
    },
  }

  function giveBack(key: string): void {
    freeAtMs.set(key, (freeAtMs.get(key) ?? 0) - REGAIN_MS)
  }
}
