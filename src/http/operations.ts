import type { Operation } from './operation.ts'
import { apiKeysCreate } from './routes/api-keys-create.ts'
import { apiKeysList } from './routes/api-keys-list.ts'
import { apiKeysRevoke } from './routes/api-keys-revoke.ts'
import { auditGet } from './routes/audit-get.ts'
import { auditList } from './routes/audit-list.ts'
import { auditVerify } from './routes/audit-verify.ts'
import { blockedClientsCreate } from './routes/blocked-clients-create.ts'
import { blockedClientsDelete } from './routes/blocked-clients-delete.ts'
import { blockedClientsGet } from './routes/blocked-clients-get.ts'
import { blockedClientsList } from './routes/blocked-clients-list.ts'
import { encryptionDecrypt } from './routes/encryption-decrypt.ts'
import { encryptionEncrypt } from './routes/encryption-encrypt.ts'
import { encryptionKeys } from './routes/encryption-keys.ts'
import { encryptionSign } from './routes/encryption-sign.ts'
import { encryptionVerify } from './routes/encryption-verify.ts'
import { integrationsCreate } from './routes/integrations-create.ts'
import { integrationsDelete } from './routes/integrations-delete.ts'
import { integrationsGet } from './routes/integrations-get.ts'
import { integrationsList } from './routes/integrations-list.ts'
import { integrationsLock } from './routes/integrations-lock.ts'
import { integrationsTest } from './routes/integrations-test.ts'
import { integrationsUnlock } from './routes/integrations-unlock.ts'
import { integrationsUpdate } from './routes/integrations-update.ts'
import { policiesCreate } from './routes/policies-create.ts'
import { policiesDelete } from './routes/policies-delete.ts'
import { policiesGet } from './routes/policies-get.ts'
import { policiesImport } from './routes/policies-import.ts'
import { policiesList } from './routes/policies-list.ts'
import { policiesPresets } from './routes/policies-presets.ts'
import { policiesRevision } from './routes/policies-revision.ts'
import { policiesRevisions } from './routes/policies-revisions.ts'
import { policiesSimulate } from './routes/policies-simulate.ts'
import { policiesUpdate } from './routes/policies-update.ts'
import { policiesValidate } from './routes/policies-validate.ts'
import { proxyMessagesGet } from './routes/proxy-messages-get.ts'
import { proxyOutbound } from './routes/proxy-outbound.ts'
import { recipientsConfirm } from './routes/recipients-confirm.ts'
import { recipientsEnroll } from './routes/recipients-enroll.ts'
import { recipientsExport } from './routes/recipients-export.ts'
import { recipientsGet } from './routes/recipients-get.ts'
import { recipientsList } from './routes/recipients-list.ts'
import { recipientsRevoke } from './routes/recipients-revoke.ts'
import { securityKeysList } from './routes/security-keys-list.ts'
import { securityKeysRotate } from './routes/security-keys-rotate.ts'
import { unauthorisedClientsClear } from './routes/unauthorised-clients-clear.ts'
import { unauthorisedClientsDelete } from './routes/unauthorised-clients-delete.ts'
import { unauthorisedClientsList } from './routes/unauthorised-clients-list.ts'
import { vaultDelete } from './routes/vault-delete.ts'
import { vaultGet } from './routes/vault-get.ts'
import { vaultList } from './routes/vault-list.ts'
import { vaultRotate } from './routes/vault-rotate.ts'
import { vaultSeal } from './routes/vault-seal.ts'
import { vaultUnseal } from './routes/vault-unseal.ts'
import { vaultVersions } from './routes/vault-versions.ts'

/** Every authenticated operation. The busiest comes first: Express tries routes in order. */
export const operations: readonly Operation[] = [
  proxyOutbound,
  proxyMessagesGet,
  encryptionDecrypt,
  encryptionEncrypt,
  encryptionSign,
  encryptionVerify,
  encryptionKeys,
  vaultSeal,
  vaultUnseal,
  vaultList,
  vaultGet,
  vaultVersions,
  vaultRotate,
  vaultDelete,
  integrationsCreate,
  integrationsList,
  integrationsGet,
  integrationsUpdate,
  integrationsDelete,
  integrationsTest,
  integrationsUnlock,
  integrationsLock,
  policiesValidate,
  policiesSimulate,
  policiesImport,
  policiesPresets, // before those with an id in its place
  policiesCreate,
  policiesList,
  policiesGet,
  policiesUpdate,
  policiesDelete,
  policiesRevisions,
  policiesRevision,
  blockedClientsCreate,
  blockedClientsList,
  blockedClientsGet,
  blockedClientsDelete,
  unauthorisedClientsList,
  unauthorisedClientsDelete,
  unauthorisedClientsClear,
  recipientsEnroll,
  recipientsConfirm,
  recipientsExport,
  recipientsList,
  recipientsGet,
  recipientsRevoke,
  apiKeysCreate,
  apiKeysList,
  apiKeysRevoke,
  securityKeysList,
  securityKeysRotate,
  auditList,
  auditGet,
  auditVerify,
]
