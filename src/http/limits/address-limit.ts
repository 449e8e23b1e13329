import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { sourceOf } from '../../policy/ip-address.ts'
import { parseApiKey } from '../../tenants/api-key.ts'

/**
 * Refuses addresses that keep presenting keys that are none. An address may be shared, by an office or behind a proxy that is
 * not trusted: keys that were right pass as ever, and of those that could be right a few a second.
 */
export interface AddressLimit {
  /** Seconds to wait, where the address is refused; `undefined` where it may go on. */
  waitS(address: string, presented: string | undefined): number | undefined
  /** An attempt that was refused before anybody was known. */
  failed(address: string): void
  /** A key that was right: it is served from a refused address as well, which its owner may share. */
  succeeded(presented: string): void
}

export interface AddressLimitOptions {
  readonly monotonic: () => number
  /** Failures of an address in a minute; 100 unless told. */
  readonly failures?: number
}

const WINDOW_S = 60
const FAILURES = 100
/** Beyond so many addresses in a window the rest of it counts together. */
const MAX_ADDRESSES = 10_000
/** Keys that are remembered as right, by their ids. */
const MAX_KEYS = 10_000

/** Keys that could be right and are not known here, tried from a refused address in a second. */
const TRIES_PER_S = 20

const OTHERS = 'others'

interface Refused {
  untilMs: number
  tries: number
  triesUntilMs: number
}

/** The part of a key that names it; whether the rest is right is judged elsewhere. */
const idOf = (presented: string) => presented.slice(0, 'qs_live_'.length + 26)

export function createAddressLimit({ monotonic, failures = FAILURES }: AddressLimitOptions): AddressLimit {
  const limiter = new RateLimiterMemory({ keyPrefix: '', points: failures, duration: WINDOW_S })
  const refused = new Map<string, Refused>()
  let counted = new Set<string>()
  let countedUntilMs = 0
  const rightKeys = new Set<string>()

  /** What the address counts as: itself, or one of too many. */
  function countedAs(address: string): string {
    const source = sourceOf(address)
    if (monotonic() > countedUntilMs) {
      countedUntilMs = monotonic() + WINDOW_S * 1000
      counted = new Set()
      for (const [other, { untilMs }] of refused) if (untilMs <= monotonic()) refused.delete(other)
    }
    if (!counted.has(source) && counted.size >= MAX_ADDRESSES) return OTHERS
    counted.add(source)
    return source
  }

  /** Whether a key may be tried all the same; takes one of the tries. */
  function mayTry(one: Refused, presented: string): boolean {
    if (rightKeys.has(idOf(presented))) return true
    if (monotonic() >= one.triesUntilMs) Object.assign(one, { tries: 0, triesUntilMs: monotonic() + 1000 })
    if (one.tries >= TRIES_PER_S || parseApiKey(presented) === undefined) return false
    one.tries++
    return true
  }

  return {
    waitS(address, presented) {
      if (refused.size === 0) return undefined
      const source = sourceOf(address)
      const one = refused.get(counted.has(source) ? source : OTHERS)
      if (one === undefined || one.untilMs <= monotonic()) return undefined
      if (presented !== undefined && mayTry(one, presented)) return undefined
      return Math.ceil((one.untilMs - monotonic()) / 1000)
    },
    failed(address) {
      const source = countedAs(address)
      limiter.consume(source).catch((res: RateLimiterRes) => {
        const untilMs = monotonic() + res.msBeforeNext
        const known = refused.get(source)
        if (known) known.untilMs = untilMs
        else refused.set(source, { untilMs, tries: 0, triesUntilMs: 0 })
      })
    },
    succeeded(presented) {
      const id = idOf(presented)
      if (rightKeys.has(id)) return
      if (rightKeys.size >= MAX_KEYS) rightKeys.clear()
      rightKeys.add(id)
    },
  }
}
