import { z } from 'zod'
import type { ChainedRow } from '../audit/reader.ts'
import { exampleId, idOf } from './schemas.ts'

export const auditId = idOf('aud', 'AuditId')

/** A row as it was hashed, with its place in the chain. */
export const auditRow = z
  .strictObject({
    id: auditId,
    tenant_id: z.string(),
    seq: z.int().min(1),
    at: z.string().meta({ description: 'RFC 3339, microseconds, UTC' }),
    action: z.string(),
    outcome: z.enum(['success', 'failure', 'denied', 'unknown']),
    actor: z.strictObject({ id: z.string(), address: z.string().nullable(), user_agent: z.string().nullable() }),
    object: z.strictObject({ kind: z.string(), id: z.string() }).nullable(),
    request_id: z.string().nullable(),
    message_id: z.string().nullable(),
    detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    prev_hash: z.string().meta({ description: '32 bytes, hexadecimal' }),
    hash: z.string().meta({ description: '32 bytes, hexadecimal' }),
  })
  .meta({ id: 'AuditRow' })

export const auditExample: z.input<typeof auditRow> = {
  id: exampleId('aud'),
  tenant_id: exampleId('ten'),
  seq: 7,
  at: '2026-11-21T09:00:00.004000Z',
  action: 'proxy.publish.outcome',
  outcome: 'success',
  actor: { id: exampleId('key'), address: '192.0.2.7', user_agent: 'curl/8.5.0' },
  object: { kind: 'integration', id: exampleId('int') },
  request_id: exampleId('req'),
  message_id: exampleId('msg'),
  detail: { topic: 'sensors/temperature', qos: 1, outcome: 'acknowledged' },
  prev_hash: '5a'.repeat(32),
  hash: 'c3'.repeat(32),
}

export function auditRowToWire({ row, prevHash, hash }: ChainedRow): z.input<typeof auditRow> {
  return { ...row, prev_hash: prevHash, hash }
}
