import { z } from 'zod'
import { auditExample, auditRow, auditRowToWire } from '../audit-view.ts'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery } from '../paging.ts'
import { filterText } from '../schemas.ts'

const query = z.strictObject({
  ...pageQuery.shape,
  action: filterText(128).optional().meta({ example: 'proxy.publish.outcome' }),
  outcome: z.enum(['success', 'failure', 'denied', 'unknown']).optional(),
  request_id: filterText(64).optional(),
  message_id: filterText(64).optional(),
})

export const auditList = defineOperation({
  id: 'audit.list',
  method: 'get',
  path: '/api/v2/audit/logs',
  summary: 'List the audit log',
  description: 'Newest first. Reading it leaves no row.',
  scopes: ['audit:read'],
  query,
  data: z.array(auditRow),
  example: { data: [auditExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const { action, outcome, request_id: requestId, message_id: messageId } = request.query
    const read = (page: { limit: number; after: string | undefined }) =>
      services.auditReader.list(request.caller.tenantId, { ...page, action, outcome, requestId, messageId })
    return answerPage(services, 'audit.list', request, read, auditRowToWire)
  },
})
