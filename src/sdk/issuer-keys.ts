import { fromBase64Url } from '../core/base64.ts'
import { decodeUtf8 } from '../core/bytes.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { MAX_SKEW_S } from '../envelope/expectation.ts'
import { openKeyDocument, rootFingerprint } from '../envelope/key-document.ts'
import type { IssuerKey } from '../envelope/open.ts'
import { isPrivateWay } from './base-url.ts'
import { clockHint } from './clock-hint.ts'
import type { Connection } from './connection.ts'
import { SealwireError, toSealwireError } from './sealwire-error.ts'
import { isRecord } from './wrapper.ts'

/** As the document's own `max-age`: after this, a revoked key is known as revoked. */
const REFRESH_AFTER_MS = 300_000
/** Between two fetches, whoever asks for them. */
const FETCH_AT_MOST_EVERY_MS = 60_000
const FETCH_TIMEOUT_MS = 10_000
const PATH = '/.well-known/sealwire-keys'

export type IssuerKeyMap = ReadonlyMap<string, IssuerKey>

/** Waits for work that others wait for too; the signal ends the waiting, not the work. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

async function fetchDocument(connection: Connection, signal: AbortSignal): Promise<unknown> {
  const headers = { Accept: 'application/json' }
  const answer = await connection.exchange({ method: 'GET', url: connection.baseUrl + PATH, headers, signal })
  if (answer.httpStatus === 200 && isRecord(answer.json)) return answer.json
  const message = `No key document at ${PATH} (HTTP ${answer.httpStatus}).`
  const { retryAfterS } = answer
  throw new SealwireError('answer.invalid', message, { outcome: 'unavailable', status: answer.httpStatus, retryAfterS })
}

/** `iat` and `exp` of a document that was verified, in Unix seconds. */
function timesOf(document: unknown): { iat: number; exp: number } {
  const signed = isRecord(document) ? fromBase64Url(String(document['signed'])) : undefined
  const content = signed && parseStrictJson(decodeUtf8(signed))
  return isRecord(content) ? { iat: Number(content['iat']), exp: Number(content['exp']) } : { iat: 0, exp: 0 }
}

/**
 * Trusts the root that a server shows, on first use: over TLS, or on this machine.
 *
 * @returns its fingerprint, base64url of SHA-384, to be pinned from now on
 * @throws {SealwireError} `envelope.issuer_unknown` when someone on the way could have answered
 */
export async function trustOnFirstUse(
  connection: Connection,
  provider: CryptoProvider,
  signal: AbortSignal,
): Promise<string> {
  if (!isPrivateWay(connection.baseUrl)) {
    const message = 'A root is trusted on first use over https:// only. Pass the fingerprint from the server log.'
    throw new SealwireError('envelope.issuer_unknown', message, { outcome: 'rejected' })
  }
  const document = await fetchDocument(connection, signal)
  const root = isRecord(document) ? fromBase64Url(String(document['root_pub'])) : undefined
  if (root) return rootFingerprint(provider, root)
  throw new SealwireError('answer.invalid', 'The key document has no root key.', { outcome: 'unavailable' })
}

async function fetchInTime(connection: Connection): Promise<unknown> {
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS)
  try {
    return await fetchDocument(connection, signal)
  } catch (err) {
    if (!signal.aborted) throw err
    throw new SealwireError('network', `The key document at ${PATH} did not arrive.`, {
      outcome: 'unavailable',
      cause: err,
    })
  }
}

/** Nothing was sent when the keys are missing, so the operation did not run, whatever kept them away. */
function beforeSending(err: unknown): SealwireError {
  const error = toSealwireError(err, 'rejected')
  return error.withOutcome(error.code === 'network' ? 'unavailable' : error.outcome)
}

export type IssuerKeys = ReturnType<typeof createIssuerKeys>

/** Fetches for one judgement: another call may have brought newer keys, and after that this one may ask itself. */
const MAX_RENEWALS = 2

