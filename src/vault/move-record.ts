import type { AuditEvent } from '../audit/audit.ts'
import type { AuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { toHex } from '../core/hex.ts'
import { newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Queryable } from '../db/db.ts'
import type { MoveOutcome } from '../keys/key-job.ts'
import { isWrapAtFault } from '../keys/probe-wrapper.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { digestRecord, type StoredRecord } from './record.ts'
import { type LiveVersion, lockEntry, replaceRecord } from './version-store.ts'

export interface MoveRecordDeps {
  change: AuditedChange
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Pick<Clock, 'now'>
}

/**
 * Puts the record that `make` makes in the place of a version's, in one transaction with the audit row that holds its
 * SHA-384. What another writer changed meanwhile stays as that one left it.
 *
 * @throws {AppError} what stops the job; a record that does not open does not
 */
export async function moveRecord(
  { change, wrapper, provider, clock }: MoveRecordDeps,
  version: LiveVersion,
  work: {
    action: 'vault.reencrypt' | 'vault.rewrap'
    make: () => Promise<StoredRecord>
    detail: (record: StoredRecord) => Readonly<Record<string, string>>
    /** Runs first in the transaction. */
    hold?: (tx: Queryable, record: StoredRecord) => Promise<void>
  },
): Promise<MoveOutcome> {
  const { context } = version
  let record: StoredRecord
  try {
    record = await work.make()
  } catch (err) {
    const isUnopened = err instanceof AppError && err.code === 'vault.unavailable'
    if (isUnopened || (await isWrapAtFault(err, wrapper))) return 'unusable'
    throw err
  }
  return change<MoveOutcome>(async (tx) => {
    const current = await lockEntry(tx, context)
    await work.hold?.(tx, record)
    if (!(await replaceRecord(tx, version, record))) return { result: 'passed', events: [] }
    const event: AuditEvent = {
      tenantId: context.tenantId,
      actor: { id: 'system' },
      requestId: newId('req', clock.now()),
      action: work.action,
      outcome: 'success',
      object: { kind: 'vault_entry', id: context.entryId },
      detail: {
        version: context.version,
        current: current === context.version,
        previous_sha384: toHex(digestRecord(provider, context, version.record)),
        record_sha384: toHex(digestRecord(provider, context, record)),
        ...work.detail(record),
      },
    }
    return { result: 'moved', events: [event] }
  })
}
