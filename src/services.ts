import { LRUCache } from 'lru-cache'
import { createAuditReader } from './audit/reader.ts'
import { createRefusalSummary } from './audit/refusal-summary.ts'
import { sweepOrphanedIntents } from './audit/sweeper.ts'
import type { Config } from './config/config.ts'
import { createReplayCache, type ReplayCache } from './envelope/replay-cache.ts'
import type { Foundation } from './foundation.ts'
import type { Readiness, Services } from './http/services.ts'
import { createIdempotency } from './idempotency/idempotency.ts'
import { createIntegrations, type Integrations } from './integrations/integrations.ts'
import { createDocumentWatch } from './keys/document-watch.ts'
import { createTenantKeys } from './keys/tenant-keys.ts'
import { createTenantSigningKeys } from './keys/tenant-signing-keys.ts'
import { createAccess } from './messaging/access.ts'
import { createCustody } from './messaging/custody.ts'
import { createGuardRegistry } from './messaging/message-guards.ts'
import { createPool, type Pool } from './messaging/pool.ts'
import { createPublish } from './messaging/publish.ts'
import { createCollect } from './messaging/subscribe.ts'
import { createTestConnection } from './messaging/test-connection.ts'
import { createMetrics } from './observability/metrics.ts'
import { createDial } from './outbound/dial.ts'
import { createPolicies } from './policies/policies.ts'
import { createPolicyWorkers } from './policies/policy-workers.ts'
import { createSigner } from './signing/signer.ts'
import { createTenantQueue } from './signing/tenant-queue.ts'
import { createApiKeys } from './tenants/api-keys.ts'
import { createAuthenticate } from './tenants/authenticate.ts'
import { allowsVersion1 } from './tenants/envelope-versions.ts'
import { createRecipients } from './tenants/recipients.ts'
import { createCheckRecords } from './vault/check-records.ts'
import { startKeyJobs } from './vault/key-jobs.ts'
import { createVault } from './vault/vault.ts'
import { createVaultKeys } from './vault/vault-keys.ts'

/** Opened answers that are remembered, six minutes each, for a tenant; beyond that it is refused, and no other is. */
const REPLAYS_PER_TENANT = 10_000
const REPLAYING_TENANTS = 200
/** Signatures with keys of tenants that may wait: of one tenant, of all. */
const TENANT_QUEUE = { maxPerTenant: 64, maxQueue: 1024 }
/** Milliseconds between two runs of the sweepers. */
const SWEEP_EVERY_MS = 30_000
/** Milliseconds that broker connections get to finish when the server stops. */
const POOL_DRAIN_MS = 5_000
/** Milliseconds that what readiness says may be old; a KMS is asked less often, because each question costs. */
const READINESS_TTL_MS = 500
const KMS_TTL_MS = 10_000

/** Asks at most once in `ttlMs`, however many want to know. */
function remembered(ttlMs: number, monotonic: () => number, check: () => Promise<unknown>): () => Promise<boolean> {
  let last: { at: number; works: Promise<boolean> } | undefined
  return () => {
    if (!last || monotonic() - last.at > ttlMs)
      last = {
        at: monotonic(),
        works: check().then(
          () => true,
          () => false,
        ),
      }
    return last.works
  }
}

function watchReadiness(
  { db, auditDb, keys, clock, wrapper }: Foundation,
  signer: Services['signer'],
  maxQueue: number,
): () => Promise<Readiness> {
  const database = remembered(READINESS_TTL_MS, clock.monotonic, () => db.ping())
  // A write that changes nothing: a database that only reads refuses it, as it would refuse an audit row.
  const audit = remembered(READINESS_TTL_MS, clock.monotonic, () =>
    auditDb.query('update audit_heads set seq = seq where false'),
  )
  const kms = remembered(wrapper.provider === 'aws' ? KMS_TTL_MS : READINESS_TTL_MS, clock.monotonic, () =>
    keys.probe(),
  )
  return async () => {
    const [databaseWorks, auditWorks, kmsWorks] = await Promise.all([database(), audit(), kms()])
    return { database: databaseWorks, audit: auditWorks, kms: kmsWorks, signer: signer.pending < maxQueue }
  }
}

