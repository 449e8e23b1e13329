import { execFile } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { ownDirectory } from './data-owner.ts'
import { findBinaries, installBinaries } from './embedded-binaries.ts'
import { stopOrphans } from './embedded-orphans.ts'
import { decidePlace, handOver, type Place } from './embedded-place.ts'
import { supervise } from './embedded-supervisor.ts'

const run = promisify(execFile)

export interface EmbeddedOptions {
  /** Made with mode 0700 when it is not there. */
  dataDir: string
  /** Receives warnings and worse from the log of PostgreSQL, a line at a time; never a statement or a value of a row. */
  log?: ((line: string) => void) | undefined
  /** Where and as whom; decided from the machine unless given. */
  place?: Place | undefined
  /** Sessions at the same time, 60 unless given: two servers and commands of their operator. */
  maxConnections?: number | undefined
}

export interface Embedded {
  connection: { host: string; port: number; user: string; database: string }
  /** Ends it orderly, at most 15 s, and gives up the folder. */
  stop(): Promise<void>
}

/** Only the socket in a folder of mode 0700 leads to it, so it asks for no password. */
const USER = 'sealwire'

/** No PATH is needed: every command is absolute, but for `unshare`. The C locale and UTC make it the same everywhere. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', PGTZ: 'UTC' }

/** sockaddr_un holds 107 bytes on Linux and 103 on macOS, of which `/.s.PGSQL.5432.lock` takes 20. */
const SOCKET_FOLDER_MAX = 80

function socketFolder(place: Place): string {
  const own = os.tmpdir()
  // PostgreSQL takes the folder as a list, so nothing that it would split or unquote.
  const fits = place.account === undefined && /^[\w./-]+$/.test(own) && own.length < SOCKET_FOLDER_MAX - 16
  const folder = mkdtempSync(path.join(fits ? own : '/tmp', 'sealwire-'))
  if (place.account) chownSync(folder, place.account.uid, place.account.gid)
  return folder
}

/** Makes the data folder whole or not at all. */
async function initialise(place: Place, bin: string, data: string): Promise<void> {
  const parent = path.dirname(data)
  // An initdb whose owner was killed may still write to its own draft, so that is not ours.
  const draft = `${data}.draft-${process.pid}`
  for (const name of readdirSync(parent).filter((each) => each.startsWith(`${path.basename(data)}.draft-`))) {
    rmSync(path.join(parent, name), { recursive: true, force: true })
  }
  mkdirSync(draft, { mode: 0o700 })
  handOver(place, draft)
  const options = ['-D', draft, '-U', USER, '--auth=trust', '--encoding=UTF8', '--locale=C', '--data-checksums']
  const command = [...place.prefix, path.join(bin, 'initdb'), '--no-instructions', ...options]
  await run('/usr/bin/env', command, { cwd: '/', env: ENVIRONMENT, ...place.account }).catch(
    (err: Error & { stderr?: string }) => {
      throw new Error(`PostgreSQL could not make its data folder ${data}: ${err.stderr ?? err.message}`, { cause: err })
    },
  )
  renameSync(draft, data)
}

function assertSameMajor(data: string, major: string): void {
  const found = readFileSync(path.join(data, 'PG_VERSION'), 'utf8').trim()
  if (found === major) return
  throw new Error(
    `${data} was made by PostgreSQL ${found}; this release brings ${major}. Run the release that made it and write the ` +
      `database out (pg_dump -U ${USER} -h FOLDER postgres, where FOLDER is line 5 of postmaster.pid), for a PostgreSQL ` +
      'that DATABASE_URL names; or move DATA_DIR away and begin with an empty one.',
  )
}

/**
 * Starts a PostgreSQL of our own in `dataDir` and returns once it answers. It listens on a Unix socket only, keeps
 * `fsync` and `synchronous_commit` on, is started again when it dies, and ends with this process, however that ends.
 *
 * @throws {Error} when another process owns the folder (it is named), or another major version made the data
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const dataDir = path.resolve(options.dataDir)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const owner = ownDirectory(dataDir)
  try {
    const place = options.place ?? decidePlace(dataDir)
    const data = path.join(place.folder, 'postgres')
    const binaries = findBinaries()
    const bin = installBinaries(binaries, place.folder)
    handOver(place, path.join(place.folder, 'native'))
    if (existsSync(data)) {
      assertSameMajor(data, binaries.major)
      const left = await stopOrphans(data)
      if (left?.includes('/sealwire-')) rmSync(left, { recursive: true, force: true })
    } else await initialise(place, bin, data)
    const host = socketFolder(place)
    const connection = { host, port: 5432, user: USER, database: 'postgres' }
    const postgres = path.join(bin, 'postgres')
    const { log, maxConnections = 60 } = options
    const server = await supervise({ place, postgres, data, connection, env: ENVIRONMENT, log, maxConnections })
    let stopped: Promise<void> | undefined
    return { connection, stop: () => (stopped ??= server.stop().finally(() => owner.release())) }
  } catch (err) {
    owner.release()
    throw err
  }
}
