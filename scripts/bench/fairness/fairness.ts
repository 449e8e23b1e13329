// The fairness part of the benchmark: what one tenant feels of another that asks for ten times its quota, or whose broker is
// dead; and what a server does that is asked for more than it can answer.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { setPriority, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createTenant, setTenant } from '#src/app.ts'
import { parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { type Broker, startBroker } from '../../quickstart/broker.ts'
import { runStep } from '../../step.ts'
import { median } from '../report.ts'
import { startSealwire } from '../signing/variants.ts'
import { createLoadGenerator, type Request } from '../wrk.ts'
import { type LoadJob, type LoadResult, percentile } from './load.ts'

export interface FairnessOptions {
  /** Phases of each kind. */
  readonly rounds: number
  /** Of one phase. */
  readonly seconds: number
}

/** What one phase did to the tenant that is watched. */
export interface Felt {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failed: number
  readonly count: number
}

export interface Neighbour {
  readonly name: string
  /** Of the watched tenant; medians over the rounds. */
  readonly with: Felt
  /** Of p99 with the neighbour to p99 alone in the same round: median over the rounds, and its middle half. */
  readonly ratio: number
  readonly ratios: { readonly low: number; readonly high: number }
  /** What became of the neighbour's requests, by status. */
  readonly statuses: Readonly<Record<string, number>>
}

export interface Overload {
  /** Answers a second with success, at the connections that serve most. */
  readonly capacityPerS: number
  readonly times: number
  /** What the generators brought about, a second. */
  readonly offeredPerS: number
  readonly goodputPerS: number
  /** Milliseconds from the request on the wire to its refusal. */
  readonly refusedP50Ms: number
  readonly refusedP99Ms: number
  /** Of the requests that were timed. */
  readonly refused: number
}

export interface FairnessResults {
  readonly rounds: number
  readonly victimPerS: number
  readonly quotaPerS: number
  readonly alone: Felt
  readonly neighbours: readonly Neighbour[]
  readonly overload: readonly Overload[]
}

/** Acknowledged, with nobody subscribed. */
const SUCCESS = 202
const VICTIM_PER_S = 200
const QUOTA_PER_S = 200
/** Of the neighbour with the dead broker, who has the quota that everybody has, and keeps within it. */
const DEAD_PER_S = 200
const WARM_SECONDS = 6
/** Seconds that a neighbour asks before and after the watched tenant is measured. */
const LEAD_S = 0.3
const CAPACITY_SECONDS = 4
const OVERLOAD_SECONDS = 8
const CAPACITY_CONNECTIONS = 64
/** More than one tenant has places: below that nothing need be refused. */
const OVERLOAD_CONNECTIONS = 4_000
/** Requests a second whose refusals are timed. */
const PROBES_PER_S = 100

/** A load generator that lives as long as the part: starting one in the middle of a phase would be felt in it. */
interface Generator {
  run(job: LoadJob): Promise<LoadResult>
  stop(): void
}

/**
 * Starts a generator. That of a neighbour yields: it stands for machines elsewhere, and must not take from the server what
 * a client over a network would not.
 */
function startGenerator({ yields }: { yields: boolean }): Generator {
  const child: ChildProcess = fork(fileURLToPath(new URL('./load.ts', import.meta.url)))
  if (yields && child.pid !== undefined) setPriority(child.pid, 10)
  const ended = once(child, 'exit')
  return {
    async run(job) {
      const answer = once(child, 'message') as Promise<[LoadResult]>
      child.send(job)
      const first = await Promise.race([answer, ended.then(([code]) => Promise.reject(new Error(`it ended: ${code}`)))])
      return first[0]
    },
    stop: () => child.disconnect(),
  }
}

function feltBy({ byStatus, due }: LoadResult): Felt {
  const good = byStatus[SUCCESS]
  if (!good) throw new Error(`no publish of the watched tenant succeeded: ${JSON.stringify(byStatus)}`)
  return { p50Ms: good.p50Ms, p99Ms: good.p99Ms, failed: due - good.count, count: due }
}

const medianFelt = (all: readonly Felt[]): Felt => ({
  p50Ms: median(all.map(({ p50Ms }) => p50Ms)),
  p99Ms: median(all.map(({ p99Ms }) => p99Ms)),
  failed: all.reduce((sum, { failed }) => sum + failed, 0),
  count: all.reduce((sum, { count }) => sum + count, 0),
})

/** A port that accepts and says nothing, as a broker does that hangs. */
async function startSilence(stack: AsyncDisposableStack): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => void server.close())
  return (server.address() as AddressInfo).port
}

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function preparePublish(url: string, apiKey: string, values: Broker['credential']): Promise<Request> {
  const client = new Sealwire({ baseUrl: url, apiKey })
  const { id: credentialId } = await client.vault.seal({ credentialType: 'custom_kv', values })
  const { id } = await client.integrations.create({
    name: 'bench',
    systemType: 'mqtt',
    credentialId,
    allowedOperations: ['publish'],
    config: { topics: ['bench/#'], protocol: 'mqtt' },
  })
  const payload = { topic: 'bench/temperature', message: '22.5'.repeat(16), qos: 1 }
  const body = JSON.stringify({ integration_id: id, operation: 'publish', payload })
  return {
    url: `${url}/api/v2/proxy/outbound`,
    headers: { 'content-type': 'application/json', 'x-api-key': apiKey },
    body,
  }
}

