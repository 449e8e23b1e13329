import { setTimeout as delay } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Caller } from './audit/audit.ts'
import { createAuditReader } from './audit/reader.ts'
import { createRefusalSummary, limitedEvent, limitedSource } from './audit/refusal-summary.ts'
import { sweepOrphanedIntents } from './audit/sweeper.ts'
import { openBrokerServices } from './broker-services.ts'
import type { Config } from './config/config.ts'
import { type Reached, unwatched } from './core/crash-points.ts'
import { createReplayCache, type ReplayCache } from './envelope/replay-cache.ts'
import type { Foundation } from './foundation.ts'
import { createAddressLimit } from './http/limits/address-limit.ts'
import { createAdmission } from './http/limits/admission.ts'
import { createLimits, type Limits } from './http/limits/limits.ts'
import { createPressureGauge } from './http/limits/pressure.ts'
import { createMemoryLimiter, createQuotas } from './http/limits/quotas.ts'
import { createRefusedKeys } from './http/limits/refused-keys.ts'
import { createSharedLimiters } from './http/limits/shared-quota-store.ts'
import type { Readiness, Services } from './http/services.ts'
import { createIdempotency } from './idempotency/idempotency.ts'
import { createBlockedClients } from './identity/blocked/blocked-clients.ts'
import { createUnauthorisedClients } from './identity/unauthorised/unauthorised-clients.ts'
import { createIntegrations, type Integrations } from './integrations/integrations.ts'
import { createDocumentWatch } from './keys/document-watch.ts'
import { createTenantKeys } from './keys/tenant-keys.ts'
import { createTenantSigningKeys } from './keys/tenant-signing-keys.ts'
import { createAccess } from './messaging/access.ts'
import { createCustody } from './messaging/custody.ts'
import { createJudgeCredential } from './messaging/judge-credential.ts'
import { createLateOutcomes } from './messaging/late-outcomes.ts'
import { createGuardRegistry } from './messaging/message-guards.ts'
import { createFindMessage } from './messaging/messages.ts'
import { createPool, type Pool } from './messaging/pool.ts'
import { createPublish } from './messaging/publish.ts'
import { createPublishBatch } from './messaging/publish-batch.ts'
import { createRequest } from './messaging/request.ts'
import { createCollect } from './messaging/subscribe.ts'
import { createTestConnection } from './messaging/test-connection.ts'
import { createMetrics } from './observability/metrics.ts'
import { createDial } from './outbound/dial.ts'
import { createIsDialable } from './outbound/resolve-host.ts'
import type { Resolve } from './outbound/resolver.ts'
import { createPolicies } from './policies/policies.ts'
import { createPolicyWorkers } from './policies/policy-workers.ts'
import { createSigner } from './signing/signer.ts'
import { createTenantQueue } from './signing/tenant-queue.ts'
import { createApiKeys } from './tenants/api-keys.ts'
import { createAuthenticate } from './tenants/authenticate.ts'
import { allowsVersion1 } from './tenants/envelope-versions.ts'
import { createRecipients } from './tenants/recipients.ts'
import { threadEnv } from './thread-env.ts'
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
/** Milliseconds that idle connections to brokers get to say goodbye when the server stops. */
const POOL_GOODBYE_MS = 500
/** Milliseconds that what readiness says may be old; a KMS is asked less often, because each question costs. */
const READINESS_TTL_MS = 500
/** Milliseconds after which a check counts as failed; the question stays open until it is answered, and is not asked again. */
const READINESS_LIMIT_MS = 1_000
const KMS_TTL_MS = 10_000

/**
 * Asks at most once in `ttlMs`, however many want to know; after a failure as often as is cheap, to see that it is over. What
 * takes long to answer does not work.
 */
function remembered(ttlMs: number, monotonic: () => number, check: () => Promise<unknown>): () => Promise<boolean> {
  let last: { at: number; works: boolean } | undefined
  let asking: Promise<boolean> | undefined
  async function ask(): Promise<boolean> {
    const at = monotonic()
    const works = await check().then(
      () => true,
      () => false,
    )
    last = { at, works }
    asking = undefined
    return works
  }
  return async () => {
    if (last && !asking && monotonic() - last.at <= (last.works ? ttlMs : READINESS_TTL_MS)) return last.works
    asking ??= ask()
    return Promise.race([asking, delay(READINESS_LIMIT_MS, false, { ref: false })])
  }
}

