import type { Caller } from '../audit/audit.ts'
import { AppError } from '../core/errors.ts'
import { newUuid } from '../core/ids.ts'
import { assertDisplayName } from '../tenants/display-name.ts'
import { isCredentialType } from './credential-types.ts'
import type { StoredEntry, VaultEntry } from './entry-store.ts'
import { type RecordContext, VALUES_SCHEMA } from './record.ts'
import { encodeMetadata } from './values.ts'

export interface NewEntry {
  name?: string | undefined
  credentialType: string
  values: Readonly<Record<string, unknown>>
  /** 1 to 365; absent: never expires. */
  ttlDays?: number | undefined
  metadata?: Readonly<Record<string, unknown>> | undefined
}

const DAY_MS = 86_400_000

/** The one answer for what is missing, deleted, or another tenant's. */
export const entryNotFound = () => new AppError('object.not_found', 'No such object.')

/** What the record of an entry's current version is bound to. */
export function contextOf(
  entry: Pick<StoredEntry, 'tenantId' | 'id' | 'version' | 'credentialType' | 'custody'>,
): RecordContext {
  const { tenantId, id: entryId, version, credentialType, custody } = entry
  return { tenantId, entryId, version, credentialType, schema: VALUES_SCHEMA, custody }
}

/** When an entry of that life expires that was written at `nowMs`. */
export function expiryOf(ttlDays: number | null, nowMs: number): Date | null {
  return ttlDays === null ? null : new Date(nowMs + ttlDays * DAY_MS)
}

/** The audit row of something that was done with the current version of an entry. */
export function entryEvent(caller: Caller, { id, credentialType, version, custody }: StoredEntry) {
  const detail = { credential_type: credentialType, version, ...(custody === 1 && { split_custody: true }) }
  return { ...caller, outcome: 'success' as const, object: { kind: 'vault_entry', id }, detail }
}

/** Leaves out what is not for callers. */
export function publicView({ tenantId: _tenantId, ttlDays: _ttlDays, ...entry }: StoredEntry): VaultEntry {
  return entry
}

/**
 * Makes the first version of an entry from what a caller sent.
 *
 * @throws {AppError} `request.invalid`
 */
export function parseNewEntry(
  input: NewEntry,
  tenantId: string,
  nowMs: number,
  custody: 0 | 1,
): { entry: StoredEntry; metadata: string } {
  const { name = null, credentialType, ttlDays = null } = input
  const invalid = (message: string) => new AppError('request.invalid', message)
  if (!isCredentialType(credentialType)) throw invalid('credential_type: an unknown word.')
  if (name !== null) assertDisplayName(name)
  if (ttlDays !== null && !(Number.isInteger(ttlDays) && ttlDays >= 1 && ttlDays <= 365)) {
    throw invalid('ttl_days: must be an integer from 1 to 365.')
  }
  const metadata = encodeMetadata(input.metadata)
  const [createdAt, id] = [new Date(nowMs), newUuid(nowMs)]
  const times = { createdAt, updatedAt: createdAt, expiresAt: expiryOf(ttlDays, nowMs), lastAccessedAt: null }
  const shown = { name, credentialType, metadata: JSON.parse(metadata) as StoredEntry['metadata'], active: true }
  return { entry: { tenantId, id, version: 1, custody, ttlDays, ...shown, ...times }, metadata }
}
