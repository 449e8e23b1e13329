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
  /** Topics that requests await replies on, each with how many do; 0 until its UNSUBSCRIBE is confirmed. */
  readonly replyTopics: Map<string, number>
  draining: boolean
  /** Ended by us: says nothing about the broker. */
  deliberate: boolean
}

export interface ConnectionSet extends Iterable<Connection> {
  readonly size: number
  add(connection: Connection): void
  delete(connection: Connection): void
  /** Those of one integration, whatever their role. */
  of(integration: { tenantId: string; id: string }): Iterable<Connection>
  /**
   * @throws {AppError} `broker.busy` when every place is in use, or the tenant has its share and uses it, or too many wait
   */
  assertRoom(tenantId: string): void
  /**
   * Gives a connection its place, if need be that of an idle one: of the tenant that holds most, the one idle for longest.
   * Resolves when the socket of that one is gone. @throws {AppError} `broker.busy`
   */
  makeRoom(connection: Connection): Promise<unknown> | undefined
  /** Counts an operation that begins; while there are any the connection is never evicted. */
  take(connection: Connection): void
  release(connection: Connection): void
  /** To be told when a connection has logged in. */
  opened(connection: Connection): void
  /** Takes a connection out of use; it ends when its last operation settles, at the latest after 30 s. */
  drain(connection: Connection): void
  /** Ends the sweep of idle connections. */
  stop(): void
}

const DRAIN_MS = 30_000
/** Share of the connections that one tenant may hold. */
const TENANT_SHARE = 0.8
/** A tenant uses at most so many for each that nobody uses, which alone is that share, and with others leaves some free. */
const TIMES_THE_FREE = 4

/** Connections that wait for their turn to be dialled: of the process, and of one tenant, which also leaves as many free. */
const WAITING = 1_024
const TENANT_WAITING = 256

/** What one tenant has in the pool. */
interface Holding {
  all: number
  places: number
  /** Longest idle first. */
  readonly idle: Set<Connection>
}

function isIdle({ client, leases, role, draining }: Connection): boolean {
  return client !== undefined && leases === 0 && role !== 'probe' && !draining
}

function busy(): AppError {
  return new AppError('broker.busy', 'All broker connections are in use.', { retryAfterS: 1 })
}

function firstOf({ idle }: Holding): Connection | undefined {
  return idle.values().next().value
}

/**
 * Keeps the connections within their number, and ends those that are idle for `idleMs`. What is asked for each publish takes
 * the same time however many connections there are; making room looks at each tenant once.
 */
