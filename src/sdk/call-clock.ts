import { type Clock, systemClock } from '../core/clock.ts'

/** The clock of the SDK: time to judge envelopes and deadlines by, and waiting between attempts. */
export interface CallClock extends Clock {
  /** Resolves after `ms`; rejects with the signal's reason as soon as it aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>
}

export const systemCallClock: CallClock = {
  ...systemClock,
  wait: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const stop = () => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', stop)
        resolve()
      }, ms)
      signal.addEventListener('abort', stop, { once: true })
    }),
}
