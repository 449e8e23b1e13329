import type { Profile } from './profile.ts'
import type { Measurement, SigningResults } from './signing.ts'

const whole = (value: number) => Math.round(value).toLocaleString('en')
const orDash = (value: number | null, digits: number) => (value === null ? '–' : value.toFixed(digits))

function row({ letter, name, perS, p50Ms, p99Ms, cpuS, batch, loopDelayP99Ms }: Measurement): string {
  const cells = [
    `${letter}: ${name}`,
    whole(perS),
    p50Ms.toFixed(1),
    p99Ms.toFixed(0),
    orDash(cpuS, 3),
    orDash(batch, 1),
    orDash(loopDelayP99Ms, 1),
  ]
  return `| ${cells.join(' | ')} |`
}

const profileRow = (thread: string, { part, micros }: Profile[number]) =>
  `| ${thread}: ${part} | ${micros < 0.5 ? '< 1' : micros.toFixed(0)} |`

/** Renders the measurements as the lines that stand in the README. */
export function renderSigning({ rounds, measurements, profiles }: SigningResults): string {
  const counts = [...new Set(measurements.map(({ connections }) => connections))]
  const tables = counts.flatMap((connections) => [
    '',
    `| ${connections === 1 ? '1 connection' : `${connections} connections`} | requests/s | p50 ms | p99 ms | CPU s per 1,000 | mean batch | loop delay p99 ms |`,
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...measurements.filter((one) => one.connections === connections).map(row),
  ])
  return [
    `One QoS 1 publish of 64 bytes through Mosquitto for each request; wrk, server, database and broker on one machine; medians of ${rounds} rounds. CPU is the server's process alone; Node-RED answers without waiting for the broker.`,
    ...tables,
    '',
    '| at 64 connections, with the profiler on | µs a request |',
    '| --- | --- |',
    ...profiles.loop.map((one) => profileRow('event loop', one)),
    ...profiles.crypto.map((one) => profileRow('crypto thread', one)),
  ].join('\n')
}

/** The ratios that are aimed at, each with what was measured, for whoever works on it. */
export function renderTargets({ measurements }: SigningResults): string {
  const at = (letter: string, connections: number) => {
    const found = measurements.find((one) => one.letter === letter && one.connections === connections)
    if (!found) throw new RangeError(`no measurement of ${letter} at ${connections}`)
    return found
  }
  const cpu = (letter: string) => at(letter, 64).cpuS ?? Number.NaN
  const targets: readonly (readonly [what: string, measured: number, wanted: 'least' | 'most', bound: number])[] = [
    ['64: b / c, requests', at('b', 64).perS / at('c', 64).perS, 'least', 3],
    ['64: b / c, CPU', cpu('b') / cpu('c'), 'most', 0.25],
    ['64: b / c, p99', at('b', 64).p99Ms / at('c', 64).p99Ms, 'most', 0.5],
    ['64: b / a, requests', at('b', 64).perS / at('a', 64).perS, 'least', 0.25],
    ['64: b / Node-RED, requests', at('b', 64).perS / at('n', 64).perS, 'least', 0.5],
    ['256: b / a, requests', at('b', 256).perS / at('a', 256).perS, 'least', 0.3],
    ['1: b / c, p50', at('b', 1).p50Ms / at('c', 1).p50Ms, 'most', 1.15],
    ['64: d / e, requests', at('d', 64).perS / at('e', 64).perS, 'least', 5],
    ['64: b, loop delay p99 ms', at('b', 64).loopDelayP99Ms ?? Number.NaN, 'most', 20],
  ]
  return targets
    .map(([what, measured, wanted, bound]) => {
      const holds = wanted === 'least' ? measured >= bound : measured <= bound
      return `${holds ? 'holds ' : 'missed'}  ${what}: ${measured.toFixed(2)} (at ${wanted} ${bound})`
    })
    .join('\n')
}
