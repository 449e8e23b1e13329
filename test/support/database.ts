import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { Secret } from '#src/core/secret.ts'
import type { Db } from '#src/db/db.ts'
import { startEmbedded } from '#src/db/embedded.ts'
import { migrate } from '#src/db/migrate.ts'
import { type ConnectionOptions, createDb } from '#src/db/pool.ts'

export interface TestDatabase {
  db: Db & { ping(): Promise<void> }
  connection: ConnectionOptions
  /** The same as a `postgres://` URL, for what takes no other form. */
  url: string
  drop(): Promise<void>
}

const ends: (() => Promise<void>)[] = []
let over = false
after(async () => {
  over = true
  for (const end of ends.reverse()) await end()
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

let server: Promise<{ connection: ConnectionOptions; admin: Db; template: string }> | undefined
let made = 0

/** Starts, or finds, the server of this test process and makes a migrated database to copy from. */
async function prepare() {
  const connection = await findServer()
  const admin = createDb({ ...connection, max: 1 })
  const template = `sealwire_test_${process.pid}_${Date.now().toString(36)}`
  await admin.query(`create database ${template}`)
  await migrate(inDatabase(connection, template))
  ends.push(async () => {
    await admin.query(`drop database if exists ${template} with (force)`)
    await admin.close()
  })
  return { connection, admin, template }
}

/**
 * Makes a fresh, migrated database on the server that `SEALWIRE_TEST_DATABASE_URL` names, else on an own one, which lives
 * as long as the test process. Call it in a test or a hook.
 */
export async function testDatabase(): Promise<TestDatabase> {
  server ??= prepare()
  const { connection, admin, template } = await server
  const name = `${template}_${++made}`
  await admin.query(`create database ${name} template ${template}`)
  const own = inDatabase(connection, name)
  const db = createDb(own)
  return {
    db,
    connection: own,
    url: urlOf(own),
    async drop() {
      await db.close()
      if (over) return // this file's hooks may run after the server has gone, and its databases with it
      await admin.query(`drop database if exists ${name} with (force)`)
    },
  }
}
