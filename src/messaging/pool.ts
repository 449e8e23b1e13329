import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Dial } from '../outbound/dial.ts'
import { unreachable } from '../outbound/dial-errors.ts'
import type { Posture } from '../outbound/posture.ts'
import { filtersOverlap } from '../policy/filter-sets.ts'
import type { CustodyShare } from '../vault/vault.ts'
import type { BrokerClient, OutgoingMessage } from './broker.ts'
import { countsAsFailure, createGates } from './connect-gate.ts'
import { createConnectPermits } from './connect-permits.ts'
import { type Connection, createConnectionSet, type Role } from './connection-set.ts'
import { type CredentialSource, type CredentialUse, createCredentialGate, type ShareSource } from './credential-gate.ts'
import { EXPIRED, sleepUntil, withDeadline } from './deadline.ts'
import { createOpenConnection, type OpenedConnection } from './open-connection.ts'
import type { Permission } from './permission.ts'
import { reasonCodes } from './reason-codes.ts'
import { createSemaphore } from './semaphore.ts'
import { type PublishOutcome, writeMessage } from './write-message.ts'

export interface PoolDeps {
  readonly vault: CredentialSource
  readonly custody: ShareSource
  readonly dial: Dial
  readonly clock: Clock
  readonly connectTimeoutMs: number
  readonly maxConnections: number
  /** A connection without work is ended after so long. */
  readonly idleMs: number
  /** In [0, 1); spreads reconnects. */
  readonly random?: () => number
}

export interface PoolStats {
  readonly connections: number
  readonly connecting: number
  readonly draining: number
  readonly inFlight: number
  /** Since the start: logins, and acknowledgements that came after their caller was answered. */
  readonly connects: number
  readonly lateAcknowledgements: number
}

/** A client that a collect may subscribe with, until it gives it back. */
export interface CollectLease {
  readonly client: BrokerClient
  release(): void
}

export interface Pool {
  /**
   * Publishes on the integration's shared connection, made when there is none. When that took more than a second, the
   * permission is asked for again before a byte is written.
   *
   * @throws {AppError} only when nothing was sent: `broker.*`, `credential.expired`, `integration.invalid`,
   * `integration.locked`, `destination.not_allowed`, and what the vault and the permission throw
   */
  publish(
    integration: Integration,
    message: OutgoingMessage,
    deadlineMs: number,
    permission: Permission,
  ): Promise<PublishOutcome>
  /** Lends a connection on which no running collect overlaps `filter`; throws as `publish` does. */
  collector(integration: Integration, filter: string, deadlineMs: number): Promise<CollectLease>
  /**
   * Opens a connection of its own, whatever failed before; the caller ends it. `share` opens a credential in split custody
   * for this connection alone: one that the vault has verified. Throws as `publish` does.
   */
  probe(integration: Integration, deadlineMs: number, share?: CustodyShare): Promise<OpenedConnection>
  /** Posture of the last connection that was made for an integration. */
  postureOf(integration: Pick<Integration, 'id' | 'tenantId'>): Posture | null
  /** Lets connections that use a credential finish and end, within 30 s: it was rotated or removed. */
  retire(tenantId: string, credentialId: string): void
  /** As `retire`, for the connections of one integration: its unlock has ended. */
  retireIntegration(tenantId: string, integrationId: string): void
  stats(): PoolStats
  /** Refuses new work, waits until `deadlineMs` (monotonic clock) for what runs, and ends every connection. */
  close(deadlineMs: number): Promise<void>
}

/** A connection that lived shorter counts as a failure: a broker that hangs up at once is not dialled in a loop. */
const STABLE_MS = 5_000
/** Time for destroyed sockets to close, beyond the deadline of `close`. */
const GOODBYE_MS = 250
const MAX_WAITING = 1_024
const MAX_REMEMBERED = 10_000
/** A connection may end between being found and being written to; then the next one is tried. */
const ATTEMPTS = 3

function groupOf({ tenantId, id }: Pick<Integration, 'tenantId' | 'id'>): string {
  return `${tenantId}/${id}`
}

