import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { postmasterOf, signal, stopOrphans } from './embedded-orphans.ts'
import type { Place } from './embedded-place.ts'

export interface SuperviseOptions {
  place: Place
  /** Absolute. */
  postgres: string
  /** Data folder, absolute. */
  data: string
  connection: { host: string; port: number; user: string; database: string }
  env: Readonly<Record<string, string>>
  log: ((line: string) => void) | undefined
  maxConnections: number
}

export interface Supervised {
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 10_000
const RESTART_MS = 200
/** A server that lived this long counts as one that started. */
const STEADY_MS = 60_000
const RESTARTS_MAX = 5

/**
 * Keeps PostgreSQL a child that no signal of a terminal reaches, reads from descriptor 3, and gets nothing there until the
 * owner is gone or wants it to stop: then the read ends and PostgreSQL is told to end its sessions. `$1` is the socket
 * folder, which nobody else would remove after a `kill -9` of the owner; it stays (137: the watcher was killed, still
 * waiting) when only PostgreSQL ended, because its successor needs it.
 */
const WATCHDOG = `
folder=$1; shift
"$@" </dev/null 3<&- & server=$!
trap "" INT TERM HUP
{ read -r _; kill -INT $server 2>/dev/null; } <&3 & watcher=$!
wait $server; status=$?
kill -KILL $watcher 2>/dev/null; wait $watcher
[ $? -eq 137 ] || rmdir "$folder" 2>/dev/null
exit $status
`

function settings(host: string, maxConnections: number): string[] {
  const values = {
    listen_addresses: '',
    unix_socket_directories: host,
    unix_socket_permissions: '0700',
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    max_connections: String(maxConnections),
    shared_buffers: '64MB',
    jit: 'off',
    wal_init_zero: 'off', // filling a new segment of 16 MiB with zeros held every commit up for 50 ms
    timezone: 'UTC',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_line_prefix: '',
    log_min_messages: 'warning',
    log_checkpoints: 'off',
    // No statement and no DETAIL line, which quotes values of rows.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
  }
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

function launch({ place, postgres, data, connection, env, maxConnections }: SuperviseOptions): ChildProcess {
  const command = [...place.prefix, postgres, '-D', data, ...settings(connection.host, maxConnections)]
  return spawn('/bin/sh', ['-c', WATCHDOG, 'sealwire-postgres', connection.host, ...command], {
    ...place.account,
    cwd: '/',
    env,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** Resolves when a session answers: `postmaster.pid` of a killed server also says "ready". */
async function answers(connection: SuperviseOptions['connection'], child: ChildProcess, said: () => string) {
  for (const end = Date.now() + START_TIMEOUT_MS; ; await delay(10)) {
    if (hasEnded(child)) throw new Error(`PostgreSQL did not start: ${said()}`)
    const client = new pg.Client({ ...connection, connectionTimeoutMillis: 2_000 })
    client.on('error', () => undefined) // the query fails with it
    try {
      await client.connect()
      await client.query('select 1')
      return
    } catch (err) {
      if (Date.now() > end) throw new Error(`PostgreSQL does not answer: ${said()}`, { cause: err })
    } finally {
      await client.end().catch(() => undefined) // never connected
    }
  }
}

/** Starts PostgreSQL and starts it again when it dies; gives up, with a line in the log, after five times without a steady minute. */
export async function supervise(options: SuperviseOptions): Promise<Supervised> {
  let child: ChildProcess
  let stopping = false
  let restarts = 0
  let restarting: Promise<void> | undefined
  let recent: string[] = []

  async function start(): Promise<void> {
    recent = []
    child = launch(options)
    const exited = child
    const startedAt = Date.now()
    let running = false
    createInterface({ input: exited.stderr as NonNullable<ChildProcess['stderr']> }).on('line', (line) => {
      recent = [...recent.slice(-19), line]
      if (running && !stopping && !line.startsWith('LOG:')) options.log?.(line)
    })
    const pipe = exited.stdio[3] as Writable
    pipe.on('error', () => undefined) // it closes with the child, whose exit we see
    await answers(options.connection, exited, () => recent.join('\n'))
    if (hasEnded(exited)) throw new Error(`PostgreSQL ended: ${recent.join('\n')}`)
    running = true
    exited.unref()
    for (const stream of [exited.stderr, pipe]) (stream as unknown as { unref(): void }).unref()
    exited.once('exit', (code, signalName) => {
      if (stopping) return
      options.log?.(`PostgreSQL ended (${signalName ?? code}); starting it again`)
      if (Date.now() - startedAt > STEADY_MS) restarts = 0
      restarting = restart()
    })
  }

  async function restart(): Promise<void> {
    while (!stopping && restarts++ < RESTARTS_MAX) {
      await delay(RESTART_MS, undefined, { ref: false })
      try {
        await stopOrphans(options.data)
        if (!stopping) await start()
        return
      } catch (err) {
        options.log?.(err instanceof Error ? err.message : String(err))
      }
    }
    if (!stopping) options.log?.('PostgreSQL keeps ending; it is not started again')
  }

  async function stop(): Promise<void> {
    stopping = true
    await restarting
    if (!hasEnded(child)) {
      child.ref()
      const exit = once(child, 'exit')
      const late = setTimeout(() => {
        const postmaster = postmasterOf(options.data)
        if (postmaster !== undefined) signal(postmaster, 'SIGQUIT')
      }, STOP_TIMEOUT_MS)
      ;(child.stdio[3] as Writable).end()
      await exit
      clearTimeout(late)
    }
    rmSync(options.connection.host, { recursive: true, force: true })
  }

  await start().catch(async (err: unknown) => {
    await stop()
    throw err
  })
  return { stop }
}
