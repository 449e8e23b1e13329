export type { ErrorCode } from '../core/errors.ts'
export { Secret } from '../core/secret.ts'
export { nobleProvider } from '../crypto/noble.ts'
export type { CryptoProvider } from '../crypto/provider.ts'
export type { HybridCryptoEnvelope } from '../envelope/envelope.ts'
export type { ProtectedHeader } from '../envelope/header.ts'
export { ML_KEM_SUITE, X_WING_SUITE } from '../envelope/suites.ts'
export type { ApiKey, ApiKeyInput, NewApiKey, Role } from './api-keys.ts'
export type { CallClock } from './call-clock.ts'
export type {
  BlockedClient,
  BlockedClientInput,
  BlockedType,
  UnauthorisedClient,
  UnauthorisedFilter,
} from './clients.ts'
export type { CallOptions } from './connection.ts'
export type {
  ContextOptions,
  DataSignature,
  DataVerificationKey,
  DecryptedObject,
  VerifiedData,
} from './data-encryption.ts'
export type { DecryptOptions, OpenedAnswer } from './encryption.ts'
export type {
  ConnectionTest,
  Integration,
  IntegrationConfig,
  IntegrationInput,
  IntegrationList,
  IntegrationOperation,
  Posture,
  UnlockedIntegration,
  UnlockInput,
} from './integrations.ts'
export type { RotatedTenantKey, TenantKey, TenantKeyPurpose, VaultMove } from './keys.ts'
export type { MessageProperties, ReceivedProperties } from './message-properties.ts'
export type { MessageOutcome, MessageStatus } from './message-status.ts'
export type { Policy, PolicyChanges, PolicyInput, PolicyRevision } from './policies.ts'
export type {
  AccessAction,
  AccessDecision,
  ImportDialect,
  ImportedPolicy,
  ImportInput,
  PolicyDocument,
  PolicyPreset,
  PolicyProblem,
  PolicyVerdict,
  Simulation,
  SimulationInput,
  TraceStep,
} from './policy-checks.ts'
export type {
  DryRunResult,
  PublishInput,
  PublishOptions,
  PublishResult,
  ReceivedMessage,
  RequestInput,
  RequestResult,
  SubscribeInput,
  SubscribeResult,
} from './proxy.ts'
export type {
  BatchDryRunResult,
  BatchInput,
  BatchMessage,
  BatchResult,
  ItemOutcome,
  PublishedItem,
} from './publish-batch.ts'
export type { Quota } from './rate-limit.ts'
export {
  createRecipient,
  type NewRecipient,
  type NewRecipientOptions,
  type Recipient,
  type SuiteName,
} from './recipient.ts'
export { parseRecipient, serialiseRecipient } from './recipient-file.ts'
export type { EnrolInput, KeepRecipient, RecipientInfo, RotateInput, Version1Info } from './recipients.ts'
export type { Opened } from './sealed-call.ts'
export { Sealwire, type SealwireOptions } from './sealwire.ts'
export { type Claim, type LocalErrorCode, type Outcome, SealwireError, UnprotectedError } from './sealwire-error.ts'
export type {
  BrokerCredential,
  BrokerHost,
  CustodyOption,
  RotatedEntry,
  RotateOptions,
  SealedEntry,
  SealInput,
  UnsealedEntry,
  VaultEntry,
  VaultVersion,
} from './vault.ts'
export type { Version1Context, Version1Keys } from './version-1.ts'
export type { Answer } from './wrapper.ts'