interface Phase {
  readonly name: string
  readonly request: Request
  readonly perS: number
}

interface Generators {
  readonly watching: Generator
  readonly noisy: Generator
}

/** One phase: the watched tenant, beside a neighbour that begins before it and ends after it. */
async function runPhase({ watching, noisy }: Generators, victim: Request, seconds: number, beside: Phase | undefined) {
  const watched = { request: victim, perS: VICTIM_PER_S, seconds, connections: 200 }
  if (!beside) return { felt: feltBy(await watching.run(watched)), statuses: {} }
  const { request, perS } = beside
  const noise = noisy.run({ request, perS, seconds: seconds + 2 * LEAD_S, connections: 2_000 })
  await delay(LEAD_S * 1000)
  const felt = feltBy(await watching.run(watched))
  return { felt, statuses: (await noise).byStatus }
}

/** Rounds of one phase alone and one beside each neighbour, in an order that turns: what else the machine does meets all. */
async function measureNeighbours(
  generators: Generators,
  victim: Request,
  phases: readonly Phase[],
  { rounds, seconds }: FairnessOptions,
): Promise<Pick<FairnessResults, 'alone' | 'neighbours'>> {
  const kinds = [undefined, ...phases]
  const results = kinds.map(() => ({ felt: [] as Felt[], statuses: {} as Record<string, number> }))
  for (let round = 0; round < rounds; round++) {
    await runStep(`Neighbours, round ${round + 1} of ${rounds}`, async () => {
      for (let i = 0; i < kinds.length; i++) {
        const kind = (i + round) % kinds.length
        const { felt, statuses } = await runPhase(generators, victim, seconds, kinds[kind])
        results[kind]?.felt.push(felt)
        for (const [status, { count }] of Object.entries(statuses)) {
          const all = results[kind]?.statuses
          if (all) all[status] = (all[status] ?? 0) + count
        }
      }
    })
  }
  const [alone, ...others] = results.map(({ felt }) => felt)
  if (!alone) throw new Error('nothing was measured')
  const neighbours = others.map((felt, i) => {
    const ratios = felt.map(({ p99Ms }, round) => p99Ms / (alone[round]?.p99Ms ?? Number.NaN)).toSorted((a, b) => a - b)
    return {
      name: phases[i]?.name ?? '',
      with: medianFelt(felt),
      ratio: median(ratios),
      ratios: { low: percentile(ratios, 0.25), high: percentile(ratios, 0.75) },
      statuses: results[i + 1]?.statuses ?? {},
    }
  })
  return { alone: medianFelt(alone), neighbours }
}

