import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import { type Reached, unwatched } from '../core/crash-points.ts'
import type { Log } from '../core/log.ts'
import type { Integration } from '../integrations/integration.ts'
import type { PoolCounts } from '../observability/pool-metrics.ts'
import type { Dial } from '../outbound/dial.ts'
import { unreachable } from '../outbound/dial-errors.ts'
import type { Posture } from '../outbound/posture.ts'
import { filtersOverlap } from '../policy/filter-sets.ts'
import type { CustodyShare } from '../vault/vault.ts'
import type { BrokerClient, OutgoingMessage } from './broker.ts'
import { groupOf, keyOf } from './connection-key.ts'
import { type Connection, createConnectionSet, type Role } from './connection-set.ts'
import { type CredentialSource, type CredentialUse, createCredentialGate, type ShareSource } from './credential-gate.ts'
import { EXPIRED, withDeadline } from './deadline.ts'
import type { LateOutcome } from './late-outcomes.ts'
import { createOpener, type Opened, type OpenedConnection } from './open-connection.ts'
import type { Permission } from './permission.ts'
import { reasonCodes } from './reason-codes.ts'
import { PROMPT_MS } from './route-gates.ts'
import { createSemaphore } from './semaphore.ts'
import { type Batch, type WrittenItem, writeBatch } from './write-batch.ts'
import { type PublishOutcome, type Writing, writeMessage } from './write-message.ts'

export interface PoolDeps {
  readonly vault: CredentialSource
  readonly custody: ShareSource
  readonly dial: Dial
  readonly clock: Clock
  readonly log: Log
  readonly connectTimeoutMs: number
  readonly maxConnections: number
  /** A connection without work is ended after so long. */
  readonly idleMs: number
  /** Is told what a broker says of a message after its caller was told that nobody knows; must neither wait nor throw. */
  readonly onLate?: (late: LateOutcome) => void
  readonly reached?: Reached
  /** In [0, 1); spreads reconnects. */
  readonly random?: () => number
}

/** A client that a collect may subscribe with, until it gives it back. */
export interface CollectLease {
  readonly client: BrokerClient
  release(): void
}

/** A client to await a reply with. Requests that name the same topic share it. */
export interface ReplyLease extends CollectLease {
  /** Gives the topic up, and says whether it was the last: nobody else awaits a reply on it, and it is to be unsubscribed. */
  leave(): boolean
}

export interface Pool {
  /**
   * Asks, before anything is put on record for it, whether a use would be answered at once because of earlier failures.
   * Whatever else stands in the way is left to that use.
   *
   * @throws {RememberedFailure} the last failure again, while a breaker is open or the credential refused
   */
  assertHopeful(integration: Integration, deadlineMs: number): Promise<void>
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
  /** Publishes messages in order on that connection; for each what became of it. Throws as `publish` does. */
  publishBatch(
    integration: Integration,
    batch: Batch,
    deadlineMs: number,
    permission: Permission,
  ): Promise<readonly WrittenItem[]>
  /** Lends a connection on which no running collect overlaps `filter`; throws as `publish` does. */
  collector(integration: Integration, filter: string, deadlineMs: number): Promise<CollectLease>
  /** Lends such a connection to a request that awaits its reply on `topic`; `leave` comes before `release`. */
  replyCollector(integration: Integration, topic: string, deadlineMs: number): Promise<ReplyLease>
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
  stats(): PoolCounts
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
  const { clock, log, random = Math.random, onLate = () => undefined, reached = unwatched } = deps
  const useCredential = createCredentialGate(deps)
  const connections = createConnectionSet(deps)
  const opener = createOpener({ ...deps, random })
  const postures = new LRUCache<string, Posture>({ max: MAX_REMEMBERED })
  const counts = { connects: 0, lateAcknowledgements: 0, takenOver: 0, stopped: 0 }
  let closing = false

  function assertWanted(): void {
    if (closing) throw unreachable()
  }

  function onLogin(connection: Connection, integration: Integration, { client, ended }: Opened): void {
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
    connections.opened(connection)
    void client.ended.then((disconnectReason) => {
      connections.delete(connection)
      const takenOver = !connection.deliberate && disconnectReason === reasonCodes.sessionTakenOver
      const isStable = clock.monotonic() - connection.openedMs >= STABLE_MS
      const by = connection.deliberate ? 'us' : takenOver ? 'another client' : 'broker'
      if (takenOver) counts.takenOver++
      if (ended({ by, isStable }).stopped) onStopped(connection)
    })
  }

  function onStopped({ tenantId, integrationId }: Connection): void {
    counts.stopped++
    const text = 'another client takes the sessions of this integration over: its client ids are used twice'
    log.error({ tenant: tenantId, integration: integrationId }, text)
  }

