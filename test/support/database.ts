import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import pg from 'pg'
import { Secret } from '#src/core/secret.ts'
import type { Db } from '#src/db/db.ts'
import { startEmbedded } from '#src/db/embedded.ts'
import { migrate } from '#src/db/migrate.ts'
import { type ConnectionOptions, clientConfig, createDb } from '#src/db/pool.ts'

export interface TestDatabase {
  db: Db & { ping(): Promise<void> }
  connection: ConnectionOptions
  /** The same as a `postgres://` URL, for what takes no other form. */
  url: string
  drop(): Promise<void>
}

/**
 * A pool for the statements of a test. Its database goes away under it, in faults and at the end of a file, where the pool's
 * `end` does not wait until the server has read the goodbye: without a listener, what that says would fail the test.
 */
export function openSql(connectionString: string, max = 2): pg.Pool {
  const pool = new pg.Pool({ connectionString, max })
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

const ends: (() => Promise<void>)[] = []
let inUse = 0
let over = false

/** Ends the server after the last database: a test file's own hooks run after this file's, and still need it. */
async function endWhenUnused(): Promise<void> {
  if (!over || inUse > 0) return
  for (const end of ends.splice(0).reverse()) await end()
}
after(async () => {
  over = true
  await endWhenUnused()
})

/** Connection to the same server, but to another database. */
export function inDatabase(connection: ConnectionOptions, database: string): ConnectionOptions {
  if (!connection.connectionString) return { ...connection, database }
  const url = new URL(connection.connectionString.reveal())
  url.pathname = `/${database}`
  return { connectionString: new Secret(url.href) }
}

function urlOf({ connectionString, host = '', port, user = '', database = '' }: ConnectionOptions): string {
  if (connectionString) return connectionString.reveal()
  return `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`
}

async function findServer(): Promise<ConnectionOptions> {
  const given = process.env['SEALWIRE_TEST_DATABASE_URL']
  if (given) return { connectionString: new Secret(given) }
  const dataDir = mkdtempSync(path.join(os.tmpdir(), 'sealwire-test-'))
  const own = await startEmbedded({ dataDir })
  ends.push(async () => {
    await own.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })
  return own.connection
}

let turn: Promise<unknown> = Promise.resolve()

/** Databases are made and dropped one after the other, also where tests of a file run side by side. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work)
  turn = mine.catch(() => undefined) // whoever asked for it hears of it
  return mine
}

let server: ReturnType<typeof prepare> | undefined
let made = 0

/** Starts, or finds, the server of this test process and makes a migrated database to copy from. */
async function prepare() {
  const connection = await findServer()
  const admin = new pg.Client(clientConfig(connection)) // unlike a pool, with all the time that it needs
  await admin.connect()
  const template = `sealwire_test_${process.pid}_${Date.now().toString(36)}`
  await admin.query(`create database ${template}`)
  await migrate(inDatabase(connection, template))
  ends.push(async () => {
    await admin.query(`drop database if exists ${template} with (force)`)
    await admin.end()
  })
  return { connection, admin, template }
}

/**
 * Makes a fresh, migrated database on the server that `SEALWIRE_TEST_DATABASE_URL` names, else on an own one, which lives
 * as long as the test process. Call it in a test or a hook.
 */
export async function testDatabase(): Promise<TestDatabase> {
  server ??= prepare()
  inUse++
  const { connection, admin, template } = await server
  const name = `${template}_${++made}`
  await inTurn(() => admin.query(`create database ${name} template ${template}`))
  const own = inDatabase(connection, name)
  const db = createDb(own)
  return {
    db,
    connection: own,
    url: urlOf(own),
    async drop() {
      await db.close()
      await inTurn(() => admin.query(`drop database if exists ${name} with (force)`))
      inUse--
      await endWhenUnused()
    },
  }
}