/** Floods the server, and asks beside the flood what its refusals take. */
async function measureOverload({ watching }: Generators, request: Request): Promise<Overload[]> {
  await using generator = await createLoadGenerator()
  const capacities: number[] = []
  await runStep('Capacity', async () => {
    for (let i = 0; i < 3; i++)
      capacities.push((await generator.load(request, CAPACITY_CONNECTIONS, CAPACITY_SECONDS)).perS)
  })
  const capacityPerS = median(capacities)
  const overload: Overload[] = []
  for (const times of [2, 5]) {
    await runStep(`${times} times its capacity`, async () => {
      const job = { connections: OVERLOAD_CONNECTIONS, seconds: OVERLOAD_SECONDS, perS: times * capacityPerS }
      const probe = { request, perS: PROBES_PER_S, seconds: OVERLOAD_SECONDS, connections: 800, opened: 400 }
      const probing = watching.run(probe)
      await delay(LEAD_S * 1000)
      const [flood, { byStatus, served }] = await Promise.all([generator.flood(request, job), probing])
      const refused = served[503]
      overload.push({
        capacityPerS,
        times,
        offeredPerS: flood.perS + PROBES_PER_S,
        goodputPerS: flood.goodPerS + (byStatus[SUCCESS]?.count ?? 0) / OVERLOAD_SECONDS,
        refusedP50Ms: refused?.p50Ms ?? 0,
        refusedP99Ms: refused?.p99Ms ?? 0,
        refused: refused?.count ?? 0,
      })
    })
  }
  return overload
}

export async function benchFairness(options: FairnessOptions): Promise<FairnessResults> {
  await using stack = new AsyncDisposableStack()
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-fairness-'))
  stack.defer(() => fs.rm(scratch, { recursive: true, force: true }))
  const broker = stack.adopt(await startBroker(), (one) => one.stop())
  const dataDir = path.join(scratch, 'data')
  const { running, request: victim } = await runStep('Start', () => startSealwire(dataDir, {}, broker))
  stack.adopt(running, (one) => one.stop())
  const config = parseConfig({ DATA_DIR: dataDir, OUTBOUND_ALLOW: '127.0.0.0/8' })
  const parts = { log: silentLog }

  async function neighbour(name: string, values: Broker['credential'], rateLimit?: number): Promise<Request> {
    const { tenantId, ownerKey } = await createTenant(config, { name, sandbox: false }, parts)
    const request = await preparePublish(running.url, ownerKey.reveal(), values)
    if (rateLimit !== undefined) await setTenant(config, tenantId, { rateLimit }, parts)
    return request
  }

  const busy = await neighbour('busy', broker.credential, QUOTA_PER_S)
  const silent = await neighbour('silent', { hostname: '127.0.0.1', port: await startSilence(stack) })
  const closed = await neighbour('closed', { hostname: '127.0.0.1', port: await closedPort() })
  const generators = { watching: startGenerator({ yields: false }), noisy: startGenerator({ yields: true }) }
  for (const one of Object.values(generators)) stack.adopt(one, ({ stop }) => stop())
  await runStep('Warm', async () => {
    await generators.watching.run({ request: victim, perS: 800, seconds: WARM_SECONDS, connections: 64 })
    await generators.noisy.run({ request: busy, perS: 10 * QUOTA_PER_S, seconds: 2, connections: 64 })
  })
  const phases = [
    { name: 'a neighbour at its quota', request: busy, perS: QUOTA_PER_S },
    { name: 'a neighbour at ten times its quota', request: busy, perS: 10 * QUOTA_PER_S },
    { name: 'a neighbour whose broker hangs', request: silent, perS: DEAD_PER_S },
    { name: 'a neighbour whose broker refuses connections', request: closed, perS: DEAD_PER_S },
  ]
  const felt = await measureNeighbours(generators, victim, phases, options)
  const overload = await measureOverload(generators, victim)
  return { rounds: options.rounds, victimPerS: VICTIM_PER_S, quotaPerS: QUOTA_PER_S, ...felt, overload }
}
