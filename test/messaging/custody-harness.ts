import assert from 'node:assert/strict'
import { utf8 } from '#src/core/bytes.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import { configSchema } from '#src/integrations/config-schema.ts'
import type { Integration } from '#src/integrations/integration.ts'
import { createIntegrations } from '#src/integrations/integrations.ts'
import { configFromWire } from '#src/integrations/wire.ts'
import { type Custody, createCustody } from '#src/messaging/custody.ts'
import { createPool, type Pool } from '#src/messaging/pool.ts'
import { createPublish } from '#src/messaging/publish.ts'
import { createCollect } from '#src/messaging/subscribe.ts'
import { createTestConnection } from '#src/messaging/test-connection.ts'
import { createDial, type Dial } from '#src/outbound/dial.ts'
import type { CustodyShare } from '#src/vault/vault.ts'
import { localFeed, testDeployment } from '#test/support/deployment.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { createJudges, identityOf } from './harness.ts'

type Misbehaviour = Parameters<typeof startFakeBroker>[0]

export const randomShare = (): CustodyShare => new Secret(crypto.getRandomValues(new Uint8Array(32)))

/**
 * Vault, integrations and custody over a database of their own, and a broker that writes down what it sees. The clock is the
 * test's. `Symbol.asyncDispose` ends all of it.
 */
export async function startCustody({ misbehave = {} }: { misbehave?: Misbehaviour } = {}) {
  const [deployment, broker] = await Promise.all([testDeployment(), startFakeBroker(misbehave)])
  const { clock, audit, vault, db, feed } = deployment
  const owner = await deployment.tenant()
  const { caller } = owner
  const policies = { hold: () => Promise.resolve(true) }
  const integrations = createIntegrations({ db, feed, audit, clock, vault, policies })
  let pool: Pool
  const deps = { db, feed, vault, integrations, audit, clock, log: silentLog }
  const custody = createCustody({ ...deps, retire: (tenantId, id) => pool.retireIntegration(tenantId, id) })
  const realDial = createDial({ allow: ['127.0.0.0/8'], clock })
  /** What happens between the opened credential and CONNECT. */
  const between: { dialled: () => Promise<unknown> } = { dialled: () => Promise.resolve() }
  const dial: Dial = async (target, options) => {
    const link = await realDial(target, options)
    await between.dialled()
    return link
  }
  const limits = { connectTimeoutMs: 5_000, maxConnections: 50, idleMs: 60_000, random: () => 0 }
  pool = createPool({ vault, custody, dial, clock, log: silentLog, ...limits })
  feed.on('vault', (key) => {
    const [tenantId = '', entryId = ''] = key?.split('/') ?? []
    pool.retire(tenantId, entryId)
  })
  const { accessOf, guardsOf } = createJudges(clock)
  const countRefused = () => undefined
  const publish = createPublish({ pool, countRefused, integrations, accessOf, guardsOf, audit, clock })
  const collect = createCollect({ pool, countRefused, integrations, accessOf, guardsOf, audit, clock })
  const testConnection = createTestConnection({ pool, vault, audit, clock })
  const values = { hostname: '127.0.0.1', port: broker.port, username: 'u', password: 'secret password' }
  const config = configFromWire(configSchema.parse({ topics: ['#'], qos: 1 }))

  async function integrate(credentialId: string): Promise<Integration> {
    const { id } = await integrations.create(caller, {
      name: 'plant',
      systemType: 'mqtt',
      credentialId,
      allowedOperations: new Set(['publish', 'subscribe'] as const),
      config,
      policyId: null,
      guards: null,
    })
    return integrations.find(caller.tenantId, id)
  }

  async function sealed(enable = true) {
    const entry = await vault.seal(caller, { credentialType: 'custom_kv', values }, { enable })
    const integration = await integrate(entry.id)
    assert.equal(entry.custodyShare !== undefined, enable)
    return { integration, share: entry.custodyShare ?? randomShare() }
  }

  return {
    deployment,
    broker,
    caller,
    clock,
    vault,
    values,
    integrations,
    custody,
    pool,
    between,
    sealed,
    integrate,
    /** Custody as another process over the same database has it. */
    elsewhere(): Custody & { feed: ReturnType<typeof localFeed> } {
      const heard = localFeed()
      return Object.assign(createCustody({ ...deps, feed: heard, retire: () => undefined }), { feed: heard })
    },
    unlock: (integration: Integration, share: CustodyShare, ttlS = 3_600) =>
      custody.unlock({ caller, integrationId: integration.id, share, ttlS }),
    async send(integration: Integration, topic = 'a', withinMs = 10_000) {
      const { result, recorded } = await publish({
        caller,
        identity: identityOf(caller),
        integration,
        messageId: newId('msg'),
        topic,
        payload: utf8('hello'),
        admit() {},
        deadlineMs: clock.monotonic() + withinMs,
      })
      await recorded
      return result
    },
    gather: (integration: Integration, topic = 'b') =>
      collect({
        caller,
        identity: identityOf(caller),
        integration,
        topic,
        waitMs: 1,
        admit() {},
        deadlineMs: clock.monotonic() + 10_000,
      }),
    test: (integration: Integration, share?: CustodyShare) =>
      testConnection({ caller, integration, share, deadlineMs: clock.monotonic() + 10_000 }),
    rowsOf: ({ id }: Integration) =>
      audit.events
        .filter(({ object }) => object?.id === id)
        .map(({ action, outcome, detail }) =>
          `${action} ${outcome} ${detail?.['code'] ?? detail?.['reason'] ?? ''}`.trim(),
        ),
    async [Symbol.asyncDispose]() {
      await pool.close(clock.monotonic() + 200)
      await custody.close()
      await broker.stop()
      await deployment.drop()
    },
  }
}