interface Kept {
  readonly keys: IssuerKeyMap
  /** Unix seconds. */
  readonly iat: number
  readonly exp: number
  /** On the monotonic clock. */
  readonly freshAtMs: number
}

/** Keeps the key document of one server, believed under one pinned root. Fetches are shared and at most one a minute. */
export function createIssuerKeys(connection: Connection, provider: CryptoProvider, root: string) {
  const { clock } = connection
  let kept: Kept | undefined
  let triedAtMs = Number.NEGATIVE_INFINITY
  let fetching: Promise<IssuerKeyMap> | undefined

  const nowS = () => Math.floor(clock.now() / 1000)
  /** What is kept serves until its own end, and no longer. */
  const isServing = (one: Kept | undefined): one is Kept => one !== undefined && nowS() - one.exp <= MAX_SKEW_S
  const isFresh = (one: Kept) => clock.monotonic() - one.freshAtMs < REFRESH_AFTER_MS
  const mayTry = () => clock.monotonic() - triedAtMs >= FETCH_AT_MOST_EVERY_MS
  /** Envelopes and documents of another time may also be of this time, and the clock wrong. */
  const explained = (error: SealwireError) => error.withHint(clockHint(connection.skewMs()))

  async function fetchKeys(): Promise<IssuerKeyMap> {
    triedAtMs = clock.monotonic()
    const document = await fetchInTime(connection)
    const keys = openKeyDocument(provider, document, root, nowS())
    const times = timesOf(document)
    if (kept && times.iat < kept.iat) return kept.keys // going back in time could bring a revoked key back
    kept = { ...times, keys, freshAtMs: clock.monotonic() }
    return keys
  }

  function refresh(signal: AbortSignal): Promise<IssuerKeyMap> {
    fetching ??= fetchKeys().finally(() => {
      fetching = undefined
    })
    return untilAborted(fetching, signal)
  }

  function withoutKeys(cause: unknown): SealwireError {
    if (!kept) return explained(beforeSending(cause))
    const message = 'The key document has expired, and no newer one could be had.'
    return explained(new SealwireError('envelope.issuer_unknown', message, { outcome: 'rejected', cause }))
  }

  /** Keys that another call brought meanwhile, or fresh ones; `undefined` when it is too early to ask again. */
  async function newerThan(known: IssuerKeyMap, signal: AbortSignal): Promise<IssuerKeyMap | undefined> {
    if (kept && kept.keys !== known) return kept.keys
    if (!fetching && !mayTry()) return undefined
    const keys = await refresh(signal)
    return keys === known ? undefined : keys
  }

  return {
    /**
     * Loads the keys. Done before a call is sent, so that no call is made whose answer nobody could judge.
     *
     * @throws {SealwireError} `network`, `answer.invalid`; `envelope.issuer_unknown` for a document under another root, or
     * of another time
     */
    async load(signal: AbortSignal): Promise<IssuerKeyMap> {
      if (isServing(kept) && isFresh(kept)) return kept.keys
      try {
        if (!kept || mayTry() || (fetching && !isServing(kept))) return await refresh(signal)
      } catch (err) {
        signal.throwIfAborted()
        if (!isServing(kept)) throw withoutKeys(err)
      }
      if (!isServing(kept)) throw withoutKeys(undefined)
      return kept.keys
    },

    /** Runs `judge` with the keys, and again with newer ones when it met a key that they do not hold. */
    async judge<T>(keys: IssuerKeyMap, signal: AbortSignal, judge: (keys: IssuerKeyMap) => T): Promise<T> {
      let known = keys
      for (let renewals = 0; ; renewals++) {
        try {
          return judge(known)
        } catch (err) {
          const error = toSealwireError(err, 'unknown')
          if (error.code === 'envelope.stale') throw explained(error)
          if (error.code !== 'envelope.issuer_unknown' || renewals === MAX_RENEWALS) throw error
          const newer = await newerThan(known, signal).catch((cause: unknown) => {
            throw new SealwireError(error.code, error.message, { outcome: 'unknown', cause })
          })
          if (!newer) throw error
          known = newer
        }
      }
    },
  }
}
