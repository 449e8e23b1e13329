import fs from 'node:fs/promises'
import path from 'node:path'
import { Sealwire } from '#src/sdk/index.ts'
import type { Broker } from '../../quickstart/broker.ts'
import { type Running, startProgram } from '../process.ts'
import type { Request } from '../wrk.ts'
import { startNodeRed } from './node-red.ts'

/** One program under measurement. */
export interface Variant {
  /** `a` relays, `b` does everything, `b'` without audit, `c` with a signature for each answer; `d` and `e` are `b` and `c` on noble. */
  readonly letter: string
  readonly name: string
  readonly running: Running
  readonly request: Request
  /** Sealwire's own metrics are there. */
  readonly isSealwire: boolean
}

/** QoS 1, 64 bytes. */
const message = { topic: 'bench/temperature', message: '22.5'.repeat(16), qos: 1 }

function requestOf(url: string, body: unknown, headers: Record<string, string> = {}): Request {
  return { url, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) }
}

/** Seals the broker's credentials and makes an integration, as the owner of a fresh server. */
async function preparePublish(url: string, dataDir: string, broker: Broker): Promise<Request> {
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
  return requestOf(`${url}/api/v2/proxy/outbound`, body, { 'X-API-Key': apiKey })
}

/** Starts a fresh server that is ready to publish. */
export async function startSealwire(
  dataDir: string,
  env: Record<string, string>,
  broker: Broker,
  flags: readonly string[] = [],
): Promise<{ running: Running; request: Request }> {
  const place = { DATA_DIR: dataDir, DATABASE_URL: '', HOST: '127.0.0.1', PORT: '0', OUTBOUND_ALLOW: '127.0.0.0/8' }
  const running = await startProgram('scripts/bench/signing/server.ts', { ...place, ...env }, flags)
  try {
    return { running, request: await preparePublish(running.url, dataDir, broker) }
  } catch (err) {
    await running.stop()
    throw err
  }
}

const sealwires: readonly (readonly [letter: string, name: string, env: Record<string, string>])[] = [
  ['b', 'Sealwire', {}],
  ["b'", 'Sealwire, no audit', { BENCH_AUDIT: 'off' }],
  ['c', 'Sealwire, a signature for each answer', { SIGNER_BATCH_MAX: '1' }],
  ['d', 'Sealwire on noble', { CRYPTO_PROVIDER: 'noble' }],
  ['e', 'Sealwire on noble, a signature for each answer', { CRYPTO_PROVIDER: 'noble', SIGNER_BATCH_MAX: '1' }],
]

/** Starts every variant beside the others, on one broker; all are stopped with the stack. */
export async function startVariants(
  broker: Broker,
  scratch: string,
  stack: AsyncDisposableStack,
): Promise<readonly Variant[]> {
  const adopt = (running: Running) => stack.adopt(running, (one) => one.stop())
  const { hostname, port, username = '', password = '' } = broker.credential
  const relay = adopt(
    await startProgram('scripts/bench/plain-relay.ts', {
      BROKER_URL: `mqtt://${username}:${password}@${hostname}:${port}`,
    }),
  )
  const plain = { request: requestOf(`${relay.url}/publish`, message), running: relay, isSealwire: false }
  const variants: Variant[] = [{ letter: 'a', name: 'plain relay (Express 5, mqtt.js)', ...plain }]
  for (const [letter, name, env] of sealwires) {
    const one = await startSealwire(path.join(scratch, letter.replace("'", '-')), env, broker)
    adopt(one.running)
    variants.push({ letter, name, isSealwire: true, ...one })
  }
  const red = adopt(await startNodeRed({ hostname, port, username, password }, path.join(scratch, 'node-red')))
  const request = requestOf(`${red.url}/publish`, message)
  variants.push({ letter: 'n', name: 'Node-RED 4, http in to mqtt out', running: red, request, isSealwire: false })
  return variants
}
