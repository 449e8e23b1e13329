import type { ErrorCode } from '../core/errors.ts'
import type { Operation } from './operation.ts'

type Header = {
  description: string
  required: boolean
  schema: { type: 'string' | 'integer'; minimum?: number; const?: string }
}

const retryAfter = {
  description: 'Seconds until trying again makes sense',
  schema: { type: 'integer', minimum: 1 },
} as const

/** Headers that many answers share, `components.headers` of the document. A required one is on every answer that names it. */
export const headerComponents = {
  RequestId: { description: 'Id of the request; always ours', required: true, schema: { type: 'string' } },
  RetryAfter: { ...retryAfter, required: true },
  RetryAfterIfKnown: { ...retryAfter, required: false },
  Authenticate: { description: 'How to present an API key', required: true, schema: { type: 'string' } },
  RateLimit: {
    description:
      'What is left of each quota in this window: `"key";r=49999;t=1, "tenant";r=99999;t=1`, r in cost units, t in seconds. draft-ietf-httpapi-ratelimit-headers-10',
    required: true,
    schema: { type: 'string' },
  },
  RateLimitPolicy: {
    description:
      'The quotas of the API key and of its tenant: `"key";q=50000;w=1, "tenant";q=100000;w=1`, q in cost units for w seconds',
    required: true,
    schema: { type: 'string' },
  },
  RateLimitIfKnown: {
    description: 'As RateLimit; once the caller is known',
    required: false,
    schema: { type: 'string' },
  },
  RateLimitPolicyIfKnown: {
    description: 'As RateLimit-Policy; once the caller is known',
    required: false,
    schema: { type: 'string' },
  },
  IdempotencyReplayed: {
    description: 'The answer of an earlier request with this Idempotency-Key, repeated',
    required: false,
    schema: { type: 'string', const: 'true' },
  },
} as const satisfies Record<string, Header>

type HeaderRef = { $ref: string }
const ref = (name: keyof typeof headerComponents): HeaderRef => ({ $ref: `#/components/headers/${name}` })

/** Codes that say for how long, where the status alone does not promise it. */
const mayWait: readonly ErrorCode[] = ['idempotency.running', 'broker.rejected']

/** Headers of a success. */
export function successHeaders({ idempotent, responseHeaders = {} }: Operation): Record<string, Header | HeaderRef> {
  const own = Object.entries(responseHeaders).map(([name, description]): [string, Header] => [
    name,
    { description, required: true, schema: { type: 'string' } },
  ])
  return {
    'X-Request-Id': ref('RequestId'),
    RateLimit: ref('RateLimit'),
    'RateLimit-Policy': ref('RateLimitPolicy'),
    ...(idempotent ? { 'Idempotency-Replayed': ref('IdempotencyReplayed') } : {}),
    ...Object.fromEntries(own),
  }
}

/** Headers of the refusals with that status. */
export function refusalHeaders(status: number, codes: readonly ErrorCode[]): Record<string, HeaderRef> {
  const headers: Record<string, HeaderRef> = { 'X-Request-Id': ref('RequestId') }
  if (codes.length > 0 && status !== 401) {
    headers['RateLimit'] = ref('RateLimitIfKnown')
    headers['RateLimit-Policy'] = ref('RateLimitPolicyIfKnown')
  }
  if (status === 401) headers['WWW-Authenticate'] = ref('Authenticate')
  if (status === 429 || status === 503) headers['Retry-After'] = ref('RetryAfter')
  else if (codes.some((code) => mayWait.includes(code))) headers['Retry-After'] = ref('RetryAfterIfKnown')
  return headers
}

const required = new Set(['If-Match'])

/** Request headers that an operation reads, as parameters. */
export function headerParameters({ headers, idempotent, enveloped, handsOutKeys }: Operation) {
  const all = {
    ...headers,
    ...(idempotent
      ? {
          'Idempotency-Key':
            '1 to 255 of A-Z a-z 0-9 _ : -. A retry with the same key and the same request is carried out once; kept for 24 h.',
        }
      : {}),
    ...(enveloped
      ? {
          'Envelope-Nonce':
            '32 random bytes in base64url, new for every attempt: the answer then proves which request it answers.',
        }
      : {}),
    ...(enveloped && !handsOutKeys
      ? {
          'Envelope-Version':
            'Version of the envelope that the caller reads: 2, also when absent; 1 where the tenant allows it and the API key never enrolled.',
        }
      : {}),
  }
  return Object.entries(all).map(([name, description]) => ({
    in: 'header' as const,
    name,
    description,
    required: required.has(name),
    schema: { type: 'string' as const },
  }))
}
