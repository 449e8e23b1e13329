import pg from 'pg'
import type { Secret } from '../core/secret.ts'
import { databaseError, isConnectionLost } from './database-error.ts'
import type { Db, Queryable, QueryOptions, Result } from './db.ts'

/** Where PostgreSQL is: a `postgres://` URL (TLS as its `sslmode` says), or the members that `startEmbedded` returns. */
export interface ConnectionOptions {
  connectionString?: Secret<string> | undefined
  host?: string | undefined
  port?: number | undefined
  user?: string | undefined
  database?: string | undefined
  /** Milliseconds until a connection must stand; 2,000 unless told. */
  connectTimeoutMs?: number | undefined
}

export interface PoolOptions extends ConnectionOptions {
  /** Connections at most; 10 unless told. */
  max?: number | undefined
  /** Connections that stay open while nothing asks; none unless told. */
  min?: number | undefined
  /** Statements and transactions that may wait for a connection; 1,000 unless told. */
  maxWaiting?: number | undefined
}

const STATEMENT_TIMEOUT_MS = 2_000
/** Longer than the server's, so that it fires only when the server or the network says nothing at all. */
const ANSWER_TIMEOUT_MS = 3_000
const CONNECT_TIMEOUT_MS = 2_000
const IDLE_IN_TRANSACTION_MS = 10_000
/** Many times what a burst needs: a connection serves hundreds a second. A database that stands still has no more than these. */
const MAX_WAITING = 1_000

/** Translates our options into those of `pg`; the only place that reveals the URL. */
export function clientConfig(options: ConnectionOptions): pg.ClientConfig {
  const { connectionString, host, port, user, database, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options
  return {
    application_name: 'sealwire',
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    ...(connectionString && { connectionString: connectionString.reveal() }),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(user !== undefined && { user }),
    ...(database !== undefined && { database }),
  }
}

interface Session {
  ask<Row extends object>(
    text: string,
    values?: readonly unknown[],
    options?: QueryOptions,
  ): Promise<Result<Row> & { command: string }>
  /** Whether the connection must not go back to the pool. */
  lost: boolean
}

function sessionOn(client: pg.PoolClient): Session {
  const session: Session = {
    lost: false,
    async ask<Row extends object>(text: string, values?: readonly unknown[], options: QueryOptions = {}) {
      const { prepareAs: name, timeoutMs } = options
      const query = {
        text,
        ...(values && { values: [...values] }),
        ...(name !== undefined && { name }),
        ...(timeoutMs !== undefined && { query_timeout: timeoutMs + ANSWER_TIMEOUT_MS - STATEMENT_TIMEOUT_MS }),
      }
      try {
        if (timeoutMs !== undefined) await client.query(`set statement_timeout = ${Math.round(timeoutMs)}`)
        return (await client.query<Row>(query)) as Result<Row> & { command: string }
      } catch (err) {
        // A statement that was prepared before its types were made anew fails for ever on this connection.
        session.lost ||= isConnectionLost(err) || name !== undefined
        throw databaseError(err)
      } finally {
        if (timeoutMs !== undefined) session.lost = true // with the time-out of the session
      }
    },
  }
  return session
}

/**
 * Opens a pool of connections. Nothing is dialled before the first query; a server that comes back is used again without
 * a restart. See {@link Db} for what fails how.
 */
export function createDb(options: PoolOptions): Db & { ping(): Promise<void> } {
  const { maxWaiting = MAX_WAITING } = options
  const pool = new pg.Pool({
    ...clientConfig(options),
    max: options.max ?? 10,
    min: options.min ?? 0,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
  })
  // Without these two a stopping server (57P01) ends the process. Whoever uses the connection next learns of it.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))

  async function withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (pool.waitingCount >= maxWaiting) throw databaseError(new Error(`${maxWaiting} wait for a connection already`))
    const client = await pool.connect().catch((err: unknown) => {
      throw databaseError(err)
    })
    const session = sessionOn(client)
    try {
      return await work(session)
    } finally {
      client.release(session.lost)
    }
  }

  const query: Queryable['query'] = (text, values, options) =>
    withSession((session) => session.ask(text, values, options))

  function transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return withSession(async (session) => {
      let open = true
      const tx: Queryable = {
        query(text, values, options) {
          if (!open) throw new Error('The transaction has ended.')
          return session.ask(text, values, options)
        },
      }
      try {
        await session.ask('begin')
        const value = await work(tx)
        open = false
        const { command } = await session.ask('commit')
        // PostgreSQL answers ROLLBACK when `work` swallowed the error of a statement.
        if (command !== 'COMMIT') throw new Error('Rolled back: the error of a statement was ignored.')
        return value
      } catch (err) {
        open = false
        if (!session.lost) await session.ask('rollback').catch(() => (session.lost = true)) // closing it rolls back too
        throw err
      }
    })
  }

  return {
    query,
    transaction,
    async ping() {
      await query('select 1')
    },
    close: () => pool.end(),
  }
}
