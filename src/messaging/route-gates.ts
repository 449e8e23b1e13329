import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import type { AppError } from '../core/errors.ts'
import type { DialTarget } from '../outbound/dial.ts'
import { unreachable } from '../outbound/dial-errors.ts'
import { afterFailure, type Gate, refusalOf, spaced } from './connect-gate.ts'
import { EXPIRED, sleepUntil, withDeadline } from './deadline.ts'
import type { RetrySpacing } from './retry-spacing.ts'

/** One way of one tenant to a broker: everything that decides whether it is reached, and nothing of the login. */
export interface Route {
  readonly key: string
  readonly tenantId: string
  /** Host and port of each of its hosts: what tenants may have in common. */
  readonly addresses: readonly string[]
}

/** Longer than any name that is dialled. */
const MAX_ADDRESS = 300

/**
 * Names the way to a target. Two integrations share it when they agree in host, port, protocol and TLS: what one finds out
 * about the broker then holds for the other. Never between tenants: one could see in its answers that another has failed,
 * or close the way of another by failing.
 */
export function routeOf(tenantId: string, { tls, ...target }: DialTarget): Route {
  const { client: _ofTheLogin, ...trust } = tls
  const addresses = target.hosts.map(({ hostname, port }) =>
    `${String(hostname).toLowerCase()}:${String(port)}`.slice(0, MAX_ADDRESS),
  )
  const key = createHash('sha256')
    .update(JSON.stringify([tenantId, target, trust]))
    .digest('base64url')
  return { key, tenantId, addresses }
}

/** Leave to try; exactly one of the three says how it ended, what is said later is ignored. */
export interface Attempt {
  /** The broker came into doubt since leave was given: it is another's turn to try. */
  readonly isOvertaken: boolean
  /** The broker was in doubt when leave was given. */
  readonly isRetry: boolean
  /** The broker answered, whatever it answered. */
  reached(): void
  failed(failure: AppError): void
  /** Nothing was found out. */
  gaveUp(): void
}

export interface RouteGates {
  /** @throws {AppError} the last failure again while the breaker is open; then nothing need be prepared */
  assertOpen(route: Route): void
  /** As `assertOpen`, and as well when the breaker is open and the one that tries has been at it for a while. */
  assertHopeful(route: Route): void
  /**
   * Waits for leave. While the broker is in doubt, since a failure or a lost connection, one tries in each slot of the
   * back-off, and its result answers all who wait: a thousand integrations make the attempts of one.
   *
   * @throws {AppError} the failure of that one, or the last while the breaker is open
   */
  pass(route: Route, deadlineMs: number): Promise<Attempt>
  /** Leave at once, for the first on a route, or `undefined` when it must wait. */
  passNow(route: Route): Attempt | undefined
  /** Leave whatever has failed before. */
  force(route: Route): Attempt
  /**
   * Counts a connection that has logged in, until what it gives is called with whether the connection was lost: with the
   * last one of a route the broker is in doubt.
   */
  enter(route: Route): (isLost: boolean) => void
}

interface State {
  gate: Gate
  failedMs: number
  /** Resolves when the one that tries knows: `true` when it failed. */
  trying: Promise<boolean> | undefined
  /** Since when, on the monotonic clock. */
  triesSinceMs: number
}

const MAX_REMEMBERED = 10_000
/** A broker that is back says so within this time; whoever comes later does not wait for the one that tries. */
export const PROMPT_MS = 250

/** Keeps the breaker of each route: five failures in a row open it, then one attempt a slot. */
export function createRouteGates(options: { clock: Clock; random: () => number; retryFrom: RetrySpacing }): RouteGates {
  const { clock, random, retryFrom } = options
  const states = new LRUCache<string, State>({ max: MAX_REMEMBERED })

  /** Connections that are logged in, by route: as many entries as there are connections, at most. */
  const live = new Map<string, number>()

  const isClosed = ({ gate }: State) => gate.failsFast && clock.monotonic() < gate.closedUntilMs

  function attemptOn(
    { key, tenantId }: Route,
    {
      doubted,
      tell = () => {},
      forced = false,
    }: { doubted?: State; tell?: (failed: boolean) => void; forced?: boolean } = {},
  ): Attempt {
    const begunMs = clock.monotonic()
    let open = true
    const conclude = (failed: boolean, change: () => void) => {
      if (!open) return
      open = false
      if (doubted) doubted.trying = undefined
      change()
      tell(failed)
    }
    return {
      get isOvertaken() {
        return !forced && doubted === undefined && states.has(key)
      },
      isRetry: doubted !== undefined,
      reached: () => conclude(false, () => states.delete(key)),
      gaveUp: () => conclude(false, () => {}),
      failed(failure) {
        conclude(true, () => {
          const nowMs = clock.monotonic()
          const state = states.get(key) ?? doubted
          if (state && !doubted && begunMs < state.failedMs) return // it began before that was known: the same outage
          const gate = spaced(afterFailure(state?.gate, failure, nowMs, random()), () => retryFrom(tenantId))
          if (state) Object.assign(state, { gate, failedMs: nowMs })
          states.set(key, state ?? { gate, failedMs: nowMs, trying: undefined, triesSinceMs: nowMs })
        })
      },
    }
  }

  function doubt(key: string): void {
    if (states.has(key)) return
    const nowMs = clock.monotonic()
    const gate = { failures: 0, closedUntilMs: nowMs, failsFast: false, lastFailure: unreachable() }
    states.set(key, { gate, failedMs: nowMs, trying: undefined, triesSinceMs: nowMs })
  }

  return {
    assertOpen({ key }) {
      const state = states.get(key)
      if (state && !state.trying && isClosed(state)) throw refusalOf(state.gate, clock.monotonic())
    },

    assertHopeful({ key }) {
      const state = states.get(key)
      if (!state?.gate.failsFast) return
      const nowMs = clock.monotonic()
      const isOver = state.trying ? nowMs - state.triesSinceMs < PROMPT_MS : nowMs >= state.gate.closedUntilMs
      if (!isOver) throw refusalOf(state.gate, nowMs)
    },

    async pass(route, deadlineMs) {
      for (;;) {
        const state = states.get(route.key)
        if (!state) return attemptOn(route)
        if (state.trying) {
          const failed = await withDeadline(state.trying, deadlineMs, clock)
          if (failed === EXPIRED) throw unreachable(new Error('another attempt at this broker had not ended'))
          if (failed) throw refusalOf(state.gate, clock.monotonic())
          continue
        }
        if (isClosed(state)) throw refusalOf(state.gate, clock.monotonic())
        const { promise, resolve } = Promise.withResolvers<boolean>()
        state.trying = promise
        state.triesSinceMs = clock.monotonic()
        if (state.gate.closedUntilMs > clock.monotonic()) await sleepUntil(state.gate.closedUntilMs, clock)
        return attemptOn(route, { doubted: state, tell: resolve })
      }
    },

    passNow: (route) => (states.has(route.key) ? undefined : attemptOn(route)),
    force: (route) => attemptOn(route, { forced: true }),

    enter({ key }) {
      live.set(key, (live.get(key) ?? 0) + 1)
      return (isLost) => {
        const left = (live.get(key) ?? 1) - 1
        if (left > 0) live.set(key, left)
        else live.delete(key)
        if (isLost && left <= 0) doubt(key)
      }
    },
  }
}
