import { setTimeout as delay } from 'node:timers/promises'
import type { AuditEvent } from '#src/audit/audit.ts'
import { type AuditLogDeps, createAuditLog } from '#src/audit/audit-log.ts'
import { type ChainReport, verifyChain } from '#src/audit/verify.ts'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { Db } from '#src/db/db.ts'

export const headKey = { id: 'hed_test', mac: opensslProvider.macKey(new Uint8Array(64).fill(7)) }

export function auditOn(db: Db, more: Partial<AuditLogDeps> = {}) {
  return createAuditLog({ db, provider: opensslProvider, headKey, clock: systemClock, ...more })
}

export function verify(db: Db, tenantId: string): Promise<ChainReport> {
  return verifyChain({ db, provider: opensslProvider, headKey }, tenantId)
}

export function eventOf(tenantId: string, more: Partial<AuditEvent> = {}): AuditEvent {
  return {
    tenantId,
    action: 'vault.seal',
    outcome: 'success',
    actor: { id: 'key_test' },
    detail: { version: 1 },
    ...more,
  }
}

/** The row that every tenant's chain begins with. */
export function creationOf(tenantId: string): AuditEvent {
  return eventOf(tenantId, { action: 'tenants.create', actor: { id: 'operator' }, detail: { name: 'plant' } })
}

export function intentOf(tenantId: string, messageId: string, deadlineMs = 10_000): AuditEvent {
  return eventOf(tenantId, {
    action: 'proxy.publish.intent',
    object: { kind: 'integration', id: 'int_test' },
    requestId: newId('req'),
    messageId,
    detail: { topic: 'a/b', qos: 1, deadline_ms: deadlineMs },
  })
}

export function outcomeOf(tenantId: string, messageId: string): AuditEvent {
  return eventOf(tenantId, { action: 'proxy.publish.outcome', messageId, detail: { outcome: 'acknowledged' } })
}

export const isUnavailable = (err: unknown) => err instanceof AppError && err.code === 'audit.unavailable'

/** Asks until the answer is there: for what PostgreSQL does on its own, such as reaping a session. */
export async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (let left = 200; left > 0; left--) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await delay(25)
  }
  throw new Error('it did not happen within 5 s')
}
