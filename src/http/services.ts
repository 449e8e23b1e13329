import type { Audit } from '../audit/audit.ts'
import type { AuditReader } from '../audit/reader.ts'
import type { Clock } from '../core/clock.ts'
import type { Reached } from '../core/crash-points.ts'
import type { Log } from '../core/log.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ReplayCache } from '../envelope/replay-cache.ts'
import type { Idempotency } from '../idempotency/idempotency.ts'
import type { BlockedClients } from '../identity/blocked/blocked-clients.ts'
import type { UnauthorisedClients } from '../identity/unauthorised/unauthorised-clients.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import type { DeploymentKeys } from '../keys/deployment-keys.ts'
import type { TenantSigningKeys } from '../keys/tenant-signing-keys.ts'
import type { Custody } from '../messaging/custody.ts'
import type { FindMessage } from '../messaging/messages.ts'
import type { Publish } from '../messaging/publish.ts'
import type { PublishBatch } from '../messaging/publish-batch.ts'
import type { Request } from '../messaging/request.ts'
import type { Collect } from '../messaging/subscribe.ts'
import type { TestConnection } from '../messaging/test-connection.ts'
import type { Metrics } from '../observability/metrics.ts'
import type { Posture } from '../outbound/posture.ts'
import type { Policies } from '../policies/policies.ts'
import type { Signer } from '../signing/signer.ts'
import type { TenantQueue } from '../signing/tenant-queue.ts'
import type { ApiKeys } from '../tenants/api-keys.ts'
import type { Authenticate } from '../tenants/authenticate.ts'
import type { Recipients } from '../tenants/recipients.ts'
import type { CheckRecords } from '../vault/check-records.ts'
import type { Vault } from '../vault/vault.ts'
import type { VaultKeys } from '../vault/vault-keys.ts'
import type { BrokerHooks } from './broker-hooks.ts'
import type { Limits } from './limits/limits.ts'

/** Whether the parts that every answer needs work right now. */
export interface Readiness {
  database: boolean
  kms: boolean
  signer: boolean
  audit: boolean
}

/** What the routes call. A handler names the few members it uses. */
export interface Services {
  authenticate: Authenticate
  apiKeys: ApiKeys
  recipients: Recipients
  /** Where brokers ask; absent where no hook is configured. */
  brokerHooks?: BrokerHooks | undefined
  vault: Vault
  integrations: Integrations
  policies: Policies
  blockedClients: BlockedClients
  unauthorisedClients: UnauthorisedClients
  publish: Publish
  publishBatch: PublishBatch
  collect: Collect
  request: Request
  testConnection: TestConnection
  custody: Pick<Custody, 'processId' | 'unlock' | 'lock' | 'stateOf'>
  /** What is known of the link of an integration: that of its last connection from this process. */
  postureOf: (integration: Pick<Integration, 'id' | 'tenantId'>) => Posture | null
  /** What became of a message, by its id. */
  findMessage: FindMessage
  idempotency: Idempotency
  audit: Audit
  auditReader: AuditReader
  checkRecords: CheckRecords
  /** Counts a refusal before authentication, for one audit row a source and minute. */
  countRefusal: (address: string) => void
  /** Quotas, places and addresses: what refuses a request for being one too many. */
  limits: Limits
  signer: Signer
  tenantSigningKeys: TenantSigningKeys
  vaultKeys: VaultKeys
  /** Where signatures over callers' data wait. */
  dataQueue: TenantQueue
  /** Where answers in envelope version 1 wait for their signature. */
  version1Queue: TenantQueue
  /** Whether callers of a tenant may ask for answers in version 1. */
  allowsVersion1: (tenantId: string) => Promise<boolean>
  metrics: Metrics
  /** Answers that the decrypt route has opened in this process. */
  replays: (tenantId: string) => ReplayCache
  provider: CryptoProvider
  keys: Pick<DeploymentKeys, 'document' | 'issuers' | 'cursor'>
  kmsProvider: 'aws' | 'local'
  /** Of a request that names no deadline. */
  requestDeadlineMs: number
  readiness: () => Promise<Readiness>
  /** Is told of the steps of a publish. */
  reached: Reached
  clock: Clock
  log: Log
}
