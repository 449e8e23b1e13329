import { existsSync, mkdirSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import path from 'node:path'
import { type AuditLog, createAuditLog } from './audit/audit-log.ts'
import type { Config } from './config/config.ts'
import { type Clock, systemClock } from './core/clock.ts'
import { AppError } from './core/errors.ts'
import type { Log } from './core/log.ts'
import { nobleProvider } from './crypto/noble.ts'
import type { CryptoProvider } from './crypto/provider.ts'
import { isOpensslCapable, opensslProvider } from './crypto-native/openssl.ts'
import { type ChangeFeed, createChangeFeed } from './db/change-feed.ts'
import { DirectoryOwned } from './db/data-owner.ts'
import type { Db, Queryable } from './db/db.ts'
import { startEmbedded } from './db/embedded.ts'
import { migrate } from './db/migrate.ts'
import { type ConnectionOptions, createDb } from './db/pool.ts'
import { type DeploymentKeys, hasKeys, openDeploymentKeys } from './keys/deployment-keys.ts'
import { createKeyOperations, ensureAuditKey, type KeyOperations } from './keys/key-operations.ts'
import { createAwsKeyWrapper } from './kms/aws.ts'
import type { KeyWrapper } from './kms/kms.ts'
import { openLocalKeyWrapper } from './kms/local.ts'
import { type Listener, systemResolve } from './outbound/resolve-host.ts'
import { createCryptoThreads } from './signing/crypto-threads.ts'
import type { SealBatch } from './signing/signer.ts'
import { countByPepper } from './tenants/api-key-store.ts'
import { createTenants, hasTenants, type Tenants } from './tenants/tenants.ts'
import { threadEnv } from './thread-env.ts'
import { countVaultRecords } from './vault/version-store.ts'

/** What the server and the operator's commands both stand on. */
export interface Foundation {
  clock: Clock
  log: Log
  provider: CryptoProvider
  sealBatch: SealBatch
  db: ReturnType<typeof createDb>
  feed: ChangeFeed
  wrapper: KeyWrapper
  keys: DeploymentKeys
  keyOperations: KeyOperations
  audit: AuditLog
  /** The audit log's own connections. */
  auditDb: Db
  /** Connections of those who read and verify the audit log, so that they take none from anybody else. */
  auditReaderDb: Db
  tenants: Tenants
  /** Where this process, its database and its KMS listen; never dialled for a tenant. The HTTP listener adds itself. */
  ownListeners: Listener[]
  close(): Promise<void>
}

export interface FoundationOptions {
  log: Log
  /** Another clock, for tests that move it. */
  clock?: Clock
  /** Another audit log, for measurements of what the real one costs. */
  createAudit?: typeof createAuditLog
  /** Use the database of a server that already runs on this `DATA_DIR`, for the operator's commands. */
  join?: boolean
  /** Refuse to make the keys of a new deployment, for commands that work on one that is there. */
  existing?: boolean
}

/** Names the running server's PostgreSQL, for operator's commands beside it. */
const CONNECTION_FILE = 'connection.json'
/** An operator's command waits for a busy database rather than for its operator to type it again. */
const JOIN_TIMEOUT_MS = 10_000

function chooseProvider({ CRYPTO_PROVIDER }: Config): CryptoProvider {
  if (CRYPTO_PROVIDER !== 'noble' && isOpensslCapable()) return opensslProvider
  if (CRYPTO_PROVIDER === 'openssl')
    throw new Error('CRYPTO_PROVIDER=openssl: this Node has no ML-KEM and ML-DSA; it needs 24.18 or 26.1.')
  return nobleProvider
}

async function openConnection(
  config: Config,
  { log, join }: FoundationOptions,
  stack: AsyncDisposableStack,
): Promise<ConnectionOptions> {
  const patience = join ? { connectTimeoutMs: JOIN_TIMEOUT_MS } : {}
  if (config.DATABASE_URL) return { connectionString: config.DATABASE_URL, ...patience }
  const { DATA_DIR: dataDir } = config
  const file = path.join(dataDir, CONNECTION_FILE)
  let embedded: Awaited<ReturnType<typeof startEmbedded>>
  try {
    embedded = await startEmbedded({ dataDir, log: (line) => log.debug({ line }, 'postgres') })
  } catch (err) {
    // A server runs on this folder: the operator's commands use its database.
    if (!join || !(err instanceof DirectoryOwned) || !existsSync(file)) throw err
    return { ...(JSON.parse(await readFile(file, 'utf8')) as ConnectionOptions), ...patience }
  }
  stack.defer(() => embedded.stop())
  await writeFile(`${file}.new`, JSON.stringify(embedded.connection), { mode: 0o600 })
  await rename(`${file}.new`, file)
  stack.defer(() => rm(file, { force: true }))
  return embedded.connection
}

/** A database without keys is a new one, or has lost them: then nothing in it can be opened, and new keys would hide that. */
async function isNew(db: Db): Promise<boolean> {
  if (await hasKeys(db)) return false
  if (await hasTenants(db))
    throw new Error('The database has tenants but no keys: restore its keys; new ones open nothing.')
  return true
}

/** For who is in the wrong folder, or early: otherwise a new deployment would be made, and worked on. */
function noDeployment({ DATABASE_URL, DATA_DIR }: Config): AppError {
  const where = DATABASE_URL ? 'the database of DATABASE_URL' : `DATA_DIR (${path.resolve(DATA_DIR)})`
  return new AppError('object.not_found', `There is no deployment in ${where}. Is it the right one? See: sealwire init`)
}

function openWrapper(
  config: Config,
  provider: CryptoProvider,
  createIfEmpty: boolean,
): Promise<KeyWrapper> | KeyWrapper {
  if (config.KMS_PROVIDER === 'aws') {
    const { AWS_REGION: region = '', KMS_KEY_ID: keyId = '', KMS_ENDPOINT: endpoint } = config
    return createAwsKeyWrapper({ region, keyId, ...(endpoint === undefined ? {} : { endpoint }) })
  }
  if (createIfEmpty) mkdirSync(config.DATA_DIR, { recursive: true, mode: 0o700 })
  return openLocalKeyWrapper({ file: path.join(config.DATA_DIR, 'local-kms.json'), provider, createIfEmpty })
}

/** Addresses of the services behind this process; a name that does not resolve cannot be dialled either. */
async function listenersBehind({ DATABASE_URL, KMS_ENDPOINT }: Config): Promise<Listener[]> {
  const urls = [DATABASE_URL?.reveal(), KMS_ENDPOINT].filter((text) => text !== undefined).map((text) => new URL(text))
  const found = urls.map(async ({ hostname, port, protocol }) => {
    const host = hostname.replace(/^\[|\]$/g, '')
    const number = Number(port) || (protocol.startsWith('postgres') ? 5432 : protocol === 'https:' ? 443 : 80)
    const addresses = isIP(host) === 0 ? await systemResolve(host).catch(() => []) : [host]
    return addresses.map((address) => ({ address, port: number }))
  })
  return (await Promise.all(found)).flat()
}

/** Opens database, key wrapper and keys, in that order; whatever was opened is closed again when a later step fails. */
export async function openFoundation(config: Config, options: FoundationOptions): Promise<Foundation> {
  await using stack = new AsyncDisposableStack()
  const { clock = systemClock } = options
  const threads = stack.adopt(createCryptoThreads(chooseProvider(config), { env: threadEnv() }), (one) => one.close())
  const { provider, sealBatch } = threads
  if (options.existing && !config.DATABASE_URL && !existsSync(config.DATA_DIR)) throw noDeployment(config)
  const connection = await openConnection(config, options, stack)
  await migrate(connection)
  const db = stack.adopt(createDb({ ...connection, max: 12 }), (one) => one.close())
  const createIfEmpty = await isNew(db)
  if (createIfEmpty && options.existing) throw noDeployment(config)
  const wrapper = await openWrapper(config, provider, createIfEmpty)
  const keys = await openDeploymentKeys({ db, wrapper, provider, clock })
  const auditDb = stack.adopt(createDb({ ...connection, min: 1, max: 2 }), (one) => one.close())
  const auditReaderDb = stack.adopt(createDb({ ...connection, max: 4 }), (one) => one.close())
  const audit = stack.adopt(
    (options.createAudit ?? createAuditLog)({ db: auditDb, provider, headKey: keys.auditHead, clock }),
    (one) => one.close(),
  )
  const feed = stack.adopt(await createChangeFeed(connection), (one) => one.close())
  feed.on('kms', () => {
    wrapper.ring?.refresh().catch((err: unknown) => {
      options.log.warn(
        { code: (err as { code?: unknown }).code },
        'the key ring did not reload; the one before stays in use',
      )
    })
  })
  keys.follow(feed, options.log)
  stack.defer(() => keys.close())
  const keyDeps = { db, feed, audit, wrapper, provider, clock }
  if (await ensureAuditKey(keyDeps)) await keys.reload()
  const countApiKeys = (from: Queryable) => countByPepper(from, new Date(clock.now()))
  const keyOperations = createKeyOperations({ ...keyDeps, countApiKeys, counters: [countVaultRecords] })
  const tenants = createTenants({ db, feed, peppers: keys.peppers, provider, audit, clock })
  const ownListeners = await listenersBehind(config)
  const resources = stack.move()
  return {
    clock,
    log: options.log,
    provider,
    sealBatch,
    db,
    feed,
    wrapper,
    keys,
    keyOperations,
    audit,
    auditDb,
    auditReaderDb,
    tenants,
    ownListeners,
    close: () => resources.disposeAsync(),
  }
}