function watchReadiness(
  { db, auditDb, keys, clock, wrapper, sealBatch }: Foundation,
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
  const sealing = remembered(READINESS_TTL_MS, clock.monotonic, async () => sealBatch(keys.issuer, []))
  return async () => {
    const [databaseWorks, auditWorks, kmsWorks, seals] = await Promise.all([database(), audit(), kms(), sealing()])
    return { database: databaseWorks, audit: auditWorks, kms: kmsWorks, signer: seals && signer.pending < maxQueue }
  }
}

/** Wires what refuses requests for being one too many. */
function createServerLimits(
  { db, clock, log }: Foundation,
  config: Config,
  metrics: Services['metrics'],
  countLimited: (source: string) => void,
): Limits & { close(): void } {
  const { monotonic } = clock
  const countsAlone = (err: unknown) =>
    log.warn({ code: (err as { code?: unknown }).code }, 'quotas are counted by this process alone for a second')
  const createLimiter =
    config.RATE_LIMIT_STORE === 'postgres' ? createSharedLimiters({ db, monotonic, countsAlone }) : createMemoryLimiter
  const gauge = createPressureGauge({ monotonic })
  const admission = createAdmission({ most: config.SIGNER_QUEUE_MAX, pressure: () => gauge.pressure })
  metrics.watchRequests(() => admission.taken)
  const limits = createLimits({
    quotas: createQuotas({ key: config.RATE_LIMIT_KEY, tenant: config.RATE_LIMIT_TENANT }, createLimiter, monotonic),
    admission,
    addresses: createAddressLimit({ monotonic }),
    refusedKeys: createRefusedKeys({ monotonic }),
    countLimited(consumer, code) {
      metrics.limited(code === 'rate.limited' ? 'quota' : 'place')
      countLimited(limitedSource(consumer, code))
    },
  })
  return Object.assign(limits, { close: () => gauge.close() })
}

