import { type ChildProcess, spawn } from 'node:child_process'
import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { Certificates, Identity } from './certificates.ts'

const listenerKinds = ['tcp', 'tls', 'mtls', 'ws', 'wss'] as const
export type ListenerKind = (typeof listenerKinds)[number]

export interface MosquittoOptions {
  /** Default: `tcp` only; the TLS kinds need `certificates`. */
  readonly listeners?: readonly ListenerKind[]
  readonly certificates?: Certificates
  /** What the TLS listeners present; default `certificates.server`. */
  readonly serverIdentity?: Identity
  /** Passwords by name; absent: anybody may connect. On `mtls` the certificate's CN is the name. */
  readonly users?: Readonly<Record<string, string>>
  /** Default: whether there are no `users`. */
  readonly anonymous?: boolean
  /** Text of an ACL file; absent: everything is allowed. */
  readonly acl?: string
  /** Lines for every listener, such as `max_inflight_messages 1`. */
  readonly settings?: readonly string[]
}

export interface Mosquitto {
  readonly ports: Readonly<Record<ListenerKind, number>>
  /** Everything the broker wrote so far; `log_type all`. */
  log(): string
  /** Number of clients that were accepted. */
  connects(): number
  /** Resolves when the log holds `text`; rejects after a minute. */
  logged(text: string): Promise<void>
  signal(name: NodeJS.Signals): void
  /** Stops it and starts it again on the same ports, `awayMs` later; resolves when it listens. The log goes on. */
  restart(awayMs?: number): Promise<void>
  stop(): Promise<void>
}

const CACHE = join(import.meta.dirname, '../../.cache/mosquitto')
/** A line that does not come is a failure with a name, and not a test that hangs. */
const LOGGED_MS = 60_000

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false // absent, or not for us
  }
}

/** Finds the broker: `SEALWIRE_TEST_MOSQUITTO`, the PATH, the usual folders, the cache that the test launcher fills. */
export function findMosquitto(): string | undefined {
  const named = process.env['SEALWIRE_TEST_MOSQUITTO']
  if (named) return named
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/opt/homebrew/sbin',
  ]
  return [...folders, join(CACHE, 'usr/sbin')].map((folder) => join(folder, 'mosquitto')).find(isExecutable)
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

/** A line of Mosquitto's password file: PBKDF2-HMAC-SHA-512, marked `$7$`. */
function passwordLine(name: string, password: string): string {
  const salt = randomBytes(12)
  const hash = pbkdf2Sync(password, salt, 101, 64, 'sha512')
  return `${name}:$7$101$${salt.toString('base64')}$${hash.toString('base64')}\n`
}

function listenerLines(kind: ListenerKind, port: number, dir: string, options: MosquittoOptions): string[] {
  const { certificates, users, acl, settings = [], anonymous = users === undefined } = options
  const lines = [`listener ${port} 127.0.0.1`, `allow_anonymous ${anonymous && kind !== 'mtls'}`, ...settings]
  if (kind === 'ws' || kind === 'wss') lines.push('protocol websockets')
  if (users !== undefined && kind !== 'mtls') lines.push(`password_file ${join(dir, 'passwords')}`)
  if (acl !== undefined) lines.push(`acl_file ${join(dir, 'acl')}`)
  if (kind === 'tcp' || kind === 'ws') return lines
  if (certificates === undefined) throw new Error(`a ${kind} listener needs certificates`)
  const identity = options.serverIdentity ?? certificates.server
  lines.push(`certfile ${identity.certificateFile}`, `keyfile ${identity.keyFile}`)
  if (kind === 'mtls')
    lines.push(`cafile ${certificates.caFile}`, 'require_certificate true', 'use_identity_as_username true')
  return lines
}

async function writeConfig(
  dir: string,
  ports: ReadonlyMap<ListenerKind, number>,
  options: MosquittoOptions,
): Promise<void> {
  const passwords = Object.entries(options.users ?? {}).map(([name, password]) => passwordLine(name, password))
  const asRoot = process.getuid?.() === 0 // it would drop to a user who cannot read a private folder
  const lines = [
    ...(asRoot ? ['user root'] : []),
    'per_listener_settings true',
    'persistence false',
    'set_tcp_nodelay true', // otherwise a PUBACK may wait for a delayed ACK of the client
    'log_type all',
    'log_dest stderr',
    ...[...ports].flatMap(([kind, port]) => listenerLines(kind, port, dir, options)),
  ]
  await Promise.all([
    writeFile(join(dir, 'passwords'), passwords.join(''), { mode: 0o600 }),
    writeFile(join(dir, 'acl'), options.acl ?? '', { mode: 0o600 }),
    writeFile(join(dir, 'mosquitto.conf'), `${lines.join('\n')}\n`),
  ])
}

function launch(binary: string, dir: string): ChildProcess {
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
  const libraries = join(dirname(binary), '../lib', triplet)
  const env = binary.startsWith(CACHE) ? { ...process.env, LD_LIBRARY_PATH: libraries } : process.env
  return spawn(binary, ['-c', join(dir, 'mosquitto.conf')], { env, stdio: ['ignore', 'ignore', 'pipe'] })
}

/** Starts a Mosquitto on free loopback ports and resolves when it listens; call `stop()` afterwards. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const binary = findMosquitto()
  if (binary === undefined) throw new Error('Mosquitto was not found: install it, or set SEALWIRE_TEST_MOSQUITTO')
  const dir = await mkdtemp(join(tmpdir(), 'sealwire-mosquitto-'))
  const kinds = options.listeners ?? ['tcp']
  const free = await freePorts(kinds.length)
  const ports = new Map(kinds.map((kind, i) => [kind, free[i] as number]))
  await writeConfig(dir, ports, options)
  const lines: string[] = []
  const waiting = new Set<() => void>()
  const logged = (text: string, from = 0) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(check)
        reject(new Error(`Mosquitto did not log ${text} within a minute`))
      }, LOGGED_MS).unref()
      const check = () => {
        if (!lines.slice(from).some((line) => line.includes(text))) return
        waiting.delete(check)
        clearTimeout(timer)
        resolve()
      }
      waiting.add(check)
      check()
    })

  async function start(): Promise<{ child: ChildProcess; exited: Promise<unknown> }> {
    const from = lines.length
    const child = launch(binary as string, dir)
    const exited = once(child, 'exit')
    createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => {
      lines.push(line)
      for (const check of waiting) check()
    })
    const died = exited.then(() => {
      throw new Error(`Mosquitto did not start:\n${lines.join('\n')}`)
    })
    await Promise.race([logged(' running', from), died])
    died.catch(() => {}) // from here on an exit is the test's own doing
    return { child, exited }
  }

  async function end(): Promise<void> {
    broker.child.kill('SIGCONT')
    broker.child.kill('SIGTERM')
    await broker.exited
  }

  let broker = await start()
  return {
    ports: Object.fromEntries(listenerKinds.map((kind) => [kind, ports.get(kind) ?? 0])) as Record<
      ListenerKind,
      number
    >,
    log: () => lines.join('\n'),
    connects: () => lines.filter((line) => line.includes('New client connected')).length,
    logged: (text) => logged(text),
    signal: (name) => broker.child.kill(name),
    async restart(awayMs = 0) {
      await end()
      if (awayMs > 0) await delay(awayMs)
      broker = await start()
    },
    async stop() {
      await end()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
