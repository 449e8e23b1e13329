import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createMessaging, integrationAt } from '#test/messaging/harness.ts'
import { startFarmProcess } from '../bench/pool/farm-process.ts'
import type { SoakPart } from './soak-part.ts'

const CYCLES = 10_000
/** Until every cache has met every integration, and the compiler has seen the path. */
const WARM_UP = 2_000
const CONNECTIONS = 20
const INTEGRATIONS = 200
const BROKERS = 20
/** Cycles from one look at the memory to the next. */
const STEP = 250
/** P17. */
const MAX_BYTES_PER_CYCLE = 100
/** Time for sockets that were closed to be gone. */
const SETTLE_MS = 300

interface Look {
  readonly cycles: number
  /** What is still reachable, buffers included. */
  readonly bytes: number
  readonly handles: number
}

/** Slope of the line of least squares. */
function slopeOf(looks: readonly Look[]): number {
  const mean = (of: (look: Look) => number) => looks.reduce((sum, look) => sum + of(look), 0) / looks.length
  const [x, y] = [mean(({ cycles }) => cycles), mean(({ bytes }) => bytes)]
  return mean((look) => (look.cycles - x) * (look.bytes - y)) / mean((look) => (look.cycles - x) ** 2)
}

/**
 * Connects, publishes and evicts again and again, and looks at what that leaves in memory and open.
 *
 * @throws {Error} when what stays grows by more than 100 bytes a cycle, or handles are left (P17)
 */
export async function soakPool(
  { cycles, warmUp }: { cycles: number; warmUp: number },
  report: (title: string, done: number, wanted: number) => Promise<void>,
): Promise<Record<string, number>> {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  await using stack = new AsyncDisposableStack()
  const farm = stack.adopt(await startFarmProcess(BROKERS), (one) => one.stop())
  const messaging = stack.use(createMessaging({ maxConnections: CONNECTIONS }))
  const integrations = Array.from({ length: INTEGRATIONS }, (_, i) =>
    integrationAt(messaging, `127.0.1.${1 + (i % BROKERS)}`, farm.port),
  )
  const looks: Look[] = []
  for (let done = 0; done < cycles; done++) {
    const integration = integrations[done % INTEGRATIONS]
    assert.ok(integration)
    const { outcome } = await messaging.send(integration, { topic: 'soak' })
    assert.equal(outcome, 'acknowledged')
    messaging.audit.rows.length = 0 // the audit log of this harness keeps everything
    if (done >= warmUp && done % STEP === 0) {
      await delay(SETTLE_MS)
      collectGarbage()
      const { heapUsed, external } = process.memoryUsage()
      looks.push({ cycles: done, bytes: heapUsed + external, handles: process.getActiveResourcesInfo().length })
    }
    await report('connections made and evicted', done + 1, cycles)
  }
  const { connects, connections } = messaging.pool.stats()
  assert.equal(connects, cycles, 'every publish made a connection')
  const handles = looks.map((look) => look.handles)
  const [fewest, most] = [Math.min(...handles), Math.max(...handles)]
  const bytesPerCycle = Math.round(slopeOf(looks))
  const counts = { connects, evicted: connects - connections, bytesPerCycle, fewestHandles: fewest, mostHandles: most }
  assert.ok(looks.length >= 4, 'too few looks')
  assert.ok(most - fewest <= CONNECTIONS / 2, `handles: ${JSON.stringify(counts)}`)
  assert.ok(bytesPerCycle < MAX_BYTES_PER_CYCLE, `memory: ${JSON.stringify(counts)}`)
  return counts
}

/** What connecting and evicting ten thousand times leaves behind. */
export const poolPart: SoakPart = {
  name: 'pool',
  async run(_seed, report) {
    return { 'connections made and evicted': await soakPool({ cycles: CYCLES, warmUp: WARM_UP }, report) }
  },
}
