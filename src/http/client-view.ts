import { z } from 'zod'
import { type BlockedClient, blockedTypes, MAX_VALUE_BYTES } from '../identity/blocked/blocked-client.ts'
import { OTHERS, type UnauthorisedClient } from '../identity/unauthorised/unauthorised-client.ts'
import { exampleId, idOf, timestamp } from './schemas.ts'

export const blockedClientId = idOf('blk', 'BlockedClientId')
export const unauthorisedClientId = idOf('una', 'UnauthorisedClientId')

export const blockedType = z.enum(blockedTypes).meta({
  id: 'BlockedType',
  description:
    'What the value is compared with. Expressions match the whole text and are linear: no look-around, no back-references.',
})
export const blockedValue = z.string().min(1).max(MAX_VALUE_BYTES)
export const blockedDescription = z
  .string()
  .max(256)
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters')

export const blockedClient = z
  .strictObject({
    id: blockedClientId,
    type: blockedType,
    value: z.string().meta({ description: 'A client id, a username, an address or net, or an expression' }),
    description: z.string(),
    is_active: z.boolean().meta({ description: 'False once it has expired' }),
    created_at: timestamp,
    created_by: z.string().meta({ description: 'The API key that made it' }),
    expires_at: timestamp.nullable(),
  })
  .meta({ id: 'BlockedClient' })

export const blockedClientExample: z.input<typeof blockedClient> = {
  id: exampleId('blk'),
  type: 'client_id',
  value: 'press-4',
  description: 'stolen',
  is_active: true,
  created_at: '2026-11-21T09:00:00.000Z',
  created_by: exampleId('key'),
  expires_at: null,
}

export function blockedClientToWire(entry: BlockedClient, nowMs: number): z.input<typeof blockedClient> {
  const { id, type, value, description, createdAt, createdBy, expiresAt } = entry
  return {
    id,
    type,
    value,
    description,
    is_active: expiresAt === null || expiresAt.getTime() > nowMs,
    created_at: createdAt.toISOString(),
    created_by: createdBy,
    expires_at: expiresAt?.toISOString() ?? null,
  }
}

export const unauthorisedClient = z
  .strictObject({
    id: unauthorisedClientId,
    hook: z.string().meta({ description: 'Name of the hook, as configured' }),
    client_id: z
      .string()
      .nullable()
      .meta({ description: 'Cut at 256 characters; null for all that were too many to be listed one by one' }),
    username: z.string().nullable().meta({ description: 'As shown by the client; `[token]` in place of one' }),
    ip: z.string().nullable(),
    listener: z.string().nullable(),
    tls: z.boolean().nullable(),
    password_provided: z.boolean(),
    reason: z.string().meta({ description: 'Why it was not let in the last time', example: 'wrong-password' }),
    provider: z.string().nullable().meta({ description: 'The provider that refused' }),
    blocked_client_id: z.string().nullable().meta({
      description: 'The entry of the blocked clients that applied; `list-not-known` where the list could not be read',
    }),
    count: z.int().min(1).meta({ description: 'Attempts since `first_at`' }),
    first_at: timestamp,
    last_at: timestamp,
    let_in_at: timestamp
      .nullable()
      .meta({ description: 'When a client of this id was let in afterwards; null: not since `last_at`' }),
  })
  .meta({ id: 'UnauthorisedClient' })

export const unauthorisedClientExample: z.input<typeof unauthorisedClient> = {
  id: exampleId('una'),
  hook: 'default',
  client_id: 'press-4',
  username: 'press-4',
  ip: '192.0.2.17',
  listener: null,
  tls: true,
  password_provided: true,
  reason: 'wrong-password',
  provider: 'devices',
  blocked_client_id: null,
  count: 12,
  first_at: '2026-11-21T09:00:00.000Z',
  last_at: '2026-11-21T09:04:00.000Z',
  let_in_at: null,
}

export function unauthorisedClientToWire(row: UnauthorisedClient): z.input<typeof unauthorisedClient> {
  const { id, hook, clientId, username, ip, listener, tls, passwordProvided, reason, provider, entryId, count } = row
  return {
    id,
    hook,
    client_id: clientId === OTHERS ? null : clientId,
    username,
    ip,
    listener,
    tls,
    password_provided: passwordProvided,
    reason,
    provider,
    blocked_client_id: entryId,
    count,
    first_at: row.firstAt.toISOString(),
    last_at: row.lastAt.toISOString(),
    let_in_at: row.letInAt?.toISOString() ?? null,
  }
}
