import { cpus, release, totalmem, type } from 'node:os'

/** The middle of the sorted values; of an even number the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  if (low === undefined || high === undefined) throw new RangeError('no values')
  return (low + high) / 2
}

/** Names what the figures depend on. */
export function describeMachine(): string {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${cpus().length} cores (${cpu?.model.trim() ?? 'unknown'}), ${memory} GiB, ${type()} ${release()}, Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`
}

/** The comments between which the figures of a part stand. */
export function markersOf(part: string): { start: string; end: string } {
  return { start: `<!-- bench:${part}:start -->`, end: `<!-- bench:${part}:end -->` }
}

/**
 * Replaces what stands between the markers of a part.
 *
 * @throws {Error} where the markers are not there exactly once, in their order
 */
export function replaceBetweenMarkers(text: string, part: string, content: string): string {
  const { start, end } = markersOf(part)
  const pieces = text.split(start)
  const rest = pieces[1]?.split(end)
  if (pieces.length !== 2 || rest?.length !== 2) throw new Error(`The README needs ${start} and ${end}, once each.`)
  return `${pieces[0]}${start}\n${content}\n${end}${rest[1]}`
}
