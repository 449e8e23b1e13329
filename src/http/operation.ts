import type { ZodObject, ZodType, z } from 'zod'
import type { Caller } from '../audit/audit.ts'
import type { AppError, ErrorCode } from '../core/errors.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import type { Identity } from '../policy/identity.ts'
import type { Principal, Scope } from '../tenants/principal.ts'
import type { Services } from './services.ts'

/** One authenticated request, parsed. */
export interface OperationRequest<Params, Query, Body> {
  principal: Principal
  caller: Caller
  /** The caller as policies see it. */
  identity: Identity
  params: Params
  query: Query
  body: Body
  /** The value of `If-Match`, as sent. */
  ifMatch: string | undefined
  /** The value of a header that this operation declares, in lower case. */
  header(name: string): string | undefined
  /** When the request came, on the monotonic clock. */
  startedMs: number
  /** On the monotonic clock: the answer must be on its way by then. */
  deadlineMs: number
  /** Id of the message or object that this request makes; the same one on a retry with its `Idempotency-Key`. */
  messageId: string
  /** `rqh` of the answer, where the caller sent an `Envelope-Nonce`. */
  requestHash: string | null
  /** Whether the caller has hung up: what it asked for is done all the same. */
  clientGone: () => boolean
  /** For an operation that waits by itself: the answer must be on its way by then instead. @returns `deadlineMs` */
  extend: (deadlineMs: number) => number
  /**
   * Of a request with an `Idempotency-Key`: awaited when the intent is on record and nothing has left. It throws where the
   * key has gone over to another run meanwhile, which has seen no intent.
   */
  beforeSending?: () => Promise<void>
  /** Reserves a place at the signer; call it before anything leaves for a broker. Only for enveloped operations. */
  admit: () => void
}

export interface OperationAnswer<Data> {
  data: Data
  /** Defaults to the operation's first status. */
  status?: number
  headers?: Readonly<Record<string, string>>
  /** What the answer is about; becomes `sub` of an envelope. */
  subject?: string
  /** Whom an enveloped answer is sealed to; defaults to the caller's recipient. */
  recipient?: SealingRecipient
  /** Members of `meta` beside the constant ones. */
  meta?: { next_cursor?: string; not_understood?: readonly string[] }
  /** Resolves when what the answer says is on record; it is sealed meanwhile, and does not leave before. */
  recorded?: Promise<void>
  /** `false` where the answer holds message bodies or secrets: an `Idempotency-Key` then guards the run and keeps nothing. */
  keep?: boolean
  /** What is kept and repeated in place of `data`, where that shows something once. */
  kept?: unknown
}

/**
 * What is on record of an earlier run whose `Idempotency-Key` has no answer: its answer, the refusal that it came to in the
 * end, that nothing was done, or that nobody knows.
 */
export type Recalled<Data> = OperationAnswer<Data> | AppError | 'nothing' | 'unknown'

/**
 * One operation of the API: everything that `http/`, the OpenAPI document and the audit log need to know about it.
 * Descriptors are constants; what they work on is passed to `handle`.
 */
export interface Operation<
  Params extends ZodObject = ZodObject,
  Query extends ZodObject = ZodObject,
  Body extends ZodType = ZodType,
  Data extends ZodType = ZodType,
> {
  /** `<capability>.<verb>`; also the `op` of an enveloped answer. */
  readonly id: string
  readonly method: 'get' | 'post' | 'patch' | 'delete'
  /** Express spelling, `:id` for parameters. */
  readonly path: string
  readonly summary: string
  readonly description?: string
  /** What the caller's key must hold; several where the body decides, which `handle` then checks. */
  readonly scopes: readonly [Scope, ...Scope[]]
  readonly params?: Params
  readonly query?: Query
  readonly body?: Body
  readonly data: Data
  readonly example: { body?: z.input<Body>; data: z.input<Data> }
  readonly statuses: readonly [number, ...number[]]
  /** Codes beside the ones that every route has. */
  readonly errors: readonly ErrorCode[]
  /** The answer is a `HybridCryptoEnvelope`. */
  readonly enveloped?: boolean
  /** Its answer hands out keys, and is therefore sealed in version 2 only. */
  readonly handsOutKeys?: boolean
  /** Accepts `Idempotency-Key`. */
  readonly idempotent?: boolean
  /** Request headers that this operation reads, for the document. */
  readonly headers?: Readonly<Record<string, string>>
  /** Headers that every success has, for the document. */
  readonly responseHeaders?: Readonly<Record<string, string>>
  handle(
    services: Services,
    request: OperationRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
  ): Promise<OperationAnswer<z.input<Data>>>
  /** Looks up what became of the run `messageId` of the same request; where there is none, nobody knows. */
  recall?(
    services: Services,
    request: OperationRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
    messageId: string,
  ): Promise<Recalled<z.input<Data>>>
}

/** Checks a descriptor against its own schemas and forgets them, so that operations of all shapes fit one list. */
export function defineOperation<
  Params extends ZodObject,
  Query extends ZodObject,
  Body extends ZodType,
  Data extends ZodType,
>(operation: Operation<Params, Query, Body, Data>): Operation {
  return operation as unknown as Operation
}
