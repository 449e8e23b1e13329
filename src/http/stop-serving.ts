import { setTimeout as delay } from 'node:timers/promises'
import type { InFlight } from './in-flight.ts'
import type { Listening } from './listen.ts'

export interface StopOptions {
  /** Milliseconds that the server goes on to serve while it says that it is not ready; 0 unless told. */
  noticeMs?: number | undefined
  /** Resolves when nobody wants to wait any longer for what runs: it ends at once, as it would when its time is up. */
  hurry?: Promise<void> | undefined
}

export interface Stoppable {
  http: Pick<Listening, 'leave' | 'stop' | 'close'>
  inFlight: Pick<InFlight, 'stop' | 'settled'>
  /** Ends every connection to a broker: what waits for one ends as not sent, what was written as unknown. */
  endBrokers(): Promise<void>
}

/** Milliseconds from the signal on: until then requests may finish as ever, and after it their handlers have a little more. */
const DRAIN_MS = 9_000
const SETTLE_MS = 2_500
/** From the signal to the end of the process, whatever hangs. */
export const STOP_LIMIT_MS = 14_500

/** Resolves with `promise`, or after `ms`. */
function within(ms: number, promise: Promise<unknown>): Promise<unknown> {
  const cancel = new AbortController()
  const over = delay(ms, undefined, { ref: false, signal: cancel.signal }).catch(() => undefined)
  return Promise.race([promise, over]).finally(() => cancel.abort())
}

/**
 * Ends what callers see of a server, in this order: it says that it is not ready, and serves on for the time of the notice,
 * so that a load balancer sends nobody any more; it stops to listen; what runs finishes, or ends as not sent or unknown when
 * its time is up; answers go out; connections are closed.
 */
export async function stopServing(
  { http, inFlight, endBrokers }: Stoppable,
  { noticeMs = 0, hurry = new Promise(() => {}) }: StopOptions,
): Promise<void> {
  inFlight.stop()
  http.leave()
  if (noticeMs > 0) await within(noticeMs, hurry)
  void http.stop()
  await within(DRAIN_MS - noticeMs, Promise.race([inFlight.settled(), hurry]))
  await endBrokers()
  await within(SETTLE_MS, inFlight.settled())
  await http.close()
}
