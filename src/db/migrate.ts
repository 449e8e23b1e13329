import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import { databaseError } from './database-error.ts'
import { type ConnectionOptions, clientConfig } from './pool.ts'

const FILE = /^(\d{4})_[a-z0-9_]+\.sql$/
const OURS = new URL('./migrations/', import.meta.url)

interface Migration {
  version: number
  name: string
  sql: string
  /** SHA-256 of the file, hexadecimal. */
  checksum: string
}

async function readMigrations(directory: URL): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => FILE.test(name)).sort()
  if (names.length === 0) throw new Error(`No migrations in ${directory.pathname}.`)
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(new URL(name, directory), 'utf8')
      const checksum = createHash('sha256').update(sql).digest('hex')
      return { version: Number(FILE.exec(name)?.[1]), name, sql, checksum }
    }),
  )
}

/** What is still to run. Throws when the database went a way that these files do not describe. */
function pending(migrations: readonly Migration[], applied: ReadonlyMap<number, string>): Migration[] {
  for (const [version] of applied) {
    if (migrations.some((migration) => migration.version === version)) continue
    throw new Error(`The database has migration ${version}, which this release does not know: run a newer release.`)
  }
  const newest = Math.max(0, ...applied.keys())
  return migrations.filter(({ version, name, checksum }) => {
    const before = applied.get(version)
    if (before === undefined && version < newest) throw new Error(`Migration ${name} comes too late: ${newest} ran.`)
    if (before !== undefined && before !== checksum) throw new Error(`Migration ${name} was changed after it ran.`)
    return before === undefined
  })
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  const { version, name, sql, checksum } = migration
  await client.query('begin')
  try {
    await client.query(sql)
    await client.query('insert into schema_migrations (version, name, checksum) values ($1, $2, $3)', [
      version,
      name,
      checksum,
    ])
    await client.query('commit')
  } catch (err) {
    await client.query('rollback')
    throw new Error(`Migration ${name} failed: ${err instanceof Error ? err.message : String(err)}`, { cause: err })
  }
}

/**
 * Brings the schema up to date and returns how many files ran. Each `NNNN_name.sql` runs once, in order, in a transaction
 * of its own; processes that start together wait for one another at an advisory lock.
 *
 * @throws {Error} for a file that failed, was changed after it ran, or is missing
 * @throws {AppError} `database.unavailable` when it cannot be reached
 */
export async function migrate(options: ConnectionOptions, directory: URL = OURS): Promise<number> {
  const migrations = await readMigrations(directory)
  const client = new pg.Client(clientConfig(options))
  client.on('error', () => undefined) // the query that runs, or the next one, fails with it
  await client.connect().catch((err: unknown) => {
    throw databaseError(err)
  })
  try {
    await client.query(`select pg_advisory_lock(hashtextextended('sealwire/migrate', 0))`)
    await client.query(
      `create table if not exists schema_migrations (
         version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now()
       )`,
    )
    const { rows } = await client.query<{ version: number; checksum: string }>(
      'select version, checksum from schema_migrations',
    )
    const due = pending(migrations, new Map(rows.map((row) => [row.version, row.checksum])))
    for (const migration of due) await apply(client, migration)
    return due.length
  } finally {
    await client.end() // ending the session also gives up the lock
  }
}
