import { assertKnownEvent } from '#src/audit/actions.ts'
import type { Audit, AuditEvent, Caller } from '#src/audit/audit.ts'
import { type Bytes, utf8 } from '#src/core/bytes.ts'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { configSchema } from '#src/integrations/config-schema.ts'
import type { Integration, Operation } from '#src/integrations/integration.ts'
import { configFromWire } from '#src/integrations/wire.ts'
import { createPool, type PoolDeps } from '#src/messaging/pool.ts'
import { createPublish, type PublishCommand, type PublishResult } from '#src/messaging/publish.ts'
import { type CollectCommand, type CollectResult, createCollect } from '#src/messaging/subscribe.ts'
import { createTestConnection } from '#src/messaging/test-connection.ts'
import { createDial, type DialDeps } from '#src/outbound/dial.ts'

export type Values = Record<string, unknown>

/** A vault in memory: what the pool sees of the real one. */
export function createMemoryVault() {
  const entries = new Map<string, { version: number; expiresAt: Date | null; values: Values }>()
  let opens = 0
  return {
    get opens() {
      return opens
    },
    put(id: string, values: Values, expiresAt: Date | null = null) {
      entries.set(id, { version: (entries.get(id)?.version ?? 0) + 1, expiresAt, values })
    },
    remove: (id: string) => entries.delete(id),
    current: (_tenantId: string, id: string) => Promise.resolve(entries.get(id)),
    open(_tenantId: string, id: string) {
      opens++
      const entry = entries.get(id)
      return entry ? Promise.resolve(entry) : Promise.reject(new AppError('object.not_found', 'No such object.'))
    },
  }
}

/** An audit log in memory; `failOn` makes the rows of an action fail, `hangOn` never settle. */
export function createMemoryAudit() {
  const rows: AuditEvent[] = []
  const broken = { failOn: '', hangOn: '' }
  const audit: Audit = {
    record(...events) {
      events.forEach(assertKnownEvent)
      const has = (action: string) => events.some((event) => event.action === action)
      if (has(broken.hangOn)) return new Promise(() => {})
      if (has(broken.failOn))
        return Promise.reject(new AppError('audit.unavailable', 'The audit log could not be written.'))
      rows.push(...events)
      return Promise.resolve()
    },
  }
  return { audit, rows, broken, actions: () => rows.map(({ action, outcome }) => `${action} ${outcome}`) }
}

interface IntegrationOptions {
  tenantId?: string
  allowedOperations?: readonly Operation[]
  config?: unknown
  credentialId?: string
}

export function createIntegration({
  tenantId = newId('ten'),
  allowedOperations = ['publish', 'subscribe'],
  config = { topics: ['#'] },
  credentialId = crypto.randomUUID(),
}: IntegrationOptions = {}): Integration {
  const now = new Date()
  return {
    id: newId('int'),
    tenantId,
    name: 'test',
    systemType: 'mqtt',
    credentialId,
    policyId: null,
    guards: null,
    allowedOperations: new Set(allowedOperations),
    config: configFromWire(configSchema.parse(config)),
    revision: 1,
    createdAt: now,
    updatedAt: now,
  }
}

export function callerOf({ tenantId }: Integration): Caller {
  return { tenantId, actor: { id: newId('key') }, requestId: newId('req') }
}

/** The messaging capability on in-memory ports; `Symbol.asyncDispose` ends its connections. */
export function createMessaging(options: Partial<PoolDeps & DialDeps> = {}) {
  const vault = createMemoryVault()
  const { audit, ...log } = createMemoryAudit()
  const clock = options.clock ?? systemClock
  const dial = options.dial ?? createDial({ allow: ['127.0.0.0/8'], clock, ...options })
  const limits = { connectTimeoutMs: 5_000, maxConnections: 50, idleMs: 60_000 }
  const pool = createPool({ vault, dial, clock, ...limits, ...options })
  const publish = createPublish({ pool, audit, clock })
  const collect = createCollect({ pool, audit, clock })
  const testConnection = createTestConnection({ pool, audit, clock })

  function commandOf(
    integration: Integration,
    given: Partial<PublishCommand> & { text?: string } = {},
  ): PublishCommand {
    const { text = 'hello', ...rest } = given
    return {
      caller: callerOf(integration),
      integration,
      messageId: newId('msg'),
      admit() {},
      payload: utf8(text) as Bytes,
      deadlineMs: clock.monotonic() + 10_000,
      ...rest,
    }
  }

  return {
    vault,
    audit: log,
    pool,
    clock,
    publish,
    collect,
    testConnection,
    commandOf,
    async send(
      integration: Integration,
      given: Partial<PublishCommand> & {
        text?: string
      } = {},
    ): Promise<PublishResult> {
      const result = await publish(commandOf(integration, given))
      if ('dry_run' in result) throw new Error('a dry run was not asked for')
      return result
    },
    async gather(integration: Integration, given: Partial<CollectCommand> = {}): Promise<CollectResult> {
      const result = await collect({
        caller: callerOf(integration),
        integration,
        admit() {},
        deadlineMs: clock.monotonic() + 15_000,
        ...given,
      })
      if ('dry_run' in result) throw new Error('a dry run was not asked for')
      return result
    },
    test: (integration: Integration) =>
      testConnection({
        caller: callerOf(integration),
        integration,
        deadlineMs: clock.monotonic() + 10_000,
      }),
    [Symbol.asyncDispose]: () => pool.close(clock.monotonic() + 200),
  }
}

/** Awaits a refusal and gives it back, so that a test can look at it. */
export async function refusalOf(promise: Promise<unknown>): Promise<AppError> {
  try {
    await promise
  } catch (err) {
    if (err instanceof AppError) return err
    throw err
  }
  throw new Error('it was not refused')
}

/** Lets the event loop turn until something has happened here that a peer saw first. */
export async function until(happened: () => boolean): Promise<void> {
  while (!happened()) await new Promise(setImmediate)
}
