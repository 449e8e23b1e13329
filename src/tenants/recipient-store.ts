import { copyBytes } from '../core/bytes.ts'
import { isUniqueViolation, type Page, type Queryable } from '../db/db.ts'
import type { Custody, Recipient } from './recipient.ts'

interface RecipientRow {
  id: string
  tenant_id: string
  api_key_id: string
  name: string
  custody: Custody
  suite: string
  state: Recipient['state']
  kem_key_id: string
  kem_public_key: Uint8Array
  mac_key_id: string
  created_at: Date
  confirmed_at: Date | null
  expires_at: Date | null
}

const COLUMNS = `id, tenant_id, api_key_id, name, custody, suite, state, kem_key_id, kem_public_key, mac_key_id,
  created_at, confirmed_at, expires_at`

function mapRow(row: RecipientRow): Recipient {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    apiKeyId: row.api_key_id,
    name: row.name,
    custody: row.custody,
    suite: row.suite,
    state: row.state,
    kemKeyId: row.kem_key_id,
    kemPublicKey: copyBytes(row.kem_public_key),
    macKeyId: row.mac_key_id,
    createdAt: row.created_at,
    confirmedAt: row.confirmed_at,
    expiresAt: row.expires_at,
  }
}

export async function findRecipient(db: Queryable, tenantId: string, id: string): Promise<Recipient | undefined> {
  const { rows } = await db.query<RecipientRow>(`select ${COLUMNS} from recipients where tenant_id = $1 and id = $2`, [
    tenantId,
    id,
  ])
  return rows[0] && mapRow(rows[0])
}

export async function findActive(db: Queryable, tenantId: string, apiKeyId: string): Promise<Recipient | undefined> {
  const { rows } = await db.query<RecipientRow>(
    `select ${COLUMNS} from recipients where tenant_id = $1 and api_key_id = $2 and state = 'active'`,
    [tenantId, apiKeyId],
  )
  return rows[0] && mapRow(rows[0])
}

/** Newest first, without the pending ones that have died; `apiKeyId` narrows the list to one API key. */
export async function listRecipients(
  db: Queryable,
  tenantId: string,
  now: Date,
  { limit, after, apiKeyId }: Page & { apiKeyId?: string | undefined },
): Promise<Recipient[]> {
  const { rows } = await db.query<RecipientRow>(
    `select ${COLUMNS} from recipients where tenant_id = $1 and (state <> 'pending' or expires_at > $2)
       and ($3::text is null or id < $3) and ($4::text is null or api_key_id = $4)
     order by id desc limit $5`,
    [tenantId, now, after, apiKeyId, limit],
  )
  return rows.map(mapRow)
}

/** Reports whether a client ever held the recipient key of this API key, whatever became of it. */
export async function wasEverClientHeld(db: Queryable, tenantId: string, apiKeyId: string): Promise<boolean> {
  const { rows } = await db.query(
    `select 1 from recipients
     where tenant_id = $1 and api_key_id = $2 and custody = 'client' and confirmed_at is not null limit 1`,
    [tenantId, apiKeyId],
  )
  return rows.length > 0
}

/** `halfHashes` are SHA-384 of the parts of the public key; the table holds each one once, whoever enrols it. */
export async function insertRecipient(
  tx: Queryable,
  recipient: Recipient,
  halfHashes: readonly Uint8Array[],
): Promise<void> {
  await tx.query(
    `insert into recipients (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      recipient.id,
      recipient.tenantId,
      recipient.apiKeyId,
      recipient.name,
      recipient.custody,
      recipient.suite,
      recipient.state,
      recipient.kemKeyId,
      recipient.kemPublicKey,
      recipient.macKeyId,
      recipient.createdAt,
      recipient.confirmedAt,
      recipient.expiresAt,
    ],
  )
  // In one order for everybody: two that enrol the same parts at once wait for each other, and not both ways.
  await tx.query(
    `insert into recipient_key_halves (hash, recipient_id)
     select hash, $1 from unnest($2::bytea[]) as hash order by hash`,
    [recipient.id, halfHashes],
  )
}

/** Reports whether an error says that a part of the public key is enrolled already. */
export function isHalfEnrolled(err: unknown): boolean {
  return isUniqueViolation(err, 'recipient_key_halves_pkey')
}

/**
 * Removes what a new enrolment replaces: pending ones of the same API key, and dead ones, of any tenant, that hold a part
 * of the same public key. Returns their MAC keys.
 */
export async function dropPending(
  tx: Queryable,
  dropped: { tenantId: string; apiKeyId: string; halfHashes: readonly Uint8Array[]; now: Date },
): Promise<{ tenantId: string; macKeyId: string }[]> {
  const { rows } = await tx.query<{ tenant_id: string; mac_key_id: string }>(
    `delete from recipients where state = 'pending'
       and ((tenant_id = $1 and api_key_id = $2)
         or (expires_at <= $4 and id in (select recipient_id from recipient_key_halves where hash = any($3::bytea[]))))
     returning tenant_id, mac_key_id`,
    [dropped.tenantId, dropped.apiKeyId, dropped.halfHashes, dropped.now],
  )
  return rows.map((row) => ({ tenantId: row.tenant_id, macKeyId: row.mac_key_id }))
}

/** Makes a pending recipient active; `false` when it is not pending any more, or dead. */
export async function activate(tx: Queryable, tenantId: string, id: string, now: Date): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update recipients set state = 'active', confirmed_at = $3, expires_at = null
     where tenant_id = $1 and id = $2 and state = 'pending' and expires_at > $3`,
    [tenantId, id, now],
  )
  return rowCount === 1
}

/** Ends a recipient; `false` when it had ended already. One that was never confirmed leaves nothing behind. */
export async function endRecipient(
  tx: Queryable,
  { tenantId, id }: Pick<Recipient, 'tenantId' | 'id'>,
  state: 'retired' | 'revoked',
): Promise<boolean> {
  const dropped = await tx.query(`delete from recipients where tenant_id = $1 and id = $2 and state = 'pending'`, [
    tenantId,
    id,
  ])
  if (dropped.rowCount === 1) return true
  const { rowCount } = await tx.query(
    `update recipients set state = $3 where tenant_id = $1 and id = $2 and state not in ($3, 'revoked')`,
    [tenantId, id, state],
  )
  return rowCount === 1
}
