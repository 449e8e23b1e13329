import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { databaseError } from './database-error.ts'
import type { Queryable } from './db.ts'
import { type ConnectionOptions, clientConfig } from './pool.ts'

/** What may be cached in a process and changed by another one. */
export type ChangeTopic =
  | 'api_key'
  | 'blocked_client'
  | 'broker_session'
  | 'deployment_key'
  | 'integration'
  | 'integration_lock'
  | 'kms'
  | 'policy'
  | 'recipient'
  | 'tenant_key'
  | 'vault'

/** Told which key changed, or `undefined`: anything may have changed, forget everything. */
export type ChangeHandler = (key: string | undefined) => void

/** Tells every process, this one included, what has changed. */
export interface ChangeFeed {
  /** Sends with the commit of `tx`, or never. `key` at most 7,000 bytes. */
  announce(tx: Queryable, topic: ChangeTopic, key: string): Promise<void>
  on(topic: ChangeTopic, handler: ChangeHandler): void
  /** False from the loss of the connection until it listens again: nothing may be cached meanwhile. */
  readonly live: boolean
  close(): Promise<void>
}

const CHANNEL = 'sealwire_changes'
const RECONNECT_MS = { first: 100, most: 2_000 }
/** A connection that breaks without a word is noticed after this and the time-out of the question together. */
const HEARTBEAT_MS = 400
const HEARTBEAT_TIMEOUT_MS = 500

/**
 * Listens on a connection of its own, and opens another when that breaks. Handlers get `undefined` when it breaks and
 * again when it listens.
 *
 * @throws {AppError} `database.unavailable` when the first connection fails
 */
export async function createChangeFeed(options: ConnectionOptions): Promise<ChangeFeed> {
  const handlers = new Map<string, ChangeHandler[]>()
  const closing = new AbortController()
  let client: pg.Client | undefined
  let heartbeat: NodeJS.Timeout | undefined
  let reconnecting: Promise<void> | undefined

  function forgetEverything(): void {
    for (const handler of [...handlers.values()].flat()) handler(undefined)
  }

  function receive(payload = ''): void {
    const colon = payload.indexOf(':')
    for (const handler of handlers.get(payload.slice(0, colon)) ?? []) handler(payload.slice(colon + 1))
  }

  function lose(broken: pg.Client): void {
    if (client !== broken) return
    client = undefined
    clearInterval(heartbeat)
    forgetEverything()
    void broken.end().catch(() => undefined) // it is broken already
    if (!closing.signal.aborted) reconnecting = reconnect()
  }

  async function connect(): Promise<void> {
    const next = new pg.Client({ ...clientConfig(options), query_timeout: HEARTBEAT_TIMEOUT_MS })
    next.on('error', () => lose(next))
    next.on('end', () => lose(next))
    next.on('notification', ({ payload }) => receive(payload))
    try {
      await next.connect()
      await next.query(`listen ${CHANNEL}`)
    } catch (err) {
      await next.end().catch(() => undefined) // never connected
      throw databaseError(err)
    }
    client = next
    heartbeat = setInterval(() => next.query('select 1').catch(() => lose(next)), HEARTBEAT_MS)
    heartbeat.unref()
    forgetEverything()
  }

  async function reconnect(): Promise<void> {
    for (let waitMs = RECONNECT_MS.first; !closing.signal.aborted; waitMs = Math.min(waitMs * 2, RECONNECT_MS.most)) {
      try {
        await delay(waitMs, undefined, { signal: closing.signal, ref: false })
        await connect()
        return
      } catch {
        // Still away, or closing: `live` says so to everybody who asks.
      }
    }
  }

  await connect()
  return {
    async announce(tx, topic, key) {
      await tx.query('select pg_notify($1, $2)', [CHANNEL, `${topic}:${key}`])
    },
    on(topic, handler) {
      handlers.set(topic, [...(handlers.get(topic) ?? []), handler])
    },
    get live() {
      return client !== undefined
    },
    async close() {
      closing.abort()
      await reconnecting
      const last = client
      client = undefined
      clearInterval(heartbeat)
      await last?.end()
    },
  }
}