/** Wires the capabilities of a running server: ports meet adapters here and nowhere else. */
export async function createServices(
  foundation: Foundation,
  config: Config,
  {
    reached = unwatched,
    resolve,
    env = {},
  }: { reached?: Reached; resolve?: Resolve; env?: Readonly<Record<string, string | undefined>> } = {},
): Promise<Services & { endBrokers(): Promise<void>; close(): Promise<void> }> {
  const {
    db,
    sealBatch,
    auditReaderDb,
    feed,
    wrapper,
    keys,
    keyOperations,
    audit,
    provider,
    clock,
    log,
    ownListeners,
  } = foundation
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
    judgeValues: (tenantId, id, values) => judgeCredential.ofEntry(tenantId, id, values),
  })
  const policies = createPolicies({
    db,
    feed,
    audit,
    clock,
    log,
    workers: stack.adopt(createPolicyWorkers({ env: threadEnv() }), (workers) => workers.close()),
    usersOf: (tx, tenantId, id) => integrations.usersOfPolicy(tx, tenantId, id),
  })
  const addressRules = { allow: config.OUTBOUND_ALLOW, ownListeners: () => ownListeners }
  const judgeCredential = createJudgeCredential({
    vault,
    usersOf: (tenantId, id) => integrations.usersOf(db, tenantId, id),
    find: (tenantId, id) => integrations.find(tenantId, id),
    isDialable: createIsDialable(addressRules),
    clock,
  })
  const judge = judgeCredential.ofIntegration
  integrations = createIntegrations({ db, feed, audit, clock, vault, policies, judgeCredential: judge })
  const accessOf = createAccess({ policies, clock })
  const guardsOf = createGuardRegistry({ clock, log })
  const metrics = createMetrics()
  const signer = createSigner({
    sealBatch,
    issuer: () => keys.issuer,
    maxQueue: config.SIGNER_QUEUE_MAX,
    maxBatch: config.SIGNER_BATCH_MAX,
    clock,
    observe: metrics.signed,
  })
  metrics.watchSigningQueue(() => signer.pending)
  metrics.watchDroppedLogLines(() => log.dropped ?? 0)
  const dial = createDial({ ...addressRules, clock, ...(resolve && { resolve }) })
  let pool: Pool
  const custodyDeps = { db, feed, vault, integrations, audit, clock, log }
  const custody = createCustody({ ...custodyDeps, retire: (tenantId, id) => pool.retireIntegration(tenantId, id) })
  stack.defer(() => custody.close()) // once the pool has closed its connections
  const lateOutcomes = stack.adopt(createLateOutcomes({ audit, clock, log }), (late) => late.close())
  pool = createPool({
    onLate: lateOutcomes.record,
    reached,
    vault,
    custody,
    dial,
    clock,
    log,
    connectTimeoutMs: config.BROKER_CONNECT_TIMEOUT_MS,
    maxConnections: config.POOL_MAX_CONNECTIONS,
    idleMs: config.POOL_IDLE_MS,
  })
  metrics.watchPool(() => pool.stats())
  const endBrokers = () => pool.close(clock.monotonic() + POOL_GOODBYE_MS)
  stack.defer(endBrokers)
  feed.on('vault', (key) => {
    const [tenantId, entryId] = key?.split('/') ?? []
    if (tenantId !== undefined && entryId !== undefined) pool.retire(tenantId, entryId)
  })
  const idempotency = createIdempotency({ db })
  const refusals = createRefusalSummary({ audit, clock })
  const limited = createRefusalSummary({ audit, clock, eventOf: limitedEvent })
  const limits = stack.adopt(createServerLimits(foundation, config, metrics, limited.count), (one) => one.close())
  stack.defer(async () => {
    const ends = await Promise.allSettled([refusals.close(), limited.close()])
    const failed = ends.find((end) => end.status === 'rejected')
    if (!failed) return
    const { code } = failed.reason as { code?: unknown }
    log.warn({ code }, 'the last refusals before authentication, or by limits, were not recorded')
    throw failed.reason // nobody else knows of them, and the exit code says so
  })
  const blockedClients = createBlockedClients({ db, feed, audit, clock })
  const unauthorisedClients = stack.adopt(createUnauthorisedClients({ db, audit, clock, log }), (one) => one.close())
  const brokerHooks = await openBrokerServices(foundation, config, { policies, unauthorisedClients, env, resolve })
  if (brokerHooks) {
    stack.adopt(brokerHooks, (one) => one.close())
    metrics.watchHooks(brokerHooks.notes.counts)
  }
  const documentWatch = createDocumentWatch({ keys, clock, log })
  const jobs = {
    'intents without an outcome': () => sweepOrphanedIntents({ db, audit, clock }),
    'idempotency keys': () => idempotency.sweep(),
    'refusals before authentication': () => refusals.flush(),
    'refusals by limits': () => limited.flush(),
    'answers to brokers': () => brokerHooks?.notes.flush(),
    'sessions of brokers': () => brokerHooks?.sweep(),
    'blocked clients that have expired': () => blockedClients.sweep(),
    'old unauthorised clients': () => unauthorisedClients.sweep(),
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
  const countRefused = (caller: Caller, code: string) =>
    limited.count(limitedSource({ tenantId: caller.tenantId, keyId: caller.actor.id }, code))
  const publishing = {
    pool,
    countRefused,
    integrations,
    accessOf,
    guardsOf,
    audit,
    clock,
    reached,
    onLate: lateOutcomes.record,
  }
  const publish = createPublish(publishing)
  const resources = stack.move()
  return {
    authenticate,
    apiKeys: createApiKeys({ db, feed, peppers: keys.peppers, provider, audit, clock, forget: authenticate.forget }),
    recipients: createRecipients({ db, feed, tenantKeys, provider, audit, clock }),
    vault,
    integrations,
    policies,
    blockedClients,
    unauthorisedClients,
    publish,
    brokerHooks,
    publishBatch: createPublishBatch(publishing),
    collect: createCollect({ pool, countRefused, integrations, accessOf, guardsOf, audit, clock }),
    request: createRequest({ publish, pool, integrations, accessOf, guardsOf, audit, clock }),
    testConnection: createTestConnection({ pool, vault, audit, clock }),
    custody,
    postureOf: (integration) => pool.postureOf(integration),
    findMessage: createFindMessage({ auditReader, clock }),
    idempotency,
    reached,
    audit,
    auditReader,
    checkRecords: createCheckRecords({ db: auditReaderDb, provider, vaultWrites: auditReader.vaultWrites }),
    countRefusal: (address) => refusals.count(address),
    limits,
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
    requestDeadlineMs: config.REQUEST_DEADLINE_MS,
    readiness: watchReadiness(foundation, signer, config.SIGNER_QUEUE_MAX),
    clock,
    log,
    endBrokers,
    close: () => resources.disposeAsync(),
  }
}
