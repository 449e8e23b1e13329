import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { decidePlace, handOver } from '#src/db/embedded-place.ts'
import { runCommand } from './run-command.ts'

export interface GivenPostgres {
  /** `postgres://…@127.0.0.1:PORT/postgres`, as an operator would put it into `DATABASE_URL`. */
  url: string
  stop(): Promise<void>
}

/** Keeps postgres a child, and ends it when our end of the pipe closes, however this process ends. */
const watchdog = '"$@" </dev/null & P=$!; trap "" INT TERM; (cat >/dev/null; kill -INT $P 2>/dev/null) <&3 & wait $P'

/**
 * Starts the PostgreSQL of a folder of binaries on a free loopback port, with a password and its data in a folder of its
 * own. It stands for the server of an operator, so it shares nothing with our own supervisor.
 */
export async function startGivenPostgres(bin: string): Promise<GivenPostgres> {
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-postgres-'))
  const place = decidePlace(scratch)
  const { account, prefix, folder } = place
  const [data, passwordFile] = [path.join(folder, 'data'), path.join(folder, 'password')]
  const password = randomBytes(16).toString('hex')
  const port = await freePort()
  await fs.writeFile(passwordFile, password, { mode: 0o600 })
  handOver(place, folder)
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', LD_LIBRARY_PATH: await librariesOf(bin) }
  const options = { ...account, env, cwd: '/' }
  const initdb = ['-D', data, '-U', 'postgres', '-E', 'UTF8', '--locale=C', '--no-sync', '--auth=scram-sha-256']
  const [command, ...args] = [...prefix, `${bin}/initdb`, ...initdb, `--pwfile=${passwordFile}`]
  await runCommand(command, args, options)
  const settings = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    'unix_socket_directories=',
    'fsync=off',
    'max_connections=200',
  ]
  const server = [...prefix, `${bin}/postgres`, '-D', data, ...settings.flatMap((setting) => ['-c', setting])]
  const child = spawn('/bin/sh', ['-c', watchdog, 'pg', ...server], {
    ...options,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
  await ready(child)
  const stop = async () => {
    const ended = child.exitCode === null ? once(child, 'exit') : undefined
    child.stdio[3]?.destroy() // the watchdog's read ends
    await ended
    await Promise.all([scratch, folder].map((place) => fs.rm(place, { recursive: true, force: true })))
  }
  return { url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`, stop }
}

/** Libraries that were unpacked beside the binaries: `usr/lib/<triplet>` above `usr/lib/postgresql/NN/bin`. */
async function librariesOf(bin: string): Promise<string> {
  const lib = path.resolve(bin, '../../..')
  const names = lib.includes('.cache') ? await fs.readdir(lib) : []
  return names
    .filter((name) => name.includes('-linux-'))
    .map((name) => path.join(lib, name))
    .join(':')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await once(server.close(), 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = ''
    child.stderr?.on('data', (data: Buffer) => {
      log = (log + data.toString()).slice(-4000)
      if (log.includes('ready to accept connections')) resolve()
    })
    child.once('exit', () => reject(new Error(`PostgreSQL did not start:\n${log}`)))
  })
}
