import { z } from 'zod'
import { custodyKey, withShare } from '../custody-headers.ts'
import { integrationExample } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { integrationId, timestamp } from '../schemas.ts'

export const integrationsUnlock = defineOperation({
  id: 'integrations.unlock',
  method: 'post',
  path: '/api/v2/integrations/:id/unlock',
  summary: 'Unlock an integration whose credential is in split custody',
  description:
    'Opens the credential with the custody key, to prove it, and keeps the key in the memory of the process that answers, for ttl_s seconds: then, and when the credential is rotated or the integration locked, changed to another credential or deleted, the key is wiped and the connections end. Where several processes run, each holds what was handed to it: unlock until every process_id has answered. A second unlock replaces the first. A restart ends it.',
  scopes: ['integrations:write'],
  params: z.strictObject({ id: integrationId }),
  body: z.strictObject({
    custody_key: custodyKey,
    ttl_s: z.int().min(60).max(86_400).default(3_600).meta({ description: 'Seconds: 60 to 86400, 3600 when absent' }),
  }),
  data: z
    .strictObject({
      id: integrationId,
      locked: z.literal(false),
      unlocked_until: timestamp,
      held_by: z.literal('this_process').meta({ description: 'Other processes of the deployment do not have the key' }),
      process_id: z.string().meta({ description: 'Which process holds the key; another one after a restart' }),
    })
    .meta({ id: 'UnlockedIntegration' }),
  example: {
    body: { custody_key: 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8', ttl_s: 3_600 },
    data: {
      id: integrationExample.id,
      locked: false,
      unlocked_until: '2026-11-21T10:00:00.000Z',
      held_by: 'this_process',
      process_id: '9f2c41d07be6a853',
    },
  },
  statuses: [200],
  errors: [
    'object.not_found',
    'integration.invalid',
    'credential.expired',
    'quota.exceeded',
    'custody.rejected',
    'precondition.failed',
    'rate.limited',
    'vault.unavailable',
    'kms.unavailable',
  ],
  async handle({ custody }, { caller, params, body }) {
    const { unlockedUntil } = await withShare(body.custody_key, (share) =>
      custody.unlock({ caller, integrationId: params.id, share, ttlS: body.ttl_s }),
    )
    return {
      data: {
        id: params.id,
        locked: false as const,
        unlocked_until: unlockedUntil.toISOString(),
        held_by: 'this_process' as const,
        process_id: custody.processId,
      },
    }
  },
})
