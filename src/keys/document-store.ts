import type { Queryable } from '../db/db.ts'
import type { KeyDocument } from '../envelope/key-document.ts'

/** The last key document of a root that is offline. */
export interface StoredDocument {
  document: KeyDocument
  issuedAt: Date
  expiresAt: Date
}

interface DocumentRow {
  document: KeyDocument
  issued_at: Date
  expires_at: Date
}

export async function findDocument(db: Queryable, rootKeyId: string): Promise<StoredDocument | undefined> {
  const { rows } = await db.query<DocumentRow>(
    `select document, issued_at, expires_at from key_documents where root_key_id = $1`,
    [rootKeyId],
  )
  const row = rows[0]
  return row && { document: row.document, issuedAt: row.issued_at, expiresAt: row.expires_at }
}

export async function saveDocument(tx: Queryable, rootKeyId: string, stored: StoredDocument): Promise<void> {
  await tx.query(
    `insert into key_documents (root_key_id, issued_at, expires_at, document) values ($1, $2, $3, $4)
     on conflict (root_key_id) do update set issued_at = excluded.issued_at, expires_at = excluded.expires_at,
                                             document = excluded.document`,
    [rootKeyId, stored.issuedAt, stored.expiresAt, JSON.stringify(stored.document)],
  )
}

export async function deleteDocument(tx: Queryable, rootKeyId: string): Promise<void> {
  await tx.query(`delete from key_documents where root_key_id = $1`, [rootKeyId])
}
