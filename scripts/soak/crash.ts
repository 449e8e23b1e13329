import { crashPoints } from '#src/core/crash-points.ts'
import { startCrashBench } from '#test/support/crash-bench.ts'
import { checkSwept, type Publish, runCrashes } from '#test/support/crash-trials.ts'
import { startOwnPostgres } from '../test/own-postgres.ts'
import type { SoakPart } from './soak-part.ts'

const TRIALS = 1_000
/** Crashes at one step before it is the turn of the next one, so that an early failure may be at any step. */
const CHUNK = 10

/**
 * `kill -9` at the steps of a publish, as `npm test` does it 120 times: `npm run soak -- crash --trials N`. The seed has no
 * part in it: what differs between two runs is what the machine does meanwhile.
 */
export const crashPart: SoakPart = {
  name: 'crash',
  async run(_seed, report, { trials = TRIALS }) {
    await using stack = new AsyncDisposableStack()
    const postgres = stack.adopt(await startOwnPostgres(), ({ stop }) => stop())
    const bench = stack.adopt(await startCrashBench(postgres.url), ({ close }) => close())
    const publishes: Publish[] = []
    const counts = { crashes: 0, publishes: 0, answered: 0, 'sent by a retry': 0, replayed: 0, unknown: 0 }
    const title = 'killed servers: nothing acknowledged is lost, nothing is published twice'
    for (let from = 0; counts.crashes < trials; from += CHUNK) {
      for (const step of crashPoints) {
        const count = Math.min(CHUNK, trials - counts.crashes)
        if (count === 0) break
        const done = await runCrashes(bench, step, { count, from })
        counts.crashes += done.length
        for (const one of done.flatMap((trial) => trial.publishes)) {
          const { first, retry } = one
          publishes.push(one)
          counts.publishes++
          if (first) counts.answered++
          else if (retry.error) counts.unknown++
          else counts[retry.data?.replayed ? 'replayed' : 'sent by a retry']++
        }
        await report(title, counts.crashes, trials)
      }
    }
    checkSwept(await bench.settleAudit(), publishes)
    return { [title]: counts }
  },
}
