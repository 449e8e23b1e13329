import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { GuardedRequest } from '../../outbound/guarded-request.ts'
import type { JwtAlgorithm } from './algorithms.ts'
import { discoveryUrl, readDiscovery } from './discovery.ts'
import { DocumentFault, MAX_DOCUMENT_BYTES, parseKeySet, shownUrl } from './key-set.ts'
import { type KeySource, pickKey, readPemFile, type VerifyKey } from './keys.ts'
import type { JwtSettings } from './settings.ts'

export interface RemoteKeysDeps {
  readonly name: string
  readonly clock: Clock
  readonly log: Log
  readonly request: GuardedRequest
}

/** A token that names a key which is not there makes for a new fetch, but no sooner than this after the last one. */
const COOLDOWN_MS = 10_000
/** Keys are fetched again before their time is over, so that there is no gap. */
const REFRESH_AT = 0.8
/** The start waits no longer than this for the first answer. */
const START_MS = 2_000
/** After a fetch that failed: the first wait, doubled each time up to the longest. */
const BACKOFF_MS = { first: 1_000, longest: 60_000 }

/** Waits for what may take long, but no longer than somebody waits for the answer. */
function waitFor(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = () => {
    signal.removeEventListener('abort', end)
    resolve()
  }
  signal.addEventListener('abort', end)
  if (signal.aborted) end()
  work.then(end, end)
  return promise
}

/**
 * Keys of an issuer that publishes them. They are fetched at the start and again before `refresh_s` is over, so that no client
 * waits for it; a token with an unknown key name fetches them at most once in ten seconds. While they cannot be fetched the last ones
 * serve until `stale_s` is over, and nobody is let in after that.
 *
 * @throws {KeyFault} for a `ca_file` that cannot be read
 */
export async function createRemoteKeys(
  settings: Pick<JwtSettings, 'issuer' | 'jwks_uri' | 'jwks'>,
  algorithms: readonly JwtAlgorithm[],
  { name, clock, log, request }: RemoteKeysDeps,
): Promise<KeySource> {
  const { refresh_s: refreshS, stale_s: staleS, timeout_ms: timeoutMs, ca_file: caFile } = settings.jwks
  const tls = caFile === undefined ? {} : { tls: { ca: readPemFile('jwks.ca_file', caFile) } }
  const closed = new AbortController()

  let keys: readonly VerifyKey[] = []
  let ids: ReadonlySet<string> = new Set()
  /** When `keys` were asked for; monotonic, as all here. */
  let fetchedAt = Number.NEGATIVE_INFINITY
  let lastBegun = Number.NEGATIVE_INFINITY
  let failures = 0
  let running: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  /** What was asked for last. */
  let address = ''

  async function get(url: string): Promise<Uint8Array> {
    address = shownUrl(url)
    const { status, body } = await request({
      method: 'GET',
      url,
      headers: { accept: 'application/json, application/jwk-set+json' },
      timeoutMs,
      maxBytes: MAX_DOCUMENT_BYTES,
      signal: closed.signal,
      trusted: true, // the operator named it, or it is at the issuer that the operator named
      ...tls,
    })
    if (status !== 200) throw new DocumentFault(`the answer has status ${status}`)
    return body
  }

  async function fetchKeys(): Promise<readonly VerifyKey[]> {
    const { issuer = '', jwks_uri: given } = settings
    const uri = given ?? readDiscovery(await get(discoveryUrl(issuer)), issuer)
    return parseKeySet(await get(uri), algorithms)
  }

  const backoffMs = () => Math.min(BACKOFF_MS.first * 2 ** (failures - 1), BACKOFF_MS.longest)
  const isServing = () => clock.monotonic() - fetchedAt <= (refreshS + staleS) * 1_000

  function schedule(): void {
    clearTimeout(timer)
    if (closed.signal.aborted) return
    timer = setTimeout(() => void refresh(), failures === 0 ? REFRESH_AT * refreshS * 1_000 : backoffMs()).unref()
  }

  async function refreshOnce(): Promise<void> {
    const begun = clock.monotonic()
    lastBegun = begun
    try {
      keys = await fetchKeys()
      ids = new Set(keys.map(({ id }) => id))
      fetchedAt = begun
      if (failures > 0) log.info({ provider: name, keys: keys.length }, 'the keys of an issuer can be fetched again')
      else if (keys.length === 0) log.warn({ provider: name }, 'an issuer publishes no key that can be used')
      failures = 0
    } catch (err) {
      if (closed.signal.aborted) return
      failures++
      const fields = { provider: name, url: address, failures, serving: isServing(), err }
      if (Number.isInteger(Math.log2(failures))) log.warn(fields, 'the keys of an issuer cannot be fetched')
    } finally {
      schedule()
    }
  }

  /** One fetch at a time, whoever asks. Never rejects. */
  function refresh(): Promise<void> {
    running ??= refreshOnce().finally(() => {
      running = undefined
    })
    return running
  }

  /** Whether a client may set a fetch off now. */
  function mayFetch(): boolean {
    const waitMs = failures === 0 ? COOLDOWN_MS : backoffMs()
    return running !== undefined || clock.monotonic() - lastBegun >= waitMs
  }

  await waitFor(refresh(), AbortSignal.timeout(START_MS))

  return {
    async find(alg, kid, signal) {
      const known = isServing() ? pickKey(keys, alg, kid) : 'unavailable'
      if (typeof known === 'object') return known
      if (mayFetch()) await waitFor(refresh(), signal)
      if (!isServing()) return 'unavailable'
      const found = pickKey(keys, alg, kid)
      return found === 'unknown' && (failures > 0 || signal.aborted) ? 'unavailable' : found
    },
    has: (id) => isServing() && ids.has(id),
    close() {
      closed.abort()
      clearTimeout(timer)
    },
  }
}
