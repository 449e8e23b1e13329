import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { hashPassword } from '#src/identity/users-file/password-hash.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { closedPort } from './black-hole.ts'
import { testDatabase } from './database.ts'
import { prepareHooks } from './hook-preparation.ts'
import { startServerProcess } from './server-process.ts'

/** A user of the users file, with the password as it is typed. */
export interface HookUser {
  readonly username: string
  readonly password: string
  readonly enabled?: boolean
  readonly groups?: readonly string[]
  readonly scopes?: readonly string[]
}

/** A server process with hooks of the dialect `go-auth`, as an operator runs it beside a broker. */
export interface HookedDeployment {
  readonly port: number
  /** Of every hook: it stands in the path, because go-auth sends no header. */
  readonly secret: string
  /** Options of go-auth's backend that lead to a hook. */
  goAuth(backend: 'http' | 'jwt', hook?: string): Readonly<Record<string, string>>
  readonly owner: Sealwire
  readonly policyId: string
  /** Writes the users file anew, in one step as editors and `sealwire users` do. */
  writeUsers(users: readonly HookUser[]): Promise<void>
  /** Stores a new revision of the hook's policy, which decides at once. */
  activate(document: PolicyDocument): Promise<void>
  /** Ends the process by this signal and starts another one on the same port, database and files. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Ends the process, does something, and starts it again. */
  whileAway(work: () => Promise<void>): Promise<void>
  /** Of the server process, such as SIGSTOP. */
  signal(name: NodeJS.Signals): void
  /** Calls the REST API as the owner; answers `data`. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  call(method: string, target: string, body?: unknown): Promise<any>
  /** Sum of the samples of a metric whose labels contain `labels`. */
  metric(name: string, labels?: string): Promise<number>
  /** Rows of the audit log with this action, newest first; at most 100. */
  // biome-ignore lint/suspicious/noExplicitAny: every action has another detail
  audit(action: string): Promise<readonly { outcome: string; detail: any }[]>
  close(): Promise<void>
}

/** What the server is started with, unless a test makes something else of it. */
export interface HookConfig {
  readonly version: 1
  readonly providers: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly hooks: readonly [Readonly<Record<string, unknown>>]
}

export interface HookedOptions {
  readonly document: PolicyDocument
  readonly users: readonly HookUser[]
  /** Puts further files into the data folder before the server starts. */
  readonly prepare?: (dataDir: string) => Promise<void>
  /** Makes another configuration of the one with that hook. */
  readonly configure?: (config: HookConfig) => unknown
  readonly env?: Readonly<Record<string, string>>
}

export async function serveHooks({
  document,
  users,
  prepare = async () => {},
  configure = (config) => config,
  env = {},
}: HookedOptions): Promise<HookedDeployment> {
  await using stack = new AsyncDisposableStack()
  const dataDir = stack.adopt(await mkdtemp(path.join(tmpdir(), 'sealwire-hooked-')), (folder) =>
    rm(folder, { recursive: true, force: true }),
  )
  const database = stack.adopt(await testDatabase(), ({ drop }) => drop())
  const place = { DATABASE_URL: database.url, DATA_DIR: dataDir, STOP_NOTICE_MS: '0' }
  const { tenantId, policyId, ownerKey } = await prepareHooks(place, document)
  const [usersFile, secretFile, configFile] = ['users.json', 'hook-secret', 'hooks.json'].map((name) =>
    path.join(dataDir, name),
  ) as [string, string, string]
  const secret = randomBytes(16).toString('hex')
  const port = await closedPort()

  const hashes = new Map<string, Promise<string>>()
  async function writeUsers(list: readonly HookUser[]): Promise<void> {
    const records = list.map(async ({ password, ...user }) => {
      const hash = hashes.get(password) ?? hashPassword(new TextEncoder().encode(password))
      hashes.set(password, hash)
      return { enabled: true, ...user, password_hash: await hash }
    })
    await writeFile(`${usersFile}.new`, JSON.stringify({ users: await Promise.all(records) }), { mode: 0o600 })
    await rename(`${usersFile}.new`, usersFile)
  }

  await writeUsers(users)
  await writeFile(secretFile, `${secret}\n`, { mode: 0o600 })
  const section = {
    name: 'default',
    dialect: 'go-auth',
    secret: { file: secretFile },
    tenant: tenantId,
    policy: policyId,
    providers: ['devices'],
    deadline_ms: 2_000, // a busy machine takes its time to hash a password
  }
  await prepare(dataDir)
  const config = configure({
    version: 1,
    providers: { devices: { type: 'file', path: usersFile } },
    hooks: [section],
  })
  await writeFile(configFile, JSON.stringify(config), { mode: 0o600 })
  const start = async () =>
    (await startServerProcess({ ...place, PORT: String(port), BROKER_AUTH_CONFIG: configFile, ...env })).child
  let child: ChildProcess = await start()
  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.ref()
    child.kill('SIGCONT')
    child.kill(signal)
    await exited
  }
  stack.defer(() => end('SIGKILL'))

  const url = `http://127.0.0.1:${port}`
  const call: HookedDeployment['call'] = async (method, target, body) => {
    const res = await fetch(url + target, {
      method,
      headers: { 'x-api-key': ownerKey, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await res.text()
    if (!res.ok) throw new Error(`${method} ${target}: ${res.status} ${text}`)
    return (JSON.parse(text) as { data: unknown }).data
  }
  const owner = new Sealwire({ baseUrl: url, apiKey: ownerKey })
  const running = stack.move()
  return {
    port,
    secret,
    goAuth(backend, hook = 'default') {
      const place = hook === 'default' ? `/mqtt/${secret}` : `/mqtt/hooks/${hook}/${secret}`
      const paths = { getuser_uri: `${place}/user`, aclcheck_uri: `${place}/acl`, superuser_uri: `${place}/superuser` }
      const own = Object.entries({ host: '127.0.0.1', port: String(port), ...paths })
      return { backends: backend, ...Object.fromEntries(own.map(([name, value]) => [`${backend}_${name}`, value])) }
    },
    owner,
    policyId,
    writeUsers,
    async activate(revised) {
      await owner.policies.update(await owner.policies.get(policyId), { document: { ...revised } })
    },
    async restart(signal) {
      await end(signal)
      child = await start()
    },
    async whileAway(work) {
      await end('SIGTERM')
      await work()
      child = await start()
    },
    signal: (name) => child.kill(name),
    call,
    audit: (action) => call('GET', `/api/v2/audit/logs?limit=100&action=${action}`),
    async metric(name, labels = '') {
      const text = await (await fetch(`${url}/metrics`)).text()
      return text
        .split('\n')
        .filter((line) => (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(labels))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
    },
    close: () => running.disposeAsync(),
  }
}
