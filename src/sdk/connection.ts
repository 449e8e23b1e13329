import { toBase64Url } from '../core/base64.ts'
import type { Secret } from '../core/secret.ts'
import { withAttempts } from './attempts.ts'
import type { CallClock } from './call-clock.ts'
import { type Exchanged, type ExchangeRequest, encodeBody, exchange } from './exchange.ts'
import type { Quota } from './rate-limit.ts'
import { SealwireError } from './sealwire-error.ts'
import { dataOf } from './wrapper.ts'

/** What every call accepts besides its own arguments. */
export interface CallOptions {
  /** Ends the call; it then fails with `aborted`. */
  signal?: AbortSignal
  /** For the whole call, repetitions included; in place of the client's `timeoutMs`. */
  timeoutMs?: number
}

export interface ConnectionOptions {
  baseUrl: string
  apiKey: Secret<string> | undefined
  fetch: typeof globalThis.fetch
  clock: CallClock
  timeoutMs: number
  maxRetries: number
}

/** One request of the API, before it is sent. */
export interface Call {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** From `/api/v2/` on, with the query. */
  path: string
  body?: unknown
  headers?: Readonly<Record<string, string>>
  /** See `CallLimits`; by default only reading is. */
  repeatable?: boolean
  /** The server knows a repetition of this call by its `Idempotency-Key`, so every attempt carries one and the same. */
  idempotent?: boolean
}

export type Connection = ReturnType<typeof createConnection>

/** Wires one server, one API key and the limits of calls together. */
export function createConnection({ baseUrl, apiKey, fetch, clock, timeoutMs, maxRetries }: ConnectionOptions) {
  let skewMs: number | undefined
  let quotas: readonly Quota[] = []

  /** Sends one request, and notes what the server thinks of the time. */
  async function exchangeAndNote(request: ExchangeRequest): Promise<Exchanged> {
    const answer = await exchange(fetch, request)
    if (answer.dateMs !== undefined) skewMs = answer.dateMs - clock.now()
    if (answer.quotas.length > 0) quotas = answer.quotas
    return answer
  }

  /** Sends one attempt; `headers` are added to those that every call has. */
  async function send(call: Call, body: Uint8Array<ArrayBuffer> | undefined, signal: AbortSignal): Promise<Exchanged> {
    if (apiKey === undefined) {
      throw new SealwireError('auth.unauthenticated', 'This call needs an API key.', { outcome: 'rejected' })
    }
    return exchangeAndNote({
      method: call.method,
      url: baseUrl + call.path,
      headers: {
        Accept: 'application/json',
        'X-API-Key': apiKey.reveal(),
        ...(body && { 'Content-Type': 'application/json' }),
        ...call.headers,
      },
      ...(body && { body }),
      signal,
    })
  }

  function limitsOf(call: Call, options: CallOptions = {}) {
    const repeatable = call.repeatable ?? (call.idempotent === true || call.method === 'GET')
    return { timeoutMs: options.timeoutMs ?? timeoutMs, maxRetries, repeatable, signal: options.signal }
  }

  return {
    baseUrl,
    clock,
    send,
    exchange: exchangeAndNote,
    /** How far the clock of the server is ahead of this one, by the last `Date` header; a hint only. */
    skewMs: () => skewMs,
    /** What the last answer that named quotas said of them. */
    quotas: () => quotas,
    /** The id of the API key, where it can be read from the key. */
    apiKeyId: apiKey && apiKeyIdOf(apiKey),

    /** Repeats attempts within the limits of the call. */
    async repeat<T>(
      call: Call,
      options: CallOptions | undefined,
      attempt: (signal: AbortSignal) => Promise<T>,
    ): Promise<T> {
      return withAttempts(clock, limitsOf(call, options), attempt)
    },

    /** Makes a call whose answer needs no envelope, and returns its `data`. */
    async call(call: Call, options?: CallOptions): Promise<unknown> {
      const body = call.body === undefined ? undefined : encodeBody(call.body)
      const headers = { ...call.headers, ...(call.idempotent && { 'Idempotency-Key': newIdempotencyKey() }) }
      const attempt = async (signal: AbortSignal) => dataOf(await send({ ...call, headers }, body, signal))
      return withAttempts(clock, limitsOf(call, options), attempt)
    },
  }
}

/** The id that an API key carries: `qs_live_`, 26 characters of id, `_`, the secret. */
function apiKeyIdOf(apiKey: Secret<string>): string | undefined {
  const id = /^qs_(?:live|test)_([0-9a-z]{26})_/.exec(apiKey.reveal())?.[1]
  return id === undefined ? undefined : `key_${id}`
}

/** Names one operation to the server, across its attempts: 128 random bits. */
export function newIdempotencyKey(): string {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(16)))
}

/** Puts a caller's value into a path; ids never need escaping, anything else is escaped. */
export function pathSegment(value: string): string {
  return encodeURIComponent(value)
}