/** Wires the capabilities of a running server: ports meet adapters here and nowhere else. */
export async function createServices(
  foundation: Foundation,
  config: Config,
): Promise<Services & { close(): Promise<void> }> {
  const { db, auditReaderDb, feed, wrapper, keys, keyOperations, audit, provider, clock, log, ownListeners } =
    foundation
  await using stack = new AsyncDisposableStack()
  const tenantKeys = createTenantKeys({ db, wrapper, provider, clock, feed })
  // Vault and policies ask which integrations use them, these ask what they use: the later ones are reached through a closure.
  let integrations: Integrations
  const vault = createVault({
    db,
    tenantKeys,
    wrapper,
    provider,
    audit,
    clock,
    feed,
    usersOf: (tx, tenantId, id) => integrations.usersOf(tx, tenantId, id),
  })
  const policies = createPolicies({
    db,
    feed,
    audit,
    clock,
    log,
    workers: stack.adopt(createPolicyWorkers(), (workers) => workers.close()),
    usersOf: (tx, tenantId, id) => integrations.usersOfPolicy(tx, tenantId, id),
  })
  integrations = createIntegrations({ db, feed, audit, clock, vault, policies })
  const accessOf = createAccess({ policies, clock })
  const guardsOf = createGuardRegistry({ clock, log })
  const metrics = createMetrics()
  const signer = createSigner({
    provider,
    issuer: () => keys.issuer,
    maxQueue: config.SIGNER_QUEUE_MAX,
    maxBatch: config.SIGNER_BATCH_MAX,
    clock,
    observe: metrics.signed,
  })
  metrics.watchSigningQueue(() => signer.pending)
  const dial = createDial({ allow: config.OUTBOUND_ALLOW, ownListeners: () => ownListeners, clock })
  let pool: Pool
  const custodyDeps = { db, feed, vault, integrations, audit, clock, log }
  const custody = createCustody({ ...custodyDeps, retire: (tenantId, id) => pool.retireIntegration(tenantId, id) })
  stack.defer(() => custody.close()) // once the pool has closed its connections
  pool = createPool({
    vault,
    custody,
    dial,
    clock,
    connectTimeoutMs: config.BROKER_CONNECT_TIMEOUT_MS,
    maxConnections: config.POOL_MAX_CONNECTIONS,
    idleMs: config.POOL_IDLE_MS,
  })
  stack.defer(() => pool.close(clock.monotonic() + POOL_DRAIN_MS))
  feed.on('vault', (key) => {
    const [tenantId, entryId] = key?.split('/') ?? []
    if (tenantId !== undefined && entryId !== undefined) pool.retire(tenantId, entryId)
  })
  const idempotency = createIdempotency({ db, clock })
  const refusals = createRefusalSummary({ audit, clock })
  stack.defer(async () => {
    try {
      await refusals.close()
    } catch (err) {
      log.warn({ code: (err as { code?: unknown }).code }, 'the last refusals before authentication were not recorded')
    }
  })
  const documentWatch = createDocumentWatch({ keys, clock, log })
  const jobs = {
    'intents without an outcome': () => sweepOrphanedIntents({ db, audit, clock }),
    'idempotency keys': () => idempotency.sweep(),
    'refusals before authentication': () => refusals.flush(),
    'the end of the key document': () => documentWatch(),
    'keys of the deployment': () => keyOperations.upkeep((id) => keys.isOpen(id)),
  }
  const sweep = async () => {
    for (const [job, run] of Object.entries(jobs)) {
      try {
        const done = await run()
        if (done) log.info({ job, done }, 'swept')
      } catch (err) {
        log.warn({ job, code: (err as { code?: unknown }).code }, 'a sweep failed; the next one goes on from there')
      }
    }
  }
  const sweeper = setInterval(() => void sweep(), SWEEP_EVERY_MS)
  stack.defer(() => clearInterval(sweeper))
  void sweep()

  const opened = new LRUCache<string, ReplayCache, undefined>({
    max: REPLAYING_TENANTS,
    memoMethod: () => createReplayCache({ maxEntries: REPLAYS_PER_TENANT }),
  })
  const replays = (tenantId: string) => opened.memo(tenantId)
  const authenticate = createAuthenticate({ db, feed, peppers: keys.peppers, audit, clock, log })
  stack.defer(() => authenticate.settled())
  const auditReader = createAuditReader({ db: auditReaderDb, provider, headKey: keys.auditHead })
  stack.adopt(startKeyJobs({ db, feed, wrapper, provider, audit, clock, log, tenantKeys }), (jobs) => jobs.close())
  const resources = stack.move()
  return {
    authenticate,
    apiKeys: createApiKeys({ db, feed, peppers: keys.peppers, provider, audit, clock, forget: authenticate.forget }),
    recipients: createRecipients({ db, feed, tenantKeys, provider, audit, clock }),
    vault,
    integrations,
    policies,
    publish: createPublish({ pool, integrations, accessOf, guardsOf, audit, clock }),
    collect: createCollect({ pool, integrations, accessOf, guardsOf, audit, clock }),
    testConnection: createTestConnection({ pool, vault, audit, clock }),
    custody,
    postureOf: (integration) => pool.postureOf(integration),
    idempotency,
    audit,
    auditReader,
    checkRecords: createCheckRecords({ db: auditReaderDb, provider, vaultWrites: auditReader.vaultWrites }),
    countRefusal: (address) => refusals.count(address),
    signer,
    vaultKeys: createVaultKeys({ db, audit, tenantKeys, clock }),
    tenantSigningKeys: createTenantSigningKeys({ db, wrapper, provider, audit, clock, feed }),
    dataQueue: createTenantQueue(TENANT_QUEUE),
    version1Queue: createTenantQueue(TENANT_QUEUE),
    allowsVersion1: (tenantId) => allowsVersion1(db, tenantId),
    metrics,
    replays,
    provider,
    keys,
    kmsProvider: wrapper.provider,
    readiness: watchReadiness(foundation, signer, config.SIGNER_QUEUE_MAX),
    clock,
    log,
    close: () => resources.disposeAsync(),
  }
}
