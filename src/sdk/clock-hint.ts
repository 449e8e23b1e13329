import { MAX_SKEW_S } from '../envelope/expectation.ts'

const MINUTE_S = 60
const HOUR_S = 3600
const DAY_S = 86_400

function inWords(seconds: number): string {
  const [count, unit] =
    seconds < 2 * MINUTE_S
      ? [seconds, 'second']
      : seconds < 2 * HOUR_S
        ? [seconds / MINUTE_S, 'minute']
        : seconds < 2 * DAY_S
          ? [seconds / HOUR_S, 'hour']
          : [seconds / DAY_S, 'day']
  const rounded = Math.round(count)
  return `${rounded} ${unit}${rounded === 1 ? '' : 's'}`
}

/**
 * Says how far this clock is off, by the `Date` of the last answer; `undefined` when that is less than readers allow, or not
 * known. Nobody signs that header, so this is for people to read, and nothing is decided by it.
 */
export function clockHint(skewMs: number | undefined): string | undefined {
  if (skewMs === undefined || Math.abs(skewMs) <= MAX_SKEW_S * 1000) return undefined
  const off = inWords(Math.round(Math.abs(skewMs) / 1000))
  return `By the HTTP Date of the server, your clock is ${off} ${skewMs > 0 ? 'behind' : 'ahead'}.`
}
