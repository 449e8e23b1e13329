import { z } from 'zod'
import { ML_KEM_SUITE } from '../envelope/suites.ts'
import type { Recipient } from '../tenants/recipients.ts'
import { apiKeyId, displayName, exampleId, recipientId, timestamp } from './schemas.ts'

export const recipient = z
  .strictObject({
    id: recipientId,
    api_key_id: apiKeyId,
    name: displayName,
    custody: z.enum(['client', 'server']),
    suite: z.string(),
    state: z.enum(['pending', 'active', 'retired', 'revoked']),
    kem_key_id: z.string(),
    mac_key_id: z.string(),
    created_at: timestamp,
    confirmed_at: timestamp.nullable(),
  })
  .meta({ id: 'Recipient' })

export const recipientExample: z.input<typeof recipient> = {
  id: exampleId('rcp'),
  api_key_id: exampleId('key'),
  name: 'line 4 controller',
  custody: 'client',
  suite: ML_KEM_SUITE,
  state: 'active',
  kem_key_id: exampleId('kem'),
  mac_key_id: exampleId('mac'),
  created_at: '2026-11-21T09:00:00.000Z',
  confirmed_at: '2026-11-21T09:00:01.000Z',
}

export function recipientToWire(one: Recipient): z.input<typeof recipient> {
  return {
    id: one.id,
    api_key_id: one.apiKeyId,
    name: one.name,
    custody: one.custody,
    suite: one.suite,
    state: one.state,
    kem_key_id: one.kemKeyId,
    mac_key_id: one.macKeyId,
    created_at: one.createdAt.toISOString(),
    confirmed_at: one.confirmedAt?.toISOString() ?? null,
  }
}
