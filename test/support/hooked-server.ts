import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startServer } from '#src/app.ts'
import { parseConfig } from '#src/config/config.ts'
import { type Log, silentLog } from '#src/core/log.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { testDatabase } from './database.ts'

/** A whole server with one go-auth hook, in this process: cheaper than `serveHooks`, for what needs no process of its own. */
export interface HookedServer {
  readonly owner: Sealwire
  /** Asks the hook as go-auth does, in JSON; returns the status. */
  ask(route: 'user' | 'acl' | 'superuser', body: object): Promise<number>
  close(): Promise<void>
}

export interface HookedServerOptions {
  readonly document: PolicyDocument
  /** Users as the file of the provider `devices` has them. */
  readonly users: readonly object[]
  readonly providers?: Readonly<Record<string, object>>
  /** Members of the hook beside those that every hook has. */
  readonly hook?: Readonly<Record<string, unknown>>
  readonly log?: Log
}

const SECRET = 'a-secret-of-the-broker'

export async function startHookedServer(options: HookedServerOptions): Promise<HookedServer> {
  const { document, users, providers = {}, hook = {}, log = silentLog } = options
  await using stack = new AsyncDisposableStack()
  const dataDir = stack.adopt(await mkdtemp(path.join(tmpdir(), 'sealwire-hooked-')), (folder) =>
    rm(folder, { recursive: true, force: true }),
  )
  const database = stack.adopt(await testDatabase(), ({ drop }) => drop())
  const env = { DATABASE_URL: database.url, DATA_DIR: dataDir, PORT: '0', OUTBOUND_ALLOW: '127.0.0.0/8' }

  // A configuration of hooks names a policy that is there before.
  const bare = await startServer(parseConfig(env), { log: silentLog })
  const apiKey = (await readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
  const policies = new Sealwire({ baseUrl: bare.url, apiKey }).policies
  const { id: policy } = await policies.create({ document: { ...document } }).finally(() => bare.close())
  const { rows } = await database.db.query<{ id: string }>('select id from tenants')

  const [usersFile, configFile] = [path.join(dataDir, 'users.json'), path.join(dataDir, 'hooks.json')]
  await writeFile(usersFile, JSON.stringify({ users }), { mode: 0o600 })
  const section = {
    name: 'default',
    dialect: 'go-auth',
    secret: { env: 'HOOK_SECRET' },
    tenant: rows[0]?.id,
    policy,
    providers: ['devices'],
    deadline_ms: 5_000,
    ...hook,
  }
  const config = {
    version: 1,
    providers: { devices: { type: 'file', path: usersFile }, ...providers },
    hooks: [section],
  }
  await writeFile(configFile, JSON.stringify(config), { mode: 0o600 })
  const settings = parseConfig({ ...env, BROKER_AUTH_CONFIG: configFile })
  const server = stack.adopt(await startServer(settings, { log, env: { HOOK_SECRET: SECRET } }), (one) => one.close())
  const running = stack.move()
  return {
    owner: new Sealwire({ baseUrl: server.url, apiKey }),
    async ask(route, body) {
      const res = await fetch(`${server.url}/mqtt/${SECRET}/${route}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      await res.arrayBuffer()
      return res.status
    },
    close: () => running.disposeAsync(),
  }
}
