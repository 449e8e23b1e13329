import type { Audit, Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { Db, Queryable } from '../db/db.ts'

/** What a tenant may be set to: version 2 is always there, version 1 beside it only when the operator says so. */
export const envelopeVersionSettings = [[2], [1, 2]] as const
export type EnvelopeVersionSetting = (typeof envelopeVersionSettings)[number]

/** Reports whether callers of a tenant may ask for answers in envelope version 1. One row; never cached. */
export async function allowsVersion1(db: Queryable, tenantId: string): Promise<boolean> {
  const { rows } = await db.query(`select 1 from tenants where id = $1 and 1 = any(envelope_versions)`, [tenantId])
  return rows.length > 0
}

/**
 * Sets which envelope versions callers of a tenant may ask for, for the operator of the host; in force with the next request.
 *
 * @throws {AppError} `object.not_found`
 */
export async function setEnvelopeVersions(
  deps: { db: Db; audit: Audit; clock: Pick<Clock, 'now'> },
  tenantId: string,
  versions: EnvelopeVersionSetting,
): Promise<void> {
  await createAuditedChange(deps)(async (tx) => {
    const { rowCount } = await tx.query(`update tenants set envelope_versions = $2 where id = $1`, [tenantId, versions])
    if (rowCount !== 1) throw new AppError('object.not_found', 'No such tenant.')
    const caller: Caller = { tenantId, actor: { id: 'operator' }, requestId: newId('req', deps.clock.now()) }
    const detail = { envelope_versions: versions.join(',') }
    const object = { kind: 'tenant', id: tenantId }
    return { result: undefined, events: [{ ...caller, action: 'tenants.update', outcome: 'success', object, detail }] }
  })
}
