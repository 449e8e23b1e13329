import { setTimeout as delay } from 'node:timers/promises'
import { parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { openFoundation } from '#src/foundation.ts'
import { hostOf } from '#test/support/broker-farm.ts'

export interface Target {
  readonly apiKey: string
  readonly integrationId: string
}

/** Runs `work` for every item, so many at a time. */
export async function inParallel<T>(items: Iterable<T>, workers: number, work: (item: T) => Promise<void>) {
  const queue = items[Symbol.iterator]()
  const run = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: workers }, run))
}

async function post(url: string, apiKey: string, body: object, headers: Record<string, string> = {}) {
  const res = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': apiKey, ...headers },
    body: JSON.stringify(body),
  })
  return { status: res.status, text: await res.text() }
}

async function create(url: string, apiKey: string, body: object): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    const { status, text } = await post(url, apiKey, body)
    if (status === 201) return (JSON.parse(text) as { data: { id: string } }).data.id
    if (status !== 429 || attempt > 20) throw new Error(`${url}: ${status} ${text}`)
    await delay(1_000) // tenants have limits, and this is preparation
  }
}

/** Makes tenants, a credential for each broker of each, and the integrations over HTTP, in turns over tenants and brokers. */
export async function prepareTargets(
  url: string,
  env: Readonly<Record<string, string>>,
  { integrations, brokers, tenants, port }: { integrations: number; brokers: number; tenants: number; port: number },
): Promise<Target[]> {
  const apiKeys: string[] = []
  const foundation = await openFoundation(parseConfig(env), { log: silentLog, join: true, existing: true })
  try {
    for (let i = 0; i < tenants; i++) {
      const { ownerKey } = await foundation.tenants.create({ name: `tenant ${i}`, sandbox: false })
      apiKeys.push(ownerKey.reveal())
    }
  } finally {
    await foundation.close()
  }
  const places = Array.from({ length: integrations }, (_, i) => ({
    apiKey: apiKeys[i % tenants] ?? '',
    hostname: hostOf(i % brokers),
    name: `${i % tenants} ${i % brokers}`,
  }))
  const credentials = new Map<string, string>()
  const distinct = new Map(places.map((place) => [place.name, place]))
  await inParallel(distinct.values(), 16, async ({ apiKey, hostname, name }) => {
    const values = { hostname, port }
    credentials.set(name, await create(`${url}/api/v2/vault/seal`, apiKey, { credential_type: 'custom_kv', values }))
  })
  const targets: Target[] = []
  await inParallel(places.entries(), 16, async ([i, { apiKey, name }]) => {
    const integrationId = await create(`${url}/api/v2/integrations`, apiKey, {
      name: `integration ${i}`,
      system_type: 'mqtt',
      credential_id: credentials.get(name),
      allowed_operations: ['publish'],
      config: { topic: 'bench', qos: 1 },
    })
    targets[i] = { apiKey, integrationId }
  })
  return targets
}

/** Publishes once and says what came of it: the outcome, or the code of the error. */
export async function publishAt(url: string, { apiKey, integrationId }: Target, deadlineMs: number): Promise<string> {
  const body = { integration_id: integrationId, operation: 'publish', payload: { message: '22.5' } }
  const headers = { 'request-deadline-ms': String(deadlineMs) }
  const { status, text } = await post(`${url}/api/v2/proxy/outbound`, apiKey, body, headers)
  if (status === 200) return 'acknowledged'
  const { error } = JSON.parse(text) as { error?: { code?: string } | null }
  return error?.code ?? String(status)
}
