import type { RefusalReason } from '../provider.ts'

/** A client that a hook did not let in, as often as that was since `firstAt`; the other members are those of the last time. */
export interface UnauthorisedClient {
  readonly id: string
  readonly tenantId: string
  readonly hook: string
  /** {@link OTHERS} for all that were too many to have a row each. */
  readonly clientId: string
  readonly username: string | null
  readonly ip: string | null
  readonly listener: string | null
  readonly tls: boolean | null
  readonly passwordProvided: boolean
  readonly reason: RefusalReason
  /** The provider that refused. */
  readonly provider: string | null
  /** The entry of the blocked clients. */
  readonly entryId: string | null
  readonly count: number
  readonly firstAt: Date
  readonly lastAt: Date
  /** When a client of that id was let in afterwards; `null`: not since. */
  readonly letInAt: Date | null
}

/** Stands where a client id does. A client that should call itself so is one of them. */
export const OTHERS = '\u0001others'
