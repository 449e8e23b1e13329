// The signing part of the benchmark: what an answer costs when one signature covers a batch of them, beside the same server
// with a signature for each, the portable provider, a plain relay and Node-RED, all in one run.
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startBroker } from '../../quickstart/broker.ts'
import { runStep } from '../../step.ts'
import { processorSeconds } from '../process.ts'
import { median } from '../report.ts'
import { createLoadGenerator, type LoadGenerator } from '../wrk.ts'
import { type Profiles, profileUnderLoad } from './profile.ts'
import { startSealwire, startVariants, type Variant } from './variants.ts'

export interface SigningOptions {
  readonly rounds: number
  /** Of one measurement. */
  readonly seconds: number
}

export interface Measurement {
  readonly letter: string
  readonly name: string
  readonly connections: number
  readonly perS: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Processor seconds of the program for 1,000 requests; `null` where the system does not say. */
  readonly cpuS: number | null
  /** Envelopes under one signature, in the mean. */
  readonly batch: number | null
  readonly loopDelayP99Ms: number | null
}

export interface SigningResults {
  readonly rounds: number
  readonly measurements: readonly Measurement[]
  /** Of Sealwire at 64 connections. */
  readonly profiles: Profiles
}

const CONNECTIONS = [1, 16, 64, 256]
/** Until the compiler has seen the hot path: shorter warming measures the compiler. */
const WARM_SECONDS = 8
/** Node's histogram of the event loop counts from the last tick of a timer of so long. */
const LOOP_INTERVAL_MS = 10

async function metricsOf({ running, isSealwire }: Variant) {
  if (!isSealwire) return null
  const text = await (await fetch(`${running.url}/metrics`)).text()
  const value = (name: string) => {
    const found = new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1]
    if (found === undefined) throw new Error(`${running.url}/metrics does not name ${name}`)
    return Number(found)
  }
  return {
    signatures: value('sealwire_signatures_total'),
    envelopes: value('sealwire_signing_batch_envelopes_sum'),
    loopDelayP99Ms: value('nodejs_eventloop_lag_p99_seconds') * 1000 - LOOP_INTERVAL_MS, // since it was read last
  }
}

async function measure(
  generator: LoadGenerator,
  variant: Variant,
  connections: number,
  seconds: number,
): Promise<Measurement> {
  const before = await metricsOf(variant)
  const busyS = processorSeconds(variant.running.pid)
  const { perS, p50Ms, p99Ms, requests } = await generator.load(variant.request, connections, seconds)
  const usedS = processorSeconds(variant.running.pid)
  const after = await metricsOf(variant)
  const signatures = before && after ? after.signatures - before.signatures : 0
  if (before && after && signatures > after.envelopes - before.envelopes)
    throw new Error('more signatures than envelopes')
  return {
    letter: variant.letter,
    name: variant.name,
    connections,
    perS,
    p50Ms,
    p99Ms,
    cpuS: busyS === null || usedS === null ? null : ((usedS - busyS) * 1000) / requests,
    batch: before && after ? (after.envelopes - before.envelopes) / signatures : null,
    loopDelayP99Ms: after && Math.max(0, after.loopDelayP99Ms),
  }
}

/** Of several measurements of one thing the median of each figure. */
function medianOf(all: readonly Measurement[]): Measurement {
  const [first] = all
  if (!first) throw new RangeError('no measurement')
  const of = (figure: (one: Measurement) => number | null) => {
    const values = all.map(figure).filter((value) => value !== null)
    return values.length === 0 ? null : median(values)
  }
  return {
    ...first,
    perS: median(all.map((one) => one.perS)),
    p50Ms: median(all.map((one) => one.p50Ms)),
    p99Ms: median(all.map((one) => one.p99Ms)),
    cpuS: of((one) => one.cpuS),
    batch: of((one) => one.batch),
    loopDelayP99Ms: of((one) => one.loopDelayP99Ms),
  }
}

/** Measures every variant at every number of connections, in turns, so that what else the machine does meets all alike. */
export async function benchSigning({ rounds, seconds }: SigningOptions): Promise<SigningResults> {
  await using stack = new AsyncDisposableStack()
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-signing-'))
  stack.defer(() => fs.rm(scratch, { recursive: true, force: true }))
  const generator = stack.use(await createLoadGenerator())
  const broker = stack.adopt(await startBroker(), (one) => one.stop())
  const variants = await runStep('Start', () => startVariants(broker, scratch, stack))
  for (const variant of variants)
    await runStep(`Warm ${variant.name}`, () => generator.load(variant.request, 64, WARM_SECONDS))

  const measured = new Map<string, Measurement[]>()
  for (let round = 1; round <= rounds; round++) {
    await runStep(`Round ${round} of ${rounds}`, async () => {
      for (const connections of CONNECTIONS) {
        for (const variant of variants) {
          const key = `${variant.letter} ${connections}`
          const one = await measure(generator, variant, connections, seconds)
          measured.set(key, [...(measured.get(key) ?? []), one])
        }
      }
    })
  }
  const profiles = await runStep('Profile', async () => {
    const folder = path.join(scratch, 'profile')
    const flags = ['--cpu-prof', '--cpu-prof-interval=250', `--cpu-prof-dir=${folder}`]
    const server = await startSealwire(path.join(scratch, 'profiled'), {}, broker, flags)
    stack.adopt(server.running, (one) => one.stop())
    return profileUnderLoad(server, generator, folder, { connections: 64, seconds: WARM_SECONDS })
  })
  return { rounds, measurements: [...measured.values()].map(medianOf), profiles }
}
