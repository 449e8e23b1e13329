import { z } from 'zod'
import { defineOperation } from '../operation.ts'

const report = z
  .strictObject({
    ok: z.boolean(),
    rows: z.int().min(0).meta({ description: 'Rows that are whole, from the first on' }),
    first_bad_seq: z.int().nullable(),
    problem: z.string().nullable(),
  })
  .meta({ id: 'ChainReport' })

export const auditVerify = defineOperation({
  id: 'audit.verify',
  method: 'post',
  path: '/api/v2/audit/verify',
  summary: 'Verify the audit log',
  description:
    'Recomputes the hash chain of the tenant and compares its end with the authenticated head. Rows that were cut together with an older head look whole: only a copy kept elsewhere shows that.',
  scopes: ['audit:read'],
  data: report,
  example: { data: { ok: true, rows: 7, first_bad_seq: null, problem: null } },
  statuses: [200],
  errors: [],
  async handle({ auditReader }, { caller }) {
    const found = await auditReader.verify(caller.tenantId)
    const bad = found.ok ? { first_bad_seq: null, problem: null } : { first_bad_seq: found.seq, problem: found.problem }
    return { data: { ok: found.ok, rows: found.rows, ...bad } }
  },
})
