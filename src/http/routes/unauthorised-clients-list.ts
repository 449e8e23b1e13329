import { z } from 'zod'
import { refusalReasons } from '../../identity/provider.ts'
import { unauthorisedClient, unauthorisedClientExample, unauthorisedClientToWire } from '../client-view.ts'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery } from '../paging.ts'
import { filterText } from '../schemas.ts'

const query = z.strictObject({
  ...pageQuery.shape,
  hook: filterText(64).optional(),
  client_id: filterText(256).optional(),
  reason: z.enum(refusalReasons).optional().meta({ example: 'wrong-password' }),
  let_in: z.enum(['true', 'false']).optional().meta({ description: 'false: only clients that were not let in since' }),
})

/** Where a page begins: the last one of the page before, by time and id. */
function placeOf(after: string | undefined): { lastAt: Date; id: string } | undefined {
  if (after === undefined) return undefined
  const [lastAt = '', id = ''] = after.split(' ')
  return { lastAt: new Date(lastAt), id }
}

export const unauthorisedClientsList = defineOperation({
  id: 'unauthorised_clients.list',
  method: 'get',
  path: '/api/v2/clients/unauthorised',
  summary: 'List clients that were not let in',
  description:
    'The one that tried last comes first. A row for each client of a hook, a second or two after its attempt; at most 5,000 a tenant, for three days after the last attempt. Never a password or a token. Where more are refused than can be listed, they are counted together under `client_id: null`.',
  scopes: ['audit:read'],
  query,
  data: z.array(unauthorisedClient),
  example: { data: [unauthorisedClientExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const { hook, client_id: clientId, reason, let_in: letIn } = request.query
    const filter = { hook, clientId, reason, letIn: letIn === undefined ? undefined : letIn === 'true' }
    const { tenantId } = request.caller
    const read = async ({ limit, after }: { limit: number; after: string | undefined }) => {
      const page = { ...filter, limit: limit + 1, after: placeOf(after) }
      const found = await services.unauthorisedClients.list(tenantId, page)
      const items = found.slice(0, limit)
      const last = items.at(-1)
      const nextAfter = found.length > limit && last ? `${last.lastAt.toISOString()} ${last.id}` : null
      return { items, nextAfter }
    }
    return answerPage(services, 'unauthorised_clients.list', request, read, unauthorisedClientToWire)
  },
})
