import assert from 'node:assert/strict'
import { assertKnownEvent } from '#src/audit/actions.ts'
import type { Audit, AuditEvent, Caller } from '#src/audit/audit.ts'
import { type Bytes, utf8 } from '#src/core/bytes.ts'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import type { GuardsConfig } from '#src/guards/guards-config.ts'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { configSchema } from '#src/integrations/config-schema.ts'
import type { Integration, Operation } from '#src/integrations/integration.ts'
import { configFromWire } from '#src/integrations/wire.ts'
import { createAccess } from '#src/messaging/access.ts'
import type { BatchResult } from '#src/messaging/batch-result.ts'
import { createGuardRegistry } from '#src/messaging/message-guards.ts'
import { createPool, type PoolDeps } from '#src/messaging/pool.ts'
import { createPublish, type Publish, type PublishCommand, type PublishResult } from '#src/messaging/publish.ts'
import { type BatchCommand, type BatchDryRun, createPublishBatch } from '#src/messaging/publish-batch.ts'
import { createRequest, type RequestCommand, type RequestResult } from '#src/messaging/request.ts'
import { type CollectCommand, type CollectResult, createCollect } from '#src/messaging/subscribe.ts'
import { createTestConnection } from '#src/messaging/test-connection.ts'
import { createDial, type DialDeps } from '#src/outbound/dial.ts'
import type { ActivePolicy } from '#src/policies/active-policies.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { patience } from '#test/support/patience.ts'

/** Publishes as a caller sees it: the answer comes when its outcome is on record. */
export const onRecord =
  (publish: Publish) =>
  async (command: PublishCommand): Promise<Awaited<ReturnType<Publish>>['result']> => {
    const { result, recorded } = await publish(command)
    await recorded
    return result
  }

export type Values = Record<string, unknown>

/** A vault in memory: what the pool sees of the real one. */
export function createMemoryVault() {
  const entries = new Map<string, { version: number; custody: 0; expiresAt: Date | null; values: Values }>()
  let opens = 0
  return {
    get opens() {
      return opens
    },
    put(id: string, values: Values, expiresAt: Date | null = null) {
      entries.set(id, { version: (entries.get(id)?.version ?? 0) + 1, custody: 0, expiresAt, values })
    },
    remove: (id: string) => entries.delete(id),
    current: (_tenantId: string, id: string) => Promise.resolve(entries.get(id)),
    open(_tenantId: string, id: string) {
      opens++
      const entry = entries.get(id)
      return entry ? Promise.resolve(entry) : Promise.reject(new AppError('object.not_found', 'No such object.'))
    },
    verifyShare: () => Promise.reject(new AppError('request.invalid', 'Nothing here is in split custody.')),
  }
}

/** An audit log in memory; `failOn` makes the rows of an action fail, `hangOn` never settle. */
export function createMemoryAudit() {
  const rows: AuditEvent[] = []
  /** Rows of each call. */
  const sizes: number[] = []
  const broken = { failOn: '', hangOn: '' }
  const audit: Audit = {
    record(...events) {
      events.forEach(assertKnownEvent)
      const has = (action: string) => events.some((event) => event.action === action)
      if (has(broken.hangOn)) return new Promise(() => {})
      if (has(broken.failOn))
        return Promise.reject(new AppError('audit.unavailable', 'The audit log could not be written.'))
      rows.push(...events)
      sizes.push(events.length)
      return Promise.resolve()
    },
  }
  return { audit, rows, sizes, broken, actions: () => rows.map(({ action, outcome }) => `${action} ${outcome}`) }
}

/** Stored policies in memory; a missing one is missing. */
export function createMemoryPolicies() {
  const known = new Map<string, ActivePolicy>()
  return {
    /** Stores the next revision of a policy, and gives its id. */
    put(rules: readonly unknown[], { id = newId('pol'), ...members }: { id?: string; [member: string]: unknown } = {}) {
      const { policy, problems } = parsePolicy({ schema: 'mqtt-policy/1', id: 'p', ...members, rules })
      if (!policy) throw new Error(JSON.stringify(problems))
      const revision = (known.get(id)?.revision ?? 0) + 1
      known.set(id, { policyId: id, revision, compiled: compilePolicy(policy) })
      return id
    },
    remove: (id: string) => known.delete(id),
    active: (_tenantId: string, id: string) => Promise.resolve(known.get(id)),
  }
}

/** Stored integrations in memory; one that a command names is there until it is removed. */
export function createMemoryIntegrations() {
  const known = new Map<string, Integration | undefined>()
  return {
    /** Makes it found, unless it was put or removed before. */
    note(integration: Integration) {
      if (!known.has(integration.id)) known.set(integration.id, integration)
    },
    put: (integration: Integration) => void known.set(integration.id, integration),
    remove: ({ id }: Integration) => void known.set(id, undefined),
    find(tenantId: string, id: string) {
      const found = known.get(id)
      return found?.tenantId === tenantId
        ? Promise.resolve(found)
        : Promise.reject(new AppError('object.not_found', 'No such integration.'))
    },
  }
}

