import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Config, parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { type Foundation, openFoundation } from '#src/foundation.ts'
import { createKeyOperations, type KeyOperations } from '#src/keys/key-operations.ts'
import { systemCallClock } from '#src/sdk/call-clock.ts'
import { type HybridCryptoEnvelope, ML_KEM_SUITE, Sealwire, type SuiteName } from '#src/sdk/index.ts'
import { testDatabase } from './database.ts'
import { startMosquitto } from './mosquitto.ts'
import { startServerProcess } from './server-process.ts'

/** A client with an API key and a recipient of its own. */
export interface ServedClient {
  sdk: Sealwire
  /** How often it fetched the key document. */
  fetches(): number
  /** Puts its monotonic clock ahead: how old it takes the key document to be. */
  advance(ms: number): void
  /** Publishes `message` at QoS 1; the broker's acknowledgement comes out of an envelope that the SDK opened. */
  publish(message?: string): Promise<HybridCryptoEnvelope>
}

/** A server process, a real broker and an integration between them, as an operator and tenants meet them. */
export interface ServedDeployment {
  url: string
  owner: Sealwire
  integrationId: string
  brokerPort: number
  config: Config
  /** Variables of an operator's command beside the server. */
  env: Record<string, string>
  /** The operator's process: all that it shares with the server is the database and the data folder. */
  operator: Foundation
  /** Key operations of an operator whose clock is ahead of all others. */
  operationsAt(aheadMs: number): KeyOperations
  client(suite?: SuiteName): Promise<ServedClient>
  /** Verifies the tenant's audit log. */
  assertAuditWhole(): Promise<void>
  /** Sum of a metric's samples with this name. */
  metric(name: string): Promise<number>
  close(): Promise<void>
}

export async function serveDeployment(env: Record<string, string> = {}): Promise<ServedDeployment> {
  await using stack = new AsyncDisposableStack()
  const dataDir = stack.adopt(await mkdtemp(path.join(tmpdir(), 'sealwire-served-')), (folder) =>
    rm(folder, { recursive: true, force: true }),
  )
  const database = stack.adopt(await testDatabase(), ({ drop }) => drop())
  const broker = stack.adopt(await startMosquitto(), ({ stop }) => stop())
  const ownEnv = { DATABASE_URL: database.url, DATA_DIR: dataDir, ...env }
  const { url } = stack.adopt(await startServerProcess(ownEnv), async ({ child }) => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const config = parseConfig(ownEnv)
  const operator = stack.adopt(await openFoundation(config, { log: silentLog, join: true }), ({ close }) => close())
  const ownerKey = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
  const options = { baseUrl: url, provider: opensslProvider, maxRetries: 0 }
  const owner = new Sealwire({ ...options, apiKey: ownerKey })
  const values = { hostname: '127.0.0.1', port: broker.ports.tcp }
  const { id: credentialId } = await owner.vault.seal({ name: 'broker', credentialType: 'custom_kv', values })
  const { id: integrationId } = await owner.integrations.create({
    name: 'line 4',
    systemType: 'mqtt',
    credentialId,
    allowedOperations: ['publish'],
    config: { topic: 'line/4', qos: 1 },
  })

  async function client(suite: SuiteName = ML_KEM_SUITE): Promise<ServedClient> {
    const { secret: apiKey } = await owner.apiKeys.create({ name: 'device', role: 'editor' })
    const recipient = await new Sealwire({ ...options, apiKey }).recipients.enroll({ name: 'device', suite })
    let aheadMs = 0
    let fetches = 0
    const sdk = new Sealwire({
      ...options,
      apiKey,
      recipient,
      clock: { ...systemCallClock, monotonic: () => systemCallClock.monotonic() + aheadMs },
      fetch(input, init) {
        if (new Request(input).url.includes('/.well-known/')) fetches++
        return fetch(input, init)
      },
    })
    return {
      sdk,
      fetches: () => fetches,
      advance(ms) {
        aheadMs += ms
      },
      async publish(message = '22.5') {
        const { result, envelope } = await sdk.proxy.publish({ integrationId, message })
        assert.equal(result.outcome, 'acknowledged')
        return envelope
      },
    }
  }

  const running = stack.move()
  return {
    url,
    owner,
    integrationId,
    brokerPort: broker.ports.tcp,
    config,
    env: { PATH: process.env['PATH'] ?? '', ...ownEnv },
    operator,
    operationsAt: (aheadMs) =>
      createKeyOperations({
        ...operator,
        clock: { ...operator.clock, now: () => operator.clock.now() + aheadMs },
        countApiKeys: async () => new Map(),
        counters: [],
      }),
    client,
    async assertAuditWhole() {
      const headers = { 'x-api-key': ownerKey, 'content-type': 'application/json' }
      const res = await fetch(`${url}/api/v2/audit/verify`, { method: 'POST', headers })
      const { data } = (await res.json()) as { data: { ok: boolean } }
      assert.equal(data.ok, true, JSON.stringify(data))
    },
    async metric(name) {
      const text = await (await fetch(`${url}/metrics`)).text()
      const samples = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      assert.ok(samples.length > 0, `no ${name} in /metrics`)
      return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
    },
    close: () => running.disposeAsync(),
  }
}
