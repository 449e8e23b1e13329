import { concatBytes, decodeUtf8, utf8 } from '../core/bytes.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import { parseQuotas, type Quota } from './rate-limit.ts'
import { SealwireError } from './sealwire-error.ts'

/** Answers over this are refused: 16 MiB. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024

export interface ExchangeRequest {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  url: string
  headers: Readonly<Record<string, string>>
  /** The bytes as sent; absent for calls without a body. */
  body?: Uint8Array<ArrayBuffer>
  signal: AbortSignal
}

/** One answer as it came. Nothing of it is believed yet. */
export interface Exchanged {
  httpStatus: number
  retryAfterS: number | undefined
  /** The `Date` header, in Unix milliseconds; nobody signed it. */
  dateMs: number | undefined
  /** Quotas of the caller; empty where the answer names none. */
  quotas: readonly Quota[]
  /** `undefined` where the body is not JSON. */
  json: unknown
}

/** Codes of Node for connections that were never made, so that the request cannot have left. */
const NOT_CONNECTED: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

function networkError(err: unknown): SealwireError {
  const reason: unknown = (err as { cause?: { code?: unknown } }).cause?.code
  const neverLeft = NOT_CONNECTED.has(reason)
  const suffix = typeof reason === 'string' ? ` (${reason})` : ''
  const message = neverLeft ? 'The server cannot be reached' : 'The connection ended before the answer was complete'
  return new SealwireError('network', `${message}${suffix}.`, {
    outcome: neverLeft ? 'unavailable' : 'unknown',
    cause: err,
  })
}

async function readBody(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  const reader = response.body?.getReader()
  for (let next = await reader?.read(); next?.value; next = await reader?.read()) {
    sizeBytes += next.value.length
    if (sizeBytes > MAX_ANSWER_BYTES) {
      await reader?.cancel()
      throw new SealwireError('answer.too_large', 'The answer is over 16 MiB.', { outcome: 'unknown' })
    }
    chunks.push(next.value)
  }
  return concatBytes(...chunks)
}

function parseBody(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(decodeUtf8(bytes))
  } catch {
    return undefined // not UTF-8 or not JSON: the caller judges an answer without content
  }
}

/** Seconds in plain decimal; anything else is as good as absent. */
function parseRetryAfter(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) : undefined
}

/** Milliseconds of an HTTP date; anything else is as good as absent. */
function parseDate(header: string | null): number | undefined {
  const dateMs = header === null || header.length > 64 ? Number.NaN : Date.parse(header)
  return Number.isNaN(dateMs) ? undefined : dateMs
}

/**
 * Sends one request and reads its answer, whatever its status. Follows no redirect: the API key would go along.
 *
 * @throws {SealwireError} `network`, `answer.too_large`; whatever the signal aborted with
 */
export async function exchange(fetch: typeof globalThis.fetch, request: ExchangeRequest): Promise<Exchanged> {
  const { method, url, headers, signal } = request
  try {
    const response = await fetch(url, {
      method,
      headers,
      body: request.body ?? null,
      redirect: 'manual',
      cache: 'no-store',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      signal,
    })
    const bytes = await readBody(response)
    const retryAfterS = parseRetryAfter(response.headers.get('Retry-After'))
    const dateMs = parseDate(response.headers.get('Date'))
    const quotas = parseQuotas(response.headers.get('RateLimit-Policy'), response.headers.get('RateLimit'))
    return { httpStatus: response.status, retryAfterS, dateMs, quotas, json: parseBody(bytes) }
  } catch (err) {
    if (signal.aborted || err instanceof SealwireError) throw err
    throw networkError(err)
  }
}

/** Writes a body once, so that what is hashed is what is sent. */
export function encodeBody(value: unknown): Uint8Array<ArrayBuffer> {
  return utf8(JSON.stringify(value))
}
