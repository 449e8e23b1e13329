import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { keySetToWire, tenantKey, tenantKeyExample, vaultKeysToWire } from '../tenant-key-view.ts'

const sets = ['sign', 'object', 'version-1'] as const

export const securityKeysList = defineOperation({
  id: 'tenant_keys.list',
  method: 'get',
  path: '/api/v2/security/keys',
  summary: 'List the keys of the tenant',
  description:
    'Every key of the tenant by purpose, newest first, destroyed ones included, without any secret; how many vault records are under each, and how far the move to the active vault key is. Recipients and API keys have lists of their own.',
  scopes: ['keys:manage'],
  data: z.array(tenantKey),
  example: { data: [tenantKeyExample] },
  statuses: [200],
  errors: [],
  async handle({ vaultKeys, tenantSigningKeys }, { principal: { tenantId } }) {
    const { keys, job } = await vaultKeys.list(tenantId)
    const others = await Promise.all(
      sets.map(async (set) => (await tenantSigningKeys.list(tenantId, set)).map((one) => keySetToWire(set, one))),
    )
    return { data: [...vaultKeysToWire(keys, job), ...others.flat()] }
  },
})