/** Written once for each configuration that is in use: every publish asks. */
const settingsTexts = new WeakMap<Integration['config'], string>()

function settingsOf({ config }: Integration): string {
  const known = settingsTexts.get(config)
  if (known !== undefined) return known
  const { protocol, protocolVersion, tls, wsPath, clientIdPrefix, keepaliveS, limits } = config
  const settings = [protocol ?? null, protocolVersion, tls, wsPath, clientIdPrefix, keepaliveS, limits.maxInFlight]
  const text = JSON.stringify(settings)
  settingsTexts.set(config, text)
  return text
}

function keyOf(integration: Integration, version: number): string {
  return `${groupOf(integration)}/${integration.credentialId}/${version}/${settingsOf(integration)}`
}

/** A message that waited is written only if the integration is still unlocked. */
function whileUnlocked({ askedMs, renew }: Permission, use: CredentialUse): Permission {
  return {
    askedMs,
    async renew() {
      await renew()
      use.assertUnlocked()
    },
  }
}

/**
 * Keeps the connections to brokers: one publishing client for each (tenant, integration, credential version), collecting
 * ones as their filters need. Connecting is single-flight, backed off and limited; nothing reconnects without a use.
 */
export function createPool(deps: PoolDeps): Pool {
  const { clock, connectTimeoutMs, random = Math.random } = deps
  const useCredential = createCredentialGate(deps)
  const openConnection = createOpenConnection(deps)
  const connecting = createConnectPermits(clock)
  const connections = createConnectionSet(deps)
  const gates = createGates({ clock, random, halfOpenMs: connectTimeoutMs })
  const postures = new LRUCache<string, Posture>({ max: MAX_REMEMBERED })
  const counts = { connects: 0, lateAcknowledgements: 0 }
  let closing = false

  async function connect(
    integration: Integration,
    use: CredentialUse,
    notBeforeMs: number,
    room: Promise<unknown> | undefined,
  ) {
    await room
    if (notBeforeMs > clock.monotonic()) await sleepUntil(notBeforeMs, clock)
    if (closing) throw unreachable()
    const admitted = await connecting.acquire(integration.tenantId, clock.monotonic() + connectTimeoutMs)
    try {
      return await openConnection(integration, use, clock.monotonic() + connectTimeoutMs)
    } finally {
      admitted()
    }
  }

  function onLogin(connection: Connection, integration: Integration, { client }: OpenedConnection): void {
    counts.connects++
    connection.client = client
    connection.openedMs = clock.monotonic()
    const permits = Math.min(client.limits.receiveMaximum, integration.config.limits.maxInFlight)
    connection.window = createSemaphore({
      permits,
      maxWaiting: MAX_WAITING,
      clock,
      busyText: 'Too many messages are on their way to this broker.',
    })
    postures.set(groupOf(integration), client.posture)
    if (connection.role === 'probe') gates.forget(connection.key)
    else gates.loggedIn(connection.key)
    void client.ended.then((disconnectReason) => {
      connections.delete(connection)
      const shortLived = clock.monotonic() - connection.openedMs < STABLE_MS
      const takenOver = disconnectReason === reasonCodes.sessionTakenOver
      if (connection.deliberate) return
      if (shortLived || takenOver) gates.failed(connection.key, unreachable())
      else gates.forget(connection.key)
    })
  }

  /** Starts a connection; it is in the set at once, so that whoever comes next shares it. */
  function open(integration: Integration, use: CredentialUse, role: Role): Connection {
    if (closing) throw unreachable()
    const key = keyOf(integration, use.version)
    const notBeforeMs = role === 'probe' ? 0 : gates.pass(key)
    const ready = connect(integration, use, notBeforeMs, connections.makeRoom(integration.tenantId))
    const { tenantId, id: integrationId, credentialId } = integration
    const nowMs = clock.monotonic()
    const connection: Connection = {
      key,
      role,
      tenantId,
      integrationId,
      credentialId,
      ready,
      filters: new Set<string>(),
      client: undefined,
      window: undefined,
      openedMs: nowMs,
      lastUsedMs: nowMs,
      leases: 1,
      draining: false,
      deliberate: role === 'probe',
    }
    connections.add(connection)
    ready.then(
      (opened) => onLogin(connection, integration, opened),
      (err: unknown) => {
        connections.delete(connection)
        if (countsAsFailure(err)) gates.failed(key, err)
      },
    )
    return connection
  }

  /**
   * Finds or opens a connection, and takes a lease on it, and on `filter` for a collect. Those of an older version or
   * other settings begin to drain. Nothing is awaited between finding and taking.
   */
  function lease(integration: Integration, use: CredentialUse, role: Role, filter?: string): Connection {
    const key = keyOf(integration, use.version)
    const isFree = ({ filters }: Connection) =>
      filter === undefined || ![...filters].some((other) => filtersOverlap(other, filter))
    let found: Connection | undefined
    for (const connection of connections.of(integration)) {
      if (connection.draining) continue
      if (connection.key !== key) connections.drain(connection)
      else if (connection.role === role && connection.client?.closed !== true && isFree(connection))
        found ??= connection
    }
    if (found) found.leases++
    found ??= open(integration, use, role)
    if (filter !== undefined) found.filters.add(filter)
    return found
  }

  async function readyBy(connection: Connection, deadlineMs: number): Promise<OpenedConnection> {
    const opened = await withDeadline(connection.ready, deadlineMs, clock)
    if (opened === EXPIRED) throw unreachable(new Error('not connected by the deadline'))
    return opened
  }

  return {
    async publish(integration, message, deadlineMs, permission) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const use = await useCredential(integration, deadlineMs)
        const connection = lease(integration, use, 'publish')
        try {
          if (!connection.client) await readyBy(connection, deadlineMs)
          const written = await writeMessage({
            connection,
            message,
            permission: use.inCustody ? whileUnlocked(permission, use) : permission,
            deadlineMs,
            clock,
            connections,
            counts,
          })
          if (written) return written
        } finally {
          connections.release(connection)
        }
      }
      throw unreachable(new Error('the connection ended before the message was written'))
    },

    async collector(integration, filter, deadlineMs) {
      const connection = lease(integration, await useCredential(integration, deadlineMs), 'collect', filter)
      const release = () => {
        connection.filters.delete(filter)
        connections.release(connection)
      }
      try {
        const { client } = await readyBy(connection, deadlineMs)
        return { client, release }
      } catch (err) {
        release()
        throw err
      }
    },

    async probe(integration, deadlineMs, share) {
      const connection = open(integration, await useCredential(integration, deadlineMs, share), 'probe')
      try {
        return await readyBy(connection, deadlineMs)
      } catch (err) {
        connection.ready.then(
          ({ client }) => client.destroy(),
          () => {}, // it is the error that is thrown
        )
        throw err
      }
    },

    postureOf: (integration) => postures.get(groupOf(integration)) ?? null,

    retire(tenantId, credentialId) {
      for (const connection of connections) {
        if (connection.tenantId === tenantId && connection.credentialId === credentialId) connections.drain(connection)
      }
    },

    retireIntegration(tenantId, integrationId) {
      for (const connection of connections.of({ tenantId, id: integrationId })) connections.drain(connection)
    },

    stats() {
      const all = [...connections]
      return {
        connections: all.filter(({ client }) => client !== undefined).length,
        connecting: all.filter(({ client }) => client === undefined).length,
        draining: all.filter(({ draining }) => draining).length,
        inFlight: all.reduce((sum, { window }) => sum + (window?.used ?? 0), 0),
        ...counts,
      }
    },

    async close(deadlineMs) {
      closing = true
      connections.stop()
      const all = [...connections]
      for (const connection of all) connections.drain(connection)
      const ends: Promise<unknown>[] = all.map(({ ready }) =>
        ready.then(
          ({ client }) => client.ended,
          () => null, // it never logged in
        ),
      )
      await withDeadline(Promise.all(ends), deadlineMs, clock)
      for (const { client } of connections) client?.destroy()
      await withDeadline(Promise.all(ends), deadlineMs + GOODBYE_MS, clock)
    },
  }
}
