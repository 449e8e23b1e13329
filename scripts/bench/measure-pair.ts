import { median } from './report.ts'

export interface Measurement {
  /** Microseconds of processor time per call. */
  readonly ours: number
  readonly theirs: number
  /** Median over the rounds, each with its own two. */
  readonly ratio: number
}

const ROUNDS = 7
const ROUND_US = 300_000
/** So long is one turn at least, so that reading the clock costs nothing. */
const TURN_US = 4_000

/** Microseconds of processor time that this process has had, on all threads. */
function processorUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

function timeOf(run: () => void, calls: number): number {
  const startedUs = processorUs()
  for (let i = 0; i < calls; i++) run()
  return processorUs() - startedUs
}

/** Calls until a turn is long enough, which also warms up. */
function callsPerTurn(run: () => void): number {
  for (let calls = 1; ; calls *= 2) if (timeOf(run, calls) >= TURN_US) return calls
}

/**
 * Measures two functions that take turns of a few milliseconds, the first now one and now the other, so that whatever else
 * the machine does meets both alike.
 */
export function measurePair(ours: () => void, theirs: () => void): Measurement {
  const sides = [ours, theirs].map((run) => ({ run, calls: callsPerTurn(run) }))
  const rounds: number[][] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const spent = [0, 0]
    let turns = 0
    for (; (spent[0] ?? 0) + (spent[1] ?? 0) < ROUND_US; turns++) {
      for (const side of turns % 2 === 0 ? [0, 1] : [1, 0]) {
        const { run, calls } = sides[side] as (typeof sides)[number]
        spent[side] = (spent[side] ?? 0) + timeOf(run, calls)
      }
    }
    if (round > 0) rounds.push(spent.map((us, side) => us / (turns * (sides[side]?.calls ?? 1)))) // the first warms up
  }
  const column = (of: (round: readonly number[]) => number) => median(rounds.map(of))
  return {
    ours: column(([own = 0]) => own),
    theirs: column(([, other = 0]) => other),
    ratio: column(([own = 0, other = 0]) => own / other),
  }
}

/** Microseconds of processor time per call: the median over the rounds. */
export function measureAlone(run: () => void): number {
  const calls = callsPerTurn(run)
  const rounds: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    let [us, turns] = [0, 0]
    for (; us < ROUND_US / 4; turns++) us += timeOf(run, calls)
    if (round > 0) rounds.push(us / (turns * calls))
  }
  return median(rounds)
}
