import { cpus, release, totalmem, type } from 'node:os'

export interface Rate {
  peer: string
  /** Median over the rounds. */
  sequentialPerS: number
  concurrentPerS: number
  concurrentP99Ms: number
}

export interface Results {
  date: string
  machine: string
  broker: string
  rounds: number
  connections: number
  startMs: number
  firstStartMs: number
  serverMiB: number
  postgresMiB: number | null
  rates: readonly Rate[]
}

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

const whole = (value: number) => Math.round(value).toLocaleString('en')

/** Renders the results as the lines that stand in the README. */
export function renderMarkdown(results: Results): string {
  const { startMs, firstStartMs, serverMiB, postgresMiB, rates, connections, rounds } = results
  const rows = rates.map(
    ({ peer, sequentialPerS, concurrentPerS, concurrentP99Ms }) =>
      `| ${peer} | ${whole(sequentialPerS)} | ${whole(concurrentPerS)} | ${whole(concurrentP99Ms)} ms |`,
  )
  const database = postgresMiB === null ? '' : `, and its own PostgreSQL ${whole(postgresMiB)} MiB`
  return [
    `Publishes per second at QoS 1 through ${results.broker}, client, server, database and broker on one machine; median of ${rounds} rounds.`,
    '',
    `| | one after the other | ${connections} connections | 99 % within |`,
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    `The server listens after ${whole(startMs)} ms (${whole(firstStartMs)} ms on its first start, which makes database and keys) and takes ${whole(serverMiB)} MiB when idle${database}.`,
    '',
    `Measured ${results.date.slice(0, 10)} with \`npm run bench\` on ${results.machine}.`,
  ].join('\n')
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
