import type { AddressLimit } from './address-limit.ts'
import type { Admission, Place } from './admission.ts'
import { LimitRefusal } from './limit-refusal.ts'
import type { Consumer, Quotas } from './quotas.ts'
import { rateLimitHeaders } from './rate-limit-headers.ts'
import type { RefusedKeys } from './refused-keys.ts'

/** What was taken for one request. */
export interface Ticket {
  /** `RateLimit` and `RateLimit-Policy` of its answer, as of the last charge. */
  readonly headers: Readonly<Record<string, string>>
  /** The quota's refusal that is to be said under an envelope, once the request is known; nothing else is done then. */
  readonly refusal: LimitRefusal | undefined
  /** Takes what the body asks for. @throws {LimitRefusal} `rate.limited` */
  charge(units: number): Promise<void>
  /** The body has come. */
  bodyIs(bytes: number): void
  /** Once, when the request has been answered. */
  leave(): void
}

/** Everything that refuses a request for being one too many. */
export interface Limits {
  /** @throws {LimitRefusal} `rate.limited` for an address that keeps presenting keys that are none */
  judgeAddress(address: string, presented: string | undefined): void
  /** Counts a refusal from before authentication. */
  failed(address: string): void
  succeeded(presented: string): void
  /** Whether any key has used up its quota in this window. */
  readonly refusesSome: boolean
  /** The refusal of a key that has, once more. */
  refuseAgain(presented: string): LimitRefusal | undefined
  /**
   * Takes a place and units of the quotas, or refuses at once: nobody waits here.
   *
   * @throws {LimitRefusal} `server.busy`, `rate.limited`
   */
  admit(consumer: Consumer, presented: string, units: number, bodyBytes: number): Promise<Ticket>
}

export interface LimitsDeps {
  readonly quotas: Quotas
  readonly admission: Admission
  readonly addresses: AddressLimit
  readonly refusedKeys: RefusedKeys
  /** Counts a refusal, for one audit row for a key, a code and a minute. */
  readonly countLimited: (consumer: Consumer, code: string) => void
}

const BUSY_RETRY_S = 1
/** Requests under way that are work for longer than `SHED_MS`: places that come free meanwhile need not be taken at once. */
const MANY = 256
/** Milliseconds for which a key that found no place is refused by its text alone: a flood must not cost its authentication. */
const SHED_MS = 10

export function createLimits({ quotas, admission, addresses, refusedKeys, countLimited }: LimitsDeps): Limits {
  function refuse(consumer: Consumer, refusal: LimitRefusal): LimitRefusal {
    countLimited(consumer, refusal.code)
    return refusal
  }

  async function take(consumer: Consumer, units: number) {
    const { isWithin, isFirst, endsMs, quotas: values, states } = await quotas.consume(consumer, units)
    const headers = rateLimitHeaders(values, states)
    const last = states.at(-1)
    if (isWithin || !last) return { headers, endsMs, refusal: undefined }
    const { name, resetS } = last
    const quota = values[name]
    const whose = name === 'key' ? 'this API key' : 'this tenant'
    const message = `Too many requests: ${whose} has ${quota} cost units a second.`
    const details = { quota: name, per_second: quota }
    const refusal = new LimitRefusal('rate.limited', message, { headers, isFirst, details, retryAfterS: resetS })
    return { headers, endsMs, refusal: refuse(consumer, refusal) }
  }

  function ticketOf(consumer: Consumer, place: Place, taken: Awaited<ReturnType<typeof take>>): Ticket {
    let { headers } = taken
    return {
      get headers() {
        return headers
      },
      refusal: taken.refusal,
      async charge(units) {
        const more = await take(consumer, units)
        headers = more.headers
        if (more.refusal) throw more.refusal
      },
      bodyIs: (bytes) => place.bodyIs(bytes),
      leave: () => place.leave(),
    }
  }

  return {
    judgeAddress(address, presented) {
      const retryAfterS = addresses.waitS(address, presented)
      if (retryAfterS === undefined) return
      throw new LimitRefusal('rate.limited', 'Too many requests without a valid API key.', { retryAfterS })
    },
    failed: (address) => addresses.failed(address),
    succeeded: (presented) => addresses.succeeded(presented),
    get refusesSome() {
      return !refusedKeys.isEmpty
    },
    refuseAgain(presented) {
      const known = refusedKeys.find(presented)
      return known && refuse(known.consumer, known.refusal)
    },
    async admit(consumer, presented, units, bodyBytes) {
      const place = admission.enter(consumer.tenantId, bodyBytes)
      if (!place) {
        const message = 'Too many requests are under way; nothing was sent.'
        const refusal = new LimitRefusal('server.busy', message, { retryAfterS: BUSY_RETRY_S })
        if (admission.taken >= MANY) refusedKeys.remember(presented, { consumer, refusal }, SHED_MS)
        throw refuse(consumer, refusal)
      }
      try {
        const taken = await take(consumer, units)
        const { refusal, endsMs } = taken
        if (refusal && endsMs > 0) refusedKeys.remember(presented, { consumer, refusal }, endsMs)
        if (refusal && !refusal.isFirst) throw refusal
        return ticketOf(consumer, place, taken)
      } catch (err) {
        place.leave()
        throw err
      }
    },
  }
}
