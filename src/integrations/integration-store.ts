import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import type { IntegrationInput, IntegrationPatch } from './bodies.ts'
import { configSchema, type IntegrationConfig } from './config-schema.ts'
import { operations, type StoredIntegration } from './integration.ts'
import { configFromWire, configToWire } from './wire.ts'

interface IntegrationRow {
  tenant_id: string
  id: string
  name: string
  credential_id: string
  allowed_operations: string[]
  config: unknown
  policy_id: string | null
  guards: Record<string, unknown> | null
  revision: number
  created_at: Date
  updated_at: Date
}

const COLUMNS =
  'tenant_id, id, name, credential_id, allowed_operations, config, policy_id, guards, revision, created_at, updated_at'

export interface Page {
  limit: number
  /** Id of the last one of the page before. */
  after?: string | undefined
}

/**
 * For settings in the database that this release does not understand: of a newer one, or written by hand. The revision is
 * what a change that puts it right, or takes it away, names in If-Match.
 */
export function notUnderstood({ id, revision }: { id: string; revision: number }, member: string): AppError {
  const text = `${member}: what is stored of ${id} is not understood by this version; it is not used until it is put right.`
  return new AppError('integration.invalid', text, { details: { member, integration_id: id, revision } })
}

/** A row whose settings no longer parse throws: refused, never guessed at. An unknown operation allows nothing. */
function fromRow(row: IntegrationRow): StoredIntegration {
  const config = configSchema.safeParse(row.config)
  if (!config.success) throw notUnderstood(row, ['config', ...(config.error.issues[0]?.path ?? [])].join('.'))
  return Object.freeze({
    id: row.id,
    tenantId: row.tenant_id,
    name: row.name,
    systemType: 'mqtt',
    credentialId: row.credential_id,
    allowedOperations: new Set(operations.filter((operation) => row.allowed_operations.includes(operation))),
    config: configFromWire(config.data),
    policyId: row.policy_id,
    guards: row.guards,
    revision: row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  })
}

function readOrError(row: IntegrationRow): StoredIntegration | AppError {
  try {
    return fromRow(row)
  } catch (err) {
    if (err instanceof AppError) return err
    throw err
  }
}

/** Inserts an integration at revision 1. */
export async function insertIntegration(
  db: Queryable,
  row: { tenantId: string; id: string; now: Date },
  input: IntegrationInput,
): Promise<StoredIntegration> {
  const { rows } = await db.query<IntegrationRow>(
    `insert into integrations
       (tenant_id, id, name, system_type, credential_id, allowed_operations, config, policy_id, guards, revision,
        created_at, updated_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10) returning ${COLUMNS}`,
    [
      row.tenantId,
      row.id,
      input.name,
      input.systemType,
      input.credentialId,
      [...input.allowedOperations],
      JSON.stringify(configToWire(input.config)),
      input.policyId,
      input.guards && JSON.stringify(input.guards),
      row.now,
    ],
  )
  return fromRow(rows[0] as IntegrationRow)
}

/** Finds one of this tenant's; somebody else's is not there. */
export async function selectIntegration(
  db: Queryable,
  tenantId: string,
  id: string,
): Promise<StoredIntegration | undefined> {
  const { rows } = await db.query<IntegrationRow>(
    `select ${COLUMNS} from integrations where tenant_id = $1 and id = $2`,
    [tenantId, id],
  )
  return rows[0] && fromRow(rows[0])
}

/** Reads what leads to the broker, of an integration that need not be understood: then there is no `config`. */
export async function selectLink(
  db: Queryable,
  tenantId: string,
  id: string,
): Promise<{ credentialId: string; config: IntegrationConfig | undefined } | undefined> {
  const { rows } = await db.query<Pick<IntegrationRow, 'credential_id' | 'config'>>(
    'select credential_id, config from integrations where tenant_id = $1 and id = $2',
    [tenantId, id],
  )
  const row = rows[0]
  if (!row) return undefined
  const config = configSchema.safeParse(row.config)
  return { credentialId: row.credential_id, config: config.success ? configFromWire(config.data) : undefined }
}

/** Lists in the order of creation; in the place of one that is not understood is its error. */
export async function selectIntegrations(
  db: Queryable,
  tenantId: string,
  page: Page,
): Promise<{ id: string; read: StoredIntegration | AppError }[]> {
  const { rows } = await db.query<IntegrationRow>(
    `select ${COLUMNS} from integrations where tenant_id = $1 and id > $2 order by id limit $3`,
    [tenantId, page.after ?? '', page.limit],
  )
  return rows.map((row) => ({ id: row.id, read: readOrError(row) }))
}

/** Changes an integration that is still at `revision`; `undefined` where it is not, or is not there. */
export async function updateIntegration(
  db: Queryable,
  at: { tenantId: string; id: string; revision: number; now: Date },
  patch: IntegrationPatch,
): Promise<StoredIntegration | undefined> {
  const { rows } = await db.query<IntegrationRow>(
    `update integrations set
       name = coalesce($5, name), credential_id = coalesce($6, credential_id),
       allowed_operations = coalesce($7, allowed_operations), config = coalesce($8, config),
       policy_id = case when $9 then $10 else policy_id end, guards = case when $11 then $12 else guards end,
       revision = revision + 1, updated_at = $4
     where tenant_id = $1 and id = $2 and revision = $3 returning ${COLUMNS}`,
    [
      at.tenantId,
      at.id,
      at.revision,
      at.now,
      patch.name ?? null,
      patch.credentialId ?? null,
      patch.allowedOperations ? [...patch.allowedOperations] : null,
      patch.config ? JSON.stringify(configToWire(patch.config)) : null,
      patch.policyId !== undefined,
      patch.policyId ?? null,
      patch.guards !== undefined,
      patch.guards ? JSON.stringify(patch.guards) : null,
    ],
  )
  return rows[0] && fromRow(rows[0])
}

/** What is said of a deleted integration; its settings need not be understood. */
export type DeletedIntegration = Pick<StoredIntegration, 'tenantId' | 'id' | 'name' | 'credentialId' | 'revision'>

/** Deletes an integration that is still at `revision`; `undefined` where it is not, or is not there. */
export async function deleteIntegration(
  db: Queryable,
  at: { tenantId: string; id: string; revision: number },
): Promise<DeletedIntegration | undefined> {
  const { rows } = await db.query<Pick<IntegrationRow, 'name' | 'credential_id'>>(
    'delete from integrations where tenant_id = $1 and id = $2 and revision = $3 returning name, credential_id',
    [at.tenantId, at.id, at.revision],
  )
  const row = rows[0]
  return row && { ...at, name: row.name, credentialId: row.credential_id }
}

/** Ids of the integrations that use a credential, at most 100. */
export async function selectUsers(db: Queryable, tenantId: string, credentialId: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'select id from integrations where tenant_id = $1 and credential_id = $2 order by id limit 100',
    [tenantId, credentialId],
  )
  return rows.map((row) => row.id)
}

/** Ids of the integrations that name a policy, at most 100. */
export async function selectUsersOfPolicy(db: Queryable, tenantId: string, policyId: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    'select id from integrations where tenant_id = $1 and policy_id = $2 order by id limit 100',
    [tenantId, policyId],
  )
  return rows.map((row) => row.id)
}