export function createConnectionSet(options: { clock: Clock; maxConnections: number; idleMs: number }): ConnectionSet {
  const { clock, maxConnections, idleMs } = options
  const connections = new Set<Connection>()
  /** Those with a place. */
  const placed = new Set<Connection>()
  /** By integration: a publish must not look through the connections of everybody. */
  const byIntegration = new Map<string, Set<Connection>>()
  const holdings = new Map<string, Holding>()
  let allIdle = 0
  const share = Math.ceil(maxConnections * TENANT_SHARE)

  const nameOf = (tenantId: string, integrationId: string) => `${tenantId}/${integrationId}`

  /** Puts a connection among the idle ones of its tenant, as the last that became so, or takes it out. */
  function sort(connection: Connection): void {
    const idle = holdings.get(connection.tenantId)?.idle
    if (!idle) return
    if (idle.delete(connection)) allIdle--
    if (!isIdle(connection) || !connections.has(connection)) return
    idle.add(connection)
    allIdle++
  }

  function end(connection: Connection): void {
    connection.deliberate = true
    connection.draining = true
    sort(connection)
    void connection.client?.end()
  }

  /** What comes when an operation has ended, or the login at the end of which nobody waits any more. */
  function settle(connection: Connection): void {
    connection.lastUsedMs = clock.monotonic()
    if (connection.draining && connection.leases === 0 && connection.client) end(connection)
    else sort(connection)
  }

  function remove(connection: Connection): void {
    if (!connections.delete(connection)) return
    const { tenantId, integrationId } = connection
    const name = nameOf(tenantId, integrationId)
    const own = byIntegration.get(name)
    own?.delete(connection)
    if (own?.size === 0) byIntegration.delete(name)
    const holding = holdings.get(tenantId)
    if (!holding) return
    if (holding.idle.delete(connection)) allIdle--
    holding.all--
    if (placed.delete(connection)) holding.places--
    if (holding.all === 0) holdings.delete(tenantId)
  }

  /** The tenant that holds most has it easiest to give one up; among equals whose connection is idle for longest. */
  function longestIdle(): Connection | undefined {
    let found: Connection | undefined
    let most = 0
    for (const holding of holdings.values()) {
      const first = firstOf(holding)
      if (!first || holding.places < most) continue
      if (found && holding.places === most && first.lastUsedMs >= found.lastUsedMs) continue
      found = first
      most = holding.places
    }
    return found
  }

  /** Reports whether a tenant has so many in use that what is left is for the others. */
  function isGreedy({ places, idle }: Holding): boolean {
    const free = maxConnections - (placed.size - allIdle)
    return places - idle.size >= TIMES_THE_FREE * free
  }

  /** Who must go so that a tenant gets a place; `undefined` when one is free. */
  function inTheWay(tenantId: string): Connection | undefined {
    const holding = holdings.get(tenantId)
    if (holding && isGreedy(holding)) throw busy()
    const overShare = (holding?.places ?? 0) >= share
    if (placed.size < maxConnections && !overShare) return undefined
    const found = overShare && holding ? firstOf(holding) : longestIdle()
    if (!found) throw busy()
    return found
  }

  const sweep = setInterval(
    () => {
      const untilMs = clock.monotonic() - idleMs
      for (const { idle } of holdings.values()) {
        for (const connection of idle) {
          if (connection.lastUsedMs > untilMs) break
          end(connection)
        }
      }
    },
    Math.max(250, idleMs / 4),
  )
  sweep.unref()

  return {
    [Symbol.iterator]: () => connections.values(),
    get size() {
      return connections.size
    },

    add(connection) {
      const { tenantId, integrationId } = connection
      const holding = holdings.get(tenantId) ?? { all: 0, places: 0, idle: new Set() }
      holding.all++
      holdings.set(tenantId, holding)
      connections.add(connection)
      const name = nameOf(tenantId, integrationId)
      const own = byIntegration.get(name)
      if (own) own.add(connection)
      else byIntegration.set(name, new Set([connection]))
    },
    delete: remove,
    of: ({ tenantId, id }) => byIntegration.get(nameOf(tenantId, id)) ?? [],

    assertRoom(tenantId) {
      const { all, places } = holdings.get(tenantId) ?? { all: 0, places: 0 }
      const waiting = connections.size - placed.size
      if (waiting >= WAITING || all - places >= Math.min(TENANT_WAITING, WAITING - waiting)) throw busy()
      inTheWay(tenantId)
    },

    makeRoom(connection) {
      const holding = holdings.get(connection.tenantId)
      if (!holding || !connections.has(connection)) throw busy() // it was given up
      const other = inTheWay(connection.tenantId)
      if (other) {
        remove(other)
        end(other)
      }
      placed.add(connection)
      holding.places++
      return other?.client?.ended
    },

    take(connection) {
      connection.leases++
      sort(connection)
    },

    release(connection) {
      connection.leases--
      settle(connection)
    },

    opened: settle,

    drain(connection) {
      if (connection.draining) return
      const idle = isIdle(connection)
      connection.draining = true
      sort(connection)
      if (idle) {
        end(connection)
        return
      }
      const timer = setTimeout(() => {
        connection.deliberate = true
        connection.client?.destroy()
      }, DRAIN_MS)
      timer.unref()
    },

    stop: () => clearInterval(sweep),
  }
}
