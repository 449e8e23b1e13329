import { z } from 'zod'
import { auditExample, auditId, auditRow, auditRowToWire } from '../audit-view.ts'
import { defineOperation } from '../operation.ts'

export const auditGet = defineOperation({
  id: 'audit.get',
  method: 'get',
  path: '/api/v2/audit/logs/:id',
  summary: 'Show a row of the audit log',
  scopes: ['audit:read'],
  params: z.strictObject({ id: auditId }),
  data: auditRow,
  example: { data: auditExample },
  statuses: [200],
  errors: ['object.not_found'],
  async handle({ auditReader }, { caller, params }) {
    return { data: auditRowToWire(await auditReader.get(caller.tenantId, params.id)) }
  },
})
