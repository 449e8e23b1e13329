import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { BrokerClient } from './broker.ts'
import type { OpenedConnection } from './open-connection.ts'
import type { Semaphore } from './semaphore.ts'

export type Role = 'publish' | 'collect' | 'probe'

/** One connection of the pool, from before it is dialled until it has ended. */
export interface Connection {
  /** Tenant, integration, credential version and settings: only uses that agree in all of them share it. */
  readonly key: string
  readonly role: Role
  readonly tenantId: string
  readonly integrationId: string
  readonly credentialId: string
  readonly ready: Promise<OpenedConnection>
  /** Absent until it has logged in. */
  client: BrokerClient | undefined
  window: Semaphore | undefined
  openedMs: number
  lastUsedMs: number
  /** Operations that are not settled at the broker; while there are any it is never evicted. */
  leases: number
  /** Of the collects that run on it. */
  readonly filters: Set<string>
  draining: boolean
  /** Ended by us: says nothing about the broker. */
  deliberate: boolean
}

export interface ConnectionSet extends Iterable<Connection> {
  add(connection: Connection): void
  delete(connection: Connection): void
  /** Those of one integration, whatever their role. */
  of(integration: { tenantId: string; id: string }): Iterable<Connection>
  /**
   * Makes room for one more, if need be by ending the one that was idle for longest; resolves when its socket is gone.
   *
   * @throws {AppError} `broker.busy` when every connection is in use, or the tenant has its share
   */
  makeRoom(tenantId: string): Promise<unknown> | undefined
  /** Takes a connection out of use; it ends when its last operation settles, at the latest after 30 s. */
  drain(connection: Connection): void
  release(connection: Connection): void
  /** Ends the sweep of idle connections. */
  stop(): void
}

const DRAIN_MS = 30_000
/** Share of the connections that one tenant may hold. */
const TENANT_SHARE = 0.8

function isIdle({ client, leases, role }: Connection): boolean {
  return client !== undefined && leases === 0 && role !== 'probe'
}

function end(connection: Connection): void {
  connection.deliberate = true
  connection.draining = true
  void connection.client?.end()
}

/** Keeps the connections within their number, and ends those that are idle for `idleMs`. */
export function createConnectionSet(options: { clock: Clock; maxConnections: number; idleMs: number }): ConnectionSet {
  const { clock, maxConnections, idleMs } = options
  const connections = new Set<Connection>()
  /** The same by integration: a publish must not look through the connections of everybody. */
  const byIntegration = new Map<string, Set<Connection>>()

  const nameOf = (tenantId: string, integrationId: string) => `${tenantId}/${integrationId}`

  function remove(connection: Connection): void {
    connections.delete(connection)
    const name = nameOf(connection.tenantId, connection.integrationId)
    const own = byIntegration.get(name)
    own?.delete(connection)
    if (own?.size === 0) byIntegration.delete(name)
  }

  const sweep = setInterval(
    () => {
      for (const connection of connections) {
        if (isIdle(connection) && clock.monotonic() - connection.lastUsedMs >= idleMs) end(connection)
      }
    },
    Math.max(250, idleMs / 4),
  )
  sweep.unref()

  return {
    [Symbol.iterator]: () => connections.values(),
    add(connection) {
      connections.add(connection)
      const name = nameOf(connection.tenantId, connection.integrationId)
      const own = byIntegration.get(name)
      if (own) own.add(connection)
      else byIntegration.set(name, new Set([connection]))
    },
    delete: remove,
    of: ({ tenantId, id }) => byIntegration.get(nameOf(tenantId, id)) ?? [],

    makeRoom(tenantId) {
      const own = [...connections].filter((connection) => connection.tenantId === tenantId)
      const overShare = own.length >= Math.ceil(maxConnections * TENANT_SHARE)
      if (connections.size < maxConnections && !overShare) return undefined
      const candidates = (overShare ? own : [...connections]).filter(isIdle)
      const oldest = candidates.sort((a, b) => a.lastUsedMs - b.lastUsedMs)[0]
      if (!oldest?.client) throw new AppError('broker.busy', 'All broker connections are in use.', { retryAfterS: 1 })
      remove(oldest)
      end(oldest)
      return oldest.client.ended
    },

    drain(connection) {
      if (connection.draining) return
      connection.draining = true
      if (isIdle(connection)) {
        end(connection)
        return
      }
      const timer = setTimeout(() => {
        connection.deliberate = true
        connection.client?.destroy()
      }, DRAIN_MS)
      timer.unref()
    },

    release(connection) {
      connection.leases--
      connection.lastUsedMs = clock.monotonic()
      if (connection.draining && isIdle(connection)) end(connection)
    },

    stop: () => clearInterval(sweep),
  }
}
