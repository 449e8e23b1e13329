import { availableParallelism, loadavg } from 'node:os'

/**
 * What a time of `ms` may come to on this machine now. Where more wants to run than there are processors, everybody waits for
 * a turn, and that wait is none of ours: a bound that says how fast something is grows with it. Never less than `ms`.
 */
export function patience(ms: number): number {
  const waiting = loadavg()[0] ?? 0 // 0 where the system does not say
  return ms * Math.max(1, waiting / availableParallelism())
}
