import { mkdir, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { type Config, parseConfig } from './config/config.ts'
import type { Reached } from './core/crash-points.ts'
import type { Log } from './core/log.ts'
import type { Secret } from './core/secret.ts'
import { type Foundation, type FoundationOptions, openFoundation } from './foundation.ts'
import { type HookTrial, runTrial, type TrialResult } from './hook-trial.ts'
import { createHttpApp } from './http/create-http-app.ts'
import { createInFlight } from './http/in-flight.ts'
import { listen } from './http/listen.ts'
import { STOP_LIMIT_MS, type StopOptions, stopServing } from './http/stop-serving.ts'
import type { DeploymentKeys } from './keys/deployment-keys.ts'
import type { KeyJob } from './keys/key-job.ts'
import type { KeyOperations } from './keys/key-operations.ts'
import { createTenantKeys } from './keys/tenant-keys.ts'
import { createLog, type ServerLog } from './observability/log.ts'
import type { Resolve } from './outbound/resolver.ts'
import { createServices } from './services.ts'
import { listenForStop } from './stop-signals.ts'
import { type EnvelopeVersionSetting, setEnvelopeVersions } from './tenants/envelope-versions.ts'
import { type ListedTenant, listTenants } from './tenants/list-tenants.ts'
import { setRateLimit } from './tenants/rate-limit.ts'
import { createKmsRewrap, type KmsKeyUse } from './vault/kms-rewrap.ts'
import { type RewrapOptions, rewrapHere } from './vault/rewrap-here.ts'

export type { HookTrial, TrialResult } from './hook-trial.ts'
export * as usersFile from './identity/users-file/edit-users-file.ts'
export type { DeploymentKeys } from './keys/deployment-keys.ts'
export type { KeyOperations } from './keys/key-operations.ts'
export type { ListedTenant } from './tenants/list-tenants.ts'

export interface RunningServer {
  url: string
  /** Gives requests in flight nine seconds, ends what still runs as unknown, and closes connections and the database. */
  close(options?: StopOptions): Promise<void>
}

const OWNER_KEY_FILE = 'owner-api-key'

/**
 * Writes the first owner's API key where only its user can read it, durably: it is written before the tenant is committed, so
 * that no tenant is ever without a key that somebody has. A key that is there already belongs to another database.
 */
async function writeOwnerKey(dataDir: string, key: Secret<string>): Promise<string> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const file = path.resolve(dataDir, OWNER_KEY_FILE)
  const handle = await open(file, 'wx', 0o600).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== 'EEXIST') throw err
    throw new Error(
      `${file} is there, but the database has no tenant: it is the key of another one, move it away first.`,
    )
  })
  try {
    await handle.writeFile(`${key.reveal()}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  const folder = await open(dataDir, 'r')
  await folder.sync().finally(() => folder.close())
  return file
}

/** Makes the tenant of an empty database; `undefined` when there is one. */
async function createFirstTenant(
  { tenants }: Foundation,
  { DATA_DIR }: Config,
): Promise<{ tenantId: string; ownerKeyFile: string } | undefined> {
  let ownerKeyFile = ''
  try {
    const first = await tenants.createFirst({ name: 'default' }, async (key) => {
      ownerKeyFile = await writeOwnerKey(DATA_DIR, key)
    })
    return first && { tenantId: first.tenantId, ownerKeyFile }
  } catch (err) {
    if (ownerKeyFile !== '') await rm(ownerKeyFile, { force: true }) // its tenant was not made
    throw err
  }
}

/**
 * Starts the server: database, keys, then the listener. The first start of an empty database makes a tenant and writes its
 * owner's key to `owner-api-key` in `DATA_DIR`.
 */
export async function startServer(
  config: Config,
  parts: Pick<FoundationOptions, 'log' | 'createAudit' | 'clock'> & {
    reached?: Reached
    resolve?: Resolve
    env?: Readonly<Record<string, string | undefined>>
  },
): Promise<RunningServer> {
  const { log } = parts
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openFoundation(config, parts), (one) => one.close())
  const inFlight = createInFlight(foundation.clock.monotonic)
  const services = stack.adopt(await createServices(foundation, config, parts), (one) => one.close())
  const first = await createFirstTenant(foundation, config)
  if (first) log.info(first, 'first start: a tenant was made, its owner key is in the file')
  const options = {
    trustProxy: config.TRUST_PROXY,
    corsOrigins: config.CORS_ORIGINS,
    metricsToken: config.METRICS_TOKEN,
  }
  const app = createHttpApp(services, options, inFlight)
  const address = {
    host: config.HOST,
    port: config.PORT,
    certFile: config.TLS_CERT_FILE,
    keyFile: config.TLS_KEY_FILE,
    clientAuthorities: services.brokerHooks?.clientAuthorities,
  }
  const http = stack.adopt(await listen(address, app), (one) => one.close())
  foundation.ownListeners.push({ port: http.port })
  const { keys, wrapper, provider, sealBatch } = foundation
  // Starts the thread that seals, so that the first answer does not wait for it. Whether it works is what readiness says.
  void Promise.try(() => sealBatch(keys.issuer, [])).catch(() => undefined)
  log.info({ url: http.url, root: keys.rootFingerprint, kms: wrapper.provider, crypto: provider.name }, 'listening')
  const running = stack.move()
  return {
    url: http.url,
    async close(how = {}) {
      await stopServing({ http, inFlight, endBrokers: services.endBrokers }, how)
      await running.disposeAsync()
    },
  }
}

/** Makes the database, the keys and the first tenant without listening; `undefined` when there was a tenant already. */
export async function initialise(
  config: Config,
  { log }: { log: Log },
): Promise<{ tenantId: string; ownerKeyFile: string } | undefined> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openFoundation(config, { log }), (one) => one.close())
  return await createFirstTenant(foundation, config)
}

/** Makes a tenant and its first owner key, for the operator at the host; works beside a running server. */
export async function createTenant(
  config: Config,
  input: { name: string; sandbox: boolean },
  { log }: { log: Log },
): Promise<{ tenantId: string; ownerKey: Secret<string> }> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openFoundation(config, { log, join: true }), (one) => one.close())
  return await foundation.tenants.create(input)
}

/** Opens a deployment that is there, beside its running server where there is one. */
const openExisting = (config: Config, log: Log) => openFoundation(config, { log, join: true, existing: true })

/** Shows every tenant of the deployment, the oldest first; works beside a running server. */
export async function eachTenant(
  config: Config,
  { log }: { log: Log },
  show: (tenant: ListedTenant) => void,
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { db, clock } = stack.adopt(await openExisting(config, log), (one) => one.close())
  for await (const tenant of listTenants(db, new Date(clock.now()))) show(tenant)
}

/** Changes what the operator decides about a tenant; works beside a running server. @throws {AppError} `object.not_found` */
export async function setTenant(
  config: Config,
  tenantId: string,
  { envelopeVersions, rateLimit }: { envelopeVersions?: EnvelopeVersionSetting; rateLimit?: number | null },
  { log }: { log: Log },
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openExisting(config, log), (one) => one.close())
  if (envelopeVersions) await setEnvelopeVersions(foundation, tenantId, envelopeVersions)
  if (rateLimit !== undefined) await setRateLimit(foundation, tenantId, rateLimit)
}

/** Lets the operator at the host work on the keys of the deployment; works beside a running server. */
export async function operateKeys<T>(
  config: Config,
  { log }: { log: Log },
  work: (operations: KeyOperations, keys: DeploymentKeys) => Promise<T>,
): Promise<T> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openExisting(config, log), (one) => one.close())
  return await work(foundation.keyOperations, foundation.keys)
}

/**
 * Wraps everything, or the shares of one tenant, under another KMS key, beside a running server; returns when the job is
 * done, or rows are left that do not open.
 */
export async function rewrapWraps(
  config: Config,
  input: { to: string; tenantId?: string | undefined },
  { log, ...options }: { log: Log } & RewrapOptions,
): Promise<{ job: KeyJob; uses: KmsKeyUse[] }> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openExisting(config, log), (one) => one.close())
  return await rewrapHere({ ...foundation, tenantKeys: createTenantKeys(foundation) }, input, options)
}

/** Lists the KMS keys with what each guards. */
export async function listKmsKeys(config: Config, { log }: { log: Log }): Promise<KmsKeyUse[]> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openExisting(config, log), (one) => one.close())
  return await createKmsRewrap({ ...foundation, tenantKeys: createTenantKeys(foundation) }).uses()
}

/** Removes a key of the local ring that nothing is wrapped under. */
export async function removeKmsKey(config: Config, id: string, { log }: { log: Log }): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openExisting(config, log), (one) => one.close())
  await createKmsRewrap({ ...foundation, tenantKeys: createTenantKeys(foundation) }).removeKey(id)
}

/** Asks a hook what its broker would ask for one client; works beside a running server, and changes nothing. */
export async function tryHook(
  config: Config,
  trial: HookTrial,
  { log, env }: { log: Log; env: Readonly<Record<string, string | undefined>> },
): Promise<TrialResult> {
  await using stack = new AsyncDisposableStack()
  const foundation = stack.adopt(await openExisting(config, log), (one) => one.close())
  return await runTrial(foundation, config, trial, env)
}

/**
 * V8 lets its heap grow to four times of what is in use before it looks for garbage, and every connection that is replaced
 * leaves some that has grown old: hundreds of MiB that nobody needs, in the resident memory of a server with many brokers.
 * At twice a publish costs the same processor time; it collects some tens of milliseconds more in 15 s of load.
 */
const HEAP_GROWTH = '--heap-growing-percent=100'

/** Milliseconds that a start goes on after a signal: nothing is served yet, and what it waits for may never come. */
const START_GRACE_MS = 2_000

/**
 * Runs the server until SIGTERM or SIGINT. A second ^C ends what runs without waiting for it, as unknown; more signals than
 * that change nothing.
 *
 * @returns the exit code: 0 after a clean stop, also while the database is gone, as long as nothing is lost by it: outcomes
 * that could not be recorded then were answered as unknown, and their intents are on record; 1 when the start failed,
 * something did not close, or what only this process knew (late outcomes, counts of refusals) could not be put on record
 */
export async function serve(env: Readonly<Record<string, string | undefined>>): Promise<number> {
  setFlagsFromString(HEAP_GROWTH) // however the process was started
  const refuse = (message: string) => {
    process.stderr.write(`sealwire: ${message}\n`)
    return 1
  }
  process.stderr.on('error', () => undefined) // its reader has gone; nobody else minds
  if (/mqttjs/.test(env['DEBUG'] ?? '')) return refuse('DEBUG=mqttjs* prints passwords and payloads; unset it')
  let running: RunningServer | undefined
  // Listened for before the start, so that a signal at any moment stops what has begun instead of killing it.
  const { first: stopped, hurry } = listenForStop()
  let stopping = false
  void stopped.then(() => {
    stopping = true
    // Neither keeps the process; the first also ends one that something keeps alive after the stop.
    setTimeout(() => process.exit(refuse('not everything closed in time')), STOP_LIMIT_MS).unref()
    setTimeout(() => running ?? process.exit(refuse('told to stop before it had started')), START_GRACE_MS).unref()
  })
  let log: ServerLog
  let config: Config
  try {
    config = parseConfig(env)
    log = createLog({
      level: config.LOG_LEVEL,
      format: config.LOG_FORMAT ?? (process.stderr.isTTY ? 'pretty' : 'json'),
    })
    running = await startServer(config, { log, env })
  } catch (err) {
    return refuse((err as Error).message)
  }
  const isEarly = stopping // nobody has been sent here
  /** Lines that nobody reads would keep the process. */
  const leave = async (code: number) => ((await log.end()) ? code : process.exit(code))
  const signal = await stopped
  log.info({ signal }, 'stopping')
  try {
    // Who types ^C has no load balancer.
    await running.close({ noticeMs: signal === 'SIGTERM' && !isEarly ? config.STOP_NOTICE_MS : 0, hurry })
    return await leave(0)
  } catch (err) {
    log.error({ cause: (err as { code?: unknown }).code }, 'something did not close cleanly')
    return await leave(1)
  }
}
