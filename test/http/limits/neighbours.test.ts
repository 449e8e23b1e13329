import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createTenant, setTenant } from '#src/app.ts'
import { silentLog } from '#src/core/log.ts'
import { type ApiServer, type Reply, startApiServer, succeed } from '#test/support/api-server.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'

/** Publishes of the tenant that is watched, one after the other. */
const WATCHED = 30

describe('a tenant beside another that asks for too much', () => {
  let api: ApiServer
  let broker: FakeBroker
  let silence: Server
  const hung = new Set<Socket>()
  let victim: Publisher

  interface Publisher {
    tenantId: string
    publish(): Promise<Reply>
    /** Costs as much as fifty publishes, on every machine. */
    verify(): Promise<Reply>
  }

  async function tenant(name: string, port: number): Promise<Publisher> {
    const { tenantId, ownerKey } = await createTenant(api.config, { name, sandbox: false }, { log: silentLog })
    const key = ownerKey.reveal()
    const values = { hostname: '127.0.0.1', port }
    const sealed = { name, credential_type: 'custom_kv', values }
    const { id: credential_id } = await succeed(api.call('POST', '/api/v2/vault/seal', { key, body: sealed }))
    const integration = {
      name,
      system_type: 'mqtt',
      credential_id,
      allowed_operations: ['publish'],
      config: { topic: name, qos: 1 },
    }
    const { id } = await succeed(api.call('POST', '/api/v2/integrations', { key, body: integration }))
    const body = { integration_id: id, operation: 'publish', payload: { message: '1' } }
    return {
      tenantId,
      publish: () => api.call('POST', '/api/v2/proxy/outbound', { key, body }),
      verify: () => api.call('POST', '/api/v2/audit/verify', { key }),
    }
  }

  before(async () => {
    broker = await startFakeBroker()
    silence = createServer((socket) => {
      hung.add(socket)
      socket.on('error', () => undefined)
    }).listen(0, '127.0.0.1')
    await once(silence, 'listening')
    api = await startApiServer({ SIGNER_QUEUE_MAX: '60', BROKER_CONNECT_TIMEOUT_MS: '1000' })
    victim = await tenant('watched', broker.port)
    await victim.publish()
  })
  after(async () => {
    await api.close()
    await broker.stop()
    for (const socket of hung) socket.destroy()
    silence.close()
  })

  /** Publishes as the watched tenant while `atOnce` calls of the other are always under way; says what both got. */
  async function beside(calls: readonly (() => Promise<Reply>)[], atOnce: number) {
    let over = false
    const noisy = new Map<number, number>()
    const callers = Array.from({ length: atOnce }, async () => {
      for (let i = 0; !over; i++) {
        const { status } = (await calls[i % calls.length]?.()) ?? { status: 0 }
        noisy.set(status, (noisy.get(status) ?? 0) + 1)
        if (status !== 200) await delay(20) // clients and server share one event loop here
      }
    })
    const times: number[] = []
    for (let i = 0; i < WATCHED; i++) {
      const startedMs = performance.now()
      assert.equal((await victim.publish()).status, 200, `publish ${i}`)
      times.push(performance.now() - startedMs)
    }
    over = true
    await Promise.all(callers)
    return { noisy, p50Ms: times.toSorted((a, b) => a - b)[WATCHED / 2] ?? 0 }
  }

  test('ten times its quota: the excess is refused, and none of the watched publishes', async (t) => {
    const busy = await tenant('busy', broker.port)
    await setTenant(api.config, busy.tenantId, { rateLimit: 200 }, { log: silentLog })
    const { noisy, p50Ms } = await beside([busy.publish, busy.verify], 20)
    t.diagnostic(`neighbour ${JSON.stringify([...noisy])}, watched p50 ${p50Ms.toFixed(1)} ms`)
    assert.ok((noisy.get(429) ?? 0) > 0, 'the neighbour kept within its quota')
    assert.ok((noisy.get(200) ?? 0) > 0, 'the neighbour had nothing of its quota')
    assert.deepEqual(new Set(noisy.keys()), new Set([200, 429]))
  })

  test('a broker that hangs: its tenant waits and is refused, and none of the watched publishes', async (t) => {
    const dead = await tenant('dead', (silence.address() as AddressInfo).port)
    const { noisy, p50Ms } = await beside([dead.publish], 50)
    t.diagnostic(`neighbour ${JSON.stringify([...noisy])}, watched p50 ${p50Ms.toFixed(1)} ms`)
    assert.ok(hung.size > 0, 'its broker was never dialled')
    assert.deepEqual([...noisy.keys()], [503])
  })
})