/** The guards of an integration, from the document as a tenant writes it. */
export function guardsFrom(document: unknown): GuardsConfig {
  const { guards, problems } = parseGuards(document, { source: 'integration' })
  if (!guards) throw new Error(JSON.stringify(problems))
  return guards
}

/** Access and guards as `services.ts` wires them, on policies in memory. */
export function createJudges(clock = systemClock, policies = createMemoryPolicies()) {
  return {
    policies,
    accessOf: createAccess({ policies, clock }),
    guardsOf: createGuardRegistry({ clock, log: silentLog }),
  }
}

interface IntegrationOptions {
  policyId?: string | null
  guards?: unknown
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
  policyId = null,
  guards,
}: IntegrationOptions = {}): Integration {
  const now = new Date()
  return {
    id: newId('int'),
    tenantId,
    name: 'test',
    systemType: 'mqtt',
    credentialId,
    policyId,
    guards: guards === undefined ? null : guardsFrom(guards),
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

/** A REST caller as policies see it. */
export function identityOf({ actor }: Caller): Identity {
  const { id, address } = actor
  return { clientId: id, sub: id, type: 'service', auth: 'apikey', groups: [], ...(address && { ip: address }) }
}

/** The messaging capability on in-memory ports; `Symbol.asyncDispose` ends its connections. */
export function createMessaging(options: Partial<PoolDeps & DialDeps> = {}) {
  const vault = createMemoryVault()
  const { audit, ...log } = createMemoryAudit()
  const clock = options.clock ?? systemClock
  const dial = options.dial ?? createDial({ allow: ['127.0.0.0/8'], clock, ...options })
  const limits = { connectTimeoutMs: 5_000, maxConnections: 50, idleMs: 60_000, log: silentLog }
  const custody = { settled: () => undefined, shareOf: (one: Integration) => assert.fail(`${one.id} is in custody`) }
  const pool = createPool({ vault, custody, dial, clock, ...limits, ...options })
  const { policies, ...judges } = createJudges(clock)
  const integrations = createMemoryIntegrations()
  /** Codes of what was refused without a row of its own. */
  const counted: string[] = []
  const countRefused = (_caller: unknown, code: string) => void counted.push(code)
  const late = options.onLate && { onLate: options.onLate }
  const createdPublish = createPublish({ pool, countRefused, integrations, ...judges, audit, clock, ...late })
  const publish = onRecord(createdPublish)
  const request = createRequest({ publish: createdPublish, pool, integrations, ...judges, audit, clock })
  const publishBatch = createPublishBatch({ pool, countRefused, integrations, ...judges, audit, clock, ...late })
  const collect = createCollect({ pool, countRefused, integrations, ...judges, audit, clock })
  const testConnection = createTestConnection({ pool, vault, audit, clock })

  function commandOf(
    integration: Integration,
    given: Partial<PublishCommand> & { text?: string } = {},
  ): PublishCommand {
    const { text = 'hello', caller = callerOf(integration), ...rest } = given
    integrations.note(integration)
    return {
      caller,
      identity: identityOf(caller),
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
    policies,
    integrations,
    audit: log,
    counted,
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
    /** Sends a request and awaits its reply. */
    async ask(
      integration: Integration,
      given: Partial<RequestCommand> & { text?: string } = {},
    ): Promise<RequestResult> {
      const { result, recorded } = await request({ ...commandOf(integration, given), ...given })
      await recorded
      if ('dry_run' in result) throw new Error('a dry run was not asked for')
      return result
    },
    /** Publishes a batch of texts, or of messages, and awaits its record. */
    async sendBatch<Given extends Partial<BatchCommand>>(
      integration: Integration,
      items: readonly (string | (Omit<BatchCommand['items'][number], 'payload'> & { text?: string }))[],
      given?: Given,
    ): Promise<Given extends { dryRun: true } ? BatchDryRun : BatchResult> {
      const { payload: _, ...command } = commandOf(integration)
      const messages = items.map((item) => {
        const { text = 'hello', ...rest } = typeof item === 'string' ? { text: item } : item
        return { topic: 't', payload: utf8(text) as Bytes, ...rest }
      })
      const { result, recorded } = await publishBatch({ ...command, items: messages, ...given })
      await recorded
      return result as Given extends { dryRun: true } ? BatchDryRun : BatchResult
    },
    async gather(integration: Integration, given: Partial<CollectCommand> = {}): Promise<CollectResult> {
      const caller = given.caller ?? callerOf(integration)
      integrations.note(integration)
      const result = await collect({
        caller,
        identity: identityOf(caller),
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

/** An integration whose broker is at an address of the test. */
export function integrationAt(
  { vault }: Pick<ReturnType<typeof createMessaging>, 'vault'>,
  hostname: string,
  port: number,
  tenantId = newId('ten'),
): Integration {
  const integration = createIntegration({ tenantId, config: { topics: ['#'] } })
  vault.put(integration.credentialId, { hostname, port })
  return integration
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

/** Lets the event loop turn until something has happened here that a peer saw first; fails after 20 s. */
export async function until(happened: () => boolean): Promise<void> {
  const end = performance.now() + patience(20_000)
  while (!happened()) {
    assert.ok(performance.now() < end, `it did not happen: ${String(happened)}`)
    await new Promise(setImmediate)
  }
}
