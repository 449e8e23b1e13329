import type { Caller } from '../audit/audit.ts'
import type { Reservation } from '../signing/signer.ts'
import type { Principal } from '../tenants/principal.ts'
import type { KnownRecipient } from '../tenants/recipients.ts'
import type { Ticket } from './limits/limits.ts'
import type { Version1Sealing } from './version-1.ts'

/** What is known of a request once its caller is. */
export interface Exchange {
  readonly requestId: string
  /** When it came, on the monotonic clock: deadlines count from here. */
  readonly startedMs: number
  readonly principal: Principal
  readonly caller: Caller
  readonly bytes: Uint8Array
  /** What the request took of quotas and places. */
  readonly ticket: Ticket
  /** Whom an enveloped answer is sealed to; absent until it is looked up. */
  recipient: KnownRecipient | undefined
  /** `rqh` of the answer. */
  requestHash: string | null
  /** The place at the signer, once it is taken. */
  reservation: Reservation | undefined
  /** How the answer is sealed where the caller asked for version 1. */
  version1?: Version1Sealing
}
