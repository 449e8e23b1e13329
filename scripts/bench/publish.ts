// The publish part of the benchmark: start time, idle memory, and publishes per second beside the shortest relay and beside
// the other cryptographic provider, all in one run.
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import autocannon from 'autocannon'
import { Sealwire } from '#src/sdk/index.ts'
import { type Broker, startBroker } from '../quickstart/broker.ts'
import { runStep } from '../step.ts'
import { descendantsMiB, type Running, residentMiB, startProgram } from './process.ts'
import { describeMachine, median, type Rate, type Results, renderMarkdown } from './report.ts'

const CONNECTIONS = 64
const STARTS = 5
const IDLE_MS = 3_000

export interface PublishOptions {
  rounds: number
  /** Of one measurement. */
  seconds: number
}

interface Peer {
  name: string
  url: string
  headers: Record<string, string>
  body: string
  sequential: number[]
  concurrent: number[]
  p99: number[]
}

function startServer(dataDir: string, provider: string): Promise<Running> {
  const settings = { DATA_DIR: dataDir, CRYPTO_PROVIDER: provider, PORT: '0', HOST: '127.0.0.1', DATABASE_URL: '' }
  return startProgram('src/main.ts', {
    ...settings,
    LOG_LEVEL: 'info',
    LOG_FORMAT: 'json',
    OUTBOUND_ALLOW: '127.0.0.0/8',
  })
}

const message = { topic: 'bench/temperature', message: '22.5'.repeat(16), qos: 1 }

function peer(name: string, url: string, body: unknown, headers: Record<string, string> = {}): Peer {
  const lists = { sequential: [], concurrent: [], p99: [] }
  return {
    name,
    url,
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', ...headers },
    ...lists,
  }
}

/** Seals the broker's credentials and makes an integration, as the owner of a fresh server. */
async function sealedPeer(name: string, { url }: Running, dataDir: string, broker: Broker): Promise<Peer> {
  const apiKey = (await fs.readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
  const client = new Sealwire({ baseUrl: url, apiKey })
  const sealed = await client.vault.seal({ credentialType: 'custom_kv', values: broker.credential })
  const { id } = await client.integrations.create({
    name: 'bench',
    systemType: 'mqtt',
    credentialId: sealed.id,
    allowedOperations: ['publish'],
    config: { topics: ['bench/#'], protocol: broker.protocol },
  })
  const body = { integration_id: id, operation: 'publish', payload: message }
  return peer(name, `${url}/api/v2/proxy/outbound`, body, { 'X-API-Key': apiKey })
}

/** One measurement. A single refused or lost call makes it void. */
async function load({ url, headers, body, name }: Peer, connections: number, seconds: number) {
  const result = await autocannon({ url, method: 'POST', headers, body, connections, duration: seconds })
  const { errors, timeouts, non2xx, requests, latency } = result
  if (errors + timeouts + non2xx > 0 || requests.total === 0)
    throw new Error(
      `${name}: ${errors} errors, ${timeouts} timeouts, ${non2xx} answers that are no 2xx, ${requests.total} in all`,
    )
  return { perS: requests.average, p99Ms: latency.p99 }
}

async function measureRates(peers: readonly Peer[], { rounds, seconds }: PublishOptions): Promise<Rate[]> {
  for (const one of peers) await load(one, CONNECTIONS, seconds) // warm
  for (let round = 1; round <= rounds; round++) {
    await runStep(`Round ${round} of ${rounds}`, async () => {
      for (const one of peers) {
        one.sequential.push((await load(one, 1, seconds)).perS)
        const { perS, p99Ms } = await load(one, CONNECTIONS, seconds)
        one.concurrent.push(perS)
        one.p99.push(p99Ms)
      }
    })
  }
  return peers.map(({ name, sequential, concurrent, p99 }) => ({
    peer: name,
    sequentialPerS: median(sequential),
    concurrentPerS: median(concurrent),
    concurrentP99Ms: median(p99),
  }))
}

async function measureStart(dataDir: string) {
  const first = await startServer(dataDir, 'auto')
  await first.stop()
  const starts: number[] = []
  for (let i = 0; i < STARTS; i++) {
    const server = await startServer(dataDir, 'auto')
    starts.push(server.startMs)
    if (i < STARTS - 1) {
      await server.stop()
      continue
    }
    await delay(IDLE_MS)
    const [serverMiB, postgresMiB] = [residentMiB(server.pid), descendantsMiB(server.pid) ?? null]
    await server.stop()
    return { firstStartMs: first.startMs, startMs: median(starts), serverMiB, postgresMiB }
  }
  throw new Error('no start was measured')
}

/** Measures, and gives the results with the lines that stand in the README. */
export async function benchPublish(options: PublishOptions): Promise<{ results: Results; text: string }> {
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-bench-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => fs.rm(scratch, { recursive: true, force: true }))
  const place = (name: string) => path.join(scratch, name)
  const start = await runStep('Start and idle memory', () => measureStart(place('start')))
  const broker = stack.adopt(await startBroker(), (one) => one.stop())
  const { hostname, port, username = '', password = '' } = broker.credential
  const adopt = async (starting: Promise<Running>) => stack.adopt(await starting, (one) => one.stop())
  const relay = await adopt(
    startProgram('scripts/bench/plain-relay.ts', { BROKER_URL: `mqtt://${username}:${password}@${hostname}:${port}` }),
  )
  const openssl = await adopt(startServer(place('openssl'), 'openssl'))
  const noble = await adopt(startServer(place('noble'), 'noble'))
  const peers = [
    peer(
      'plain relay (Express 5 and mqtt.js: no authentication, no record, nothing sealed)',
      `${relay.url}/publish`,
      message,
    ),
    await sealedPeer('Sealwire: sealed, signed, recorded (OpenSSL)', openssl, place('openssl'), broker),
    await sealedPeer('the same with noble instead of OpenSSL', noble, place('noble'), broker),
  ]
  const rates = await measureRates(peers, options)
  const about = { date: new Date().toISOString(), machine: describeMachine(), broker: broker.words.split(' ')[0] ?? '' }
  const results: Results = { ...about, rounds: options.rounds, connections: CONNECTIONS, ...start, rates }
  return { results, text: renderMarkdown(results) }
}