  /** Starts a connection; it is in the set at once, so that whoever comes next shares it. */
  function open(integration: Integration, use: CredentialUse, role: Role): Connection {
    assertWanted()
    const key = keyOf(integration, use.version)
    connections.assertRoom(integration.tenantId)
    const makeRoom = () => connections.makeRoom(connection)
    const ready = opener.open({ integration, use, key, forced: role === 'probe', makeRoom, assertWanted })
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
      replyTopics: new Map<string, number>(),
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
      () => connections.delete(connection), // the error is for those who wait
    )
    return connection
  }

  /**
   * Finds or opens a connection, and takes a lease on it, and for a collect on its filter or reply topic. Those of an older
   * version or other settings begin to drain. Nothing is awaited between finding and taking.
   */
  function lease(
    integration: Integration,
    use: CredentialUse,
    role: Role,
    { filter, replyTopic }: { filter?: string; replyTopic?: string } = {},
  ): Connection {
    const key = keyOf(integration, use.version)
    const overlaps = (others: Iterable<string>, wanted: string | undefined) =>
      wanted !== undefined && [...others].some((other) => filtersOverlap(other, wanted))
    const isFree = ({ filters, replyTopics }: Connection) =>
      !overlaps(filters, filter ?? replyTopic) && !overlaps(replyTopics.keys(), filter)
    let found: Connection | undefined
    for (const connection of connections.of(integration)) {
      if (connection.draining) continue
      if (connection.key !== key) connections.drain(connection)
      else if (connection.role === role && connection.client?.closed !== true && isFree(connection))
        found ??= connection
    }
    if (found) connections.take(found)
    found ??= open(integration, use, role)
    if (filter !== undefined) found.filters.add(filter)
    if (replyTopic !== undefined) found.replyTopics.set(replyTopic, (found.replyTopics.get(replyTopic) ?? 0) + 1)
    return found
  }

  async function readyBy(connection: Connection, deadlineMs: number): Promise<OpenedConnection> {
    const opened = await withDeadline(connection.ready, deadlineMs, clock)
    if (opened === EXPIRED) throw unreachable(new Error('not connected by the deadline'))
    return opened
  }

  /** Writes on the publishing connection; where that had ended before a byte was written, on the next one. */
  async function onPublisher<T>(
    integration: Integration,
    deadlineMs: number,
    permission: Permission,
    write: (writing: Writing) => Promise<T | undefined>,
  ): Promise<T> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const use = await useCredential(integration, deadlineMs)
      const connection = lease(integration, use, 'publish')
      try {
        if (!connection.client) await readyBy(connection, deadlineMs)
        const written = await write({
          connection,
          permission: use.inCustody ? whileUnlocked(permission, use) : permission,
          deadlineMs,
          clock,
          connections,
          counts,
          onLate,
          reached,
        })
        if (written) return written
      } finally {
        connections.release(connection)
      }
    }
    throw unreachable(new Error('the connection ended before the message was written'))
  }

  /** Whether there is a connection, or one that has hardly begun to be made: nothing else need be asked then. */
  function isAtHand({ client, draining, openedMs }: Connection): boolean {
    if (draining) return false
    return client ? !client.closed : clock.monotonic() - openedMs < PROMPT_MS
  }

  return {
    async assertHopeful(integration, deadlineMs) {
      for (const connection of connections.of(integration)) if (isAtHand(connection)) return
      const use = await useCredential(integration, deadlineMs).catch(() => undefined) // the use says why, on record
      if (use) opener.assertHopeful({ integration, use, key: keyOf(integration, use.version) })
    },

    publish: (integration, message, deadlineMs, permission) =>
      onPublisher(integration, deadlineMs, permission, (writing) => writeMessage(writing, message)),

    publishBatch: (integration, batch, deadlineMs, permission) =>
      onPublisher(integration, deadlineMs, permission, (writing) => writeBatch(writing, batch)),

    async collector(integration, filter, deadlineMs) {
      const connection = lease(integration, await useCredential(integration, deadlineMs), 'collect', { filter })
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

    async replyCollector(integration, topic, deadlineMs) {
      const use = await useCredential(integration, deadlineMs)
      const connection = lease(integration, use, 'collect', { replyTopic: topic })
      const { replyTopics } = connection
      const leave = () => {
        const others = (replyTopics.get(topic) ?? 1) - 1
        replyTopics.set(topic, others)
        return others === 0
      }
      const release = () => {
        if (replyTopics.get(topic) === 0) replyTopics.delete(topic)
        connections.release(connection)
      }
      try {
        const { client } = await readyBy(connection, deadlineMs)
        return { client, leave, release }
      } catch (err) {
        leave()
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
      let [connected, draining, inFlight] = [0, 0, 0]
      for (const { client, draining: ends, window } of connections) {
        if (client) connected++
        if (ends) draining++
        inFlight += window?.used ?? 0
      }
      return {
        connections: connected,
        connecting: connections.size - connected,
        draining,
        inFlight,
        ...opener.counts,
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
