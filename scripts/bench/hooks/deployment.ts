import { randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { hash as hashWithBcrypt } from '@node-rs/bcrypt'
import { hashPassword } from '#src/identity/users-file/password-hash.ts'
import { prepareHooks } from '#test/support/hook-preparation.ts'
import { documentOf } from '../policy/workload.ts'
import { mix } from '../policy/workloads.ts'
import { type Running, startProgram } from '../process.ts'

export const PASSWORD = 'correct horse battery staple'
export const RULES = 1_000
/** Who asks: so many clients, each with a session. */
export const CLIENTS = 200
export const ISSUER = 'https://idp.example'

/** A server with three hooks of the dialect go-auth: `default` for decisions, `argon2` and `bcrypt` for the time of refusals. */
export interface HookedServer {
  readonly running: Running
  /** Paths with the secret in them, before `/user` and `/acl`. */
  readonly pathOf: (hook: 'default' | 'argon2' | 'bcrypt') => string
  /** Of the tokens that the hook `default` takes, too (HS256). */
  readonly tokenSecret: Uint8Array
}

interface UserRecord {
  username: string
  password_hash: string
  enabled?: boolean
}

/** Users whom a password lets in, and disabled ones, each for one question: what was hashed once is remembered. */
function usersFor(hash: string, ofEach: number): UserRecord[] {
  const one = (username: string, enabled: boolean) => ({ username, password_hash: hash, enabled })
  return Array.from({ length: ofEach }, (_, i) => [one(`known-${i}`, true), one(`off-${i}`, false)]).flat()
}

export async function startHookedServer(
  folder: string,
  samples: number,
  flags: readonly string[] = [],
): Promise<HookedServer> {
  const place = { DATA_DIR: path.join(folder, 'data'), DATABASE_URL: '' }
  const { tenantId, policyId } = await prepareHooks(place, documentOf(mix, RULES))
  const put = async (name: string, content: string | Uint8Array) => {
    await fs.writeFile(path.join(folder, name), content, { mode: 0o600 })
    return path.join(folder, name)
  }
  const [secret, tokenSecret] = [randomBytes(16).toString('hex'), randomBytes(32)]
  const hashes = {
    argon2: await hashPassword(Buffer.from(PASSWORD)),
    bcrypt: await hashWithBcrypt(PASSWORD, 10),
    devices: await hashWithBcrypt(PASSWORD, 4),
  }
  const devices = Array.from({ length: CLIENTS }, (_, i) => ({
    username: `user-${i}`,
    password_hash: hashes.devices,
    groups: [`group-${i % 50}`],
  }))
  const file = async (name: string, users: readonly object[]) => ({
    type: 'file',
    path: await put(`${name}.json`, JSON.stringify({ users })),
  })
  const hook = {
    dialect: 'go-auth',
    secret: { file: await put('secret', secret) },
    tenant: tenantId,
    policy: policyId,
    deadline_ms: 5_000, // a login that is late because of the machine would end the run
  }
  const config = {
    version: 1,
    providers: {
      tokens: {
        type: 'jwt',
        issuer: ISSUER,
        audience: 'mqtt',
        secret: { file: await put('token-secret', tokenSecret) },
      },
      devices: await file('devices', devices),
      argon2: await file('argon2', usersFor(hashes.argon2, samples)),
      bcrypt: await file('bcrypt', usersFor(hashes.bcrypt, samples)),
    },
    hooks: [
      { ...hook, name: 'default', providers: ['tokens', 'devices'] },
      { ...hook, name: 'argon2', providers: ['argon2'] },
      { ...hook, name: 'bcrypt', providers: ['bcrypt'] },
    ],
  }
  const env = { HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'info', LOG_FORMAT: 'json' }
  const hooks = { BROKER_AUTH_CONFIG: await put('hooks.json', JSON.stringify(config)) }
  const running = await startProgram('src/main.ts', { ...place, ...env, ...hooks }, flags)
  const pathOf = (name: string) => (name === 'default' ? `/mqtt/${secret}` : `/mqtt/hooks/${name}/${secret}`)
  return { running, pathOf, tokenSecret }
}
