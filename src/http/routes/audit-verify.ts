import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { entryId } from '../schemas.ts'

const report = z
  .strictObject({
    ok: z.boolean(),
    rows: z.int().min(0).meta({ description: 'Rows that are whole, from the first on' }),
    first_bad_seq: z.int().nullable(),
    problem: z.string().nullable(),
    altered_entries: z
      .array(entryId)
      .meta({ description: 'Vault entries whose record is not the one that their last write put on the log' }),
  })
  .meta({ id: 'ChainReport' })

export const auditVerify = defineOperation({
  id: 'audit.verify',
  method: 'post',
  path: '/api/v2/audit/verify',
  summary: 'Verify the audit log',
  description:
    'Recomputes the hash chain of the tenant, compares its end with the authenticated head, and the vault records with what their writes put on the log. Rows that were cut together with an older head look whole: only a copy kept elsewhere shows that.',
  scopes: ['audit:read'],
  data: report,
  example: { data: { ok: true, rows: 7, first_bad_seq: null, problem: null, altered_entries: [] } },
  statuses: [200],
  errors: [],
  async handle({ auditReader, checkRecords }, { caller: { tenantId } }) {
    const found = await auditReader.verify(tenantId)
    const altered = await checkRecords(tenantId)
    const bad = found.ok ? { first_bad_seq: null, problem: null } : { first_bad_seq: found.seq, problem: found.problem }
    return { data: { ok: found.ok && altered.length === 0, rows: found.rows, ...bad, altered_entries: altered } }
  },
})
