import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { hash } from '@node-rs/bcrypt'
import type { AuthConfig, AuthProvider } from '#src/guards/guards-config.ts'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { createAnonymousProvider } from '#src/identity/anonymous.ts'
import { type Authentication, createAuthenticator } from '#src/identity/chain.ts'
import { createClientIdRules } from '#src/identity/client-ids.ts'
import type { Provider } from '#src/identity/provider.ts'
import { createUsersFile } from '#src/identity/users-file/create-users-file.ts'
import { fileProviderSchema } from '#src/identity/users-file/settings.ts'
import { imported } from '../policy/importers/imported.ts'
import { readVectors } from '../policy/importers/vector-file.ts'
import { collectingLog, credentialsOf, Hands, openJwt, sign } from './jwt-fixture.ts'

interface Case {
  readonly id: string
  readonly area: string
  readonly given: {
    readonly config: { readonly auth: Readonly<Record<string, unknown>>; readonly acl?: unknown }
    readonly users_file: { readonly users: Readonly<Record<string, { password_hash: string }>> } | null
    readonly connect: Connect | null
  }
  readonly expect: {
    readonly decision?: 'allow' | 'close'
    readonly username?: string | null
    readonly groups?: readonly string[]
    readonly config_load?: string
  }
}

interface Connect {
  readonly client_id: string
  readonly username?: string
  readonly password?: string | { readonly jwt: TokenSpec }
  readonly will?: { readonly topic: string }
}

interface TokenSpec {
  readonly alg: string
  readonly key: string
  readonly claims: Readonly<Record<string, unknown>>
}

const folder = mkdtempSync(join(tmpdir(), 'sealwire-sentinel-'))
after(() => rmSync(folder, { recursive: true }))

/** The secrets of the cases are a few bytes; ours have at least 32 (RFC 7518 §3.2), so each is repeated until it has. */
const lengthened = (secret: string) => secret.repeat(Math.ceil(32 / secret.length))

/** `"now+3600"` and its like. */
function timeOf(value: unknown, { seconds }: Hands): unknown {
  const offset = typeof value === 'string' && /^now([+-]\d+)$/.exec(value)?.[1]
  return offset ? seconds + Number(offset) : value
}

function tokenOf({ alg, key, claims }: TokenSpec, hands: Hands): Promise<string> {
  const entries = Object.entries(claims).map(([name, value]) => [name, timeOf(value, hands)])
  return sign(Object.fromEntries(entries), new TextEncoder().encode(lengthened(key)), { alg })
}

async function usersFile({ users_file: file }: Case['given']): Promise<string> {
  const users = await Promise.all(
    Object.entries(file?.users ?? {}).map(async ([name, user]) => {
      const password = /^<bcrypt of "(.+)">$/.exec(user.password_hash)?.[1]
      assert.ok(password !== undefined)
      return [name, { ...user, password_hash: await hash(password, 4) }]
    }),
  )
  const path = join(folder, 'users.json')
  writeFileSync(path, JSON.stringify({ users: Object.fromEntries(users) }))
  return path
}

/** A provider of the gateway's configuration as one of ours. Sixty seconds of skew and a CONNECT name that is overridden are its. */
async function open(
  t: TestContext,
  config: AuthProvider,
  given: Case['given'],
  clock: Hands,
  name: string,
): Promise<Provider> {
  if (config.type === 'file') {
    const settings = fileProviderSchema.parse({ type: 'file', path: await usersFile(given) })
    const users = await createUsersFile(settings, { name, clock, log: collectingLog() })
    t.after(() => users.close())
    return users
  }
  assert.equal(config.type, 'jwt')
  assert.ok(config.type === 'jwt' && config.secret)
  return openJwt(
    t,
    {
      ...(config.issuer !== null && { issuer: config.issuer }),
      audience: config.audience ?? '*',
      secret: { env: 'JWT_SECRET' },
      clock_skew_s: 60,
      connect_username: 'ignored',
      claims: { username: config.usernameClaim },
    },
    { clock, name, env: { JWT_SECRET: lengthened(config.secret.reveal()) } },
  )
}

async function authenticate(
  t: TestContext,
  { given }: Case,
  auth: AuthConfig,
  connect: Connect,
): Promise<Authentication> {
  const hands = new Hands()
  const providers = await Promise.all(auth.providers.map((one, i) => open(t, one, given, hands, `p${i}`)))
  if (auth.allowAnonymous)
    providers.unshift(createAnonymousProvider({ type: 'anonymous', groups: ['anonymous'] }, { name: 'anonymous' }))
  const { 'client-id-pattern': pattern = '^' } = given.config.auth
  const authenticator = createAuthenticator({
    providers,
    clientIds: createClientIdRules({
      pattern: String(pattern),
      min: auth.minClientIdLength,
      max: auth.maxClientIdLength,
    }),
    blocked: { judge: () => undefined },
    refusals: { note() {} },
    log: collectingLog(),
  })
  const { client_id: clientId, username, password } = connect
  const shown = typeof password === 'object' ? await tokenOf(password.jwt, hands) : password
  return authenticator.authenticate(
    credentialsOf({
      clientId,
      ...(username !== undefined && { username }),
      ...(shown !== undefined && { password: shown }),
    }),
    new AbortController().signal,
  )
}

/** How the gateway tells the client (`ws_close_code`, `connack`) and the audit tags are the business of its surface. */
async function judge(t: TestContext, one: Case): Promise<void> {
  const { given, expect, id } = one
  const config = JSON.parse(JSON.stringify(given.config).replaceAll('<users>', join(folder, 'users.json'))) as unknown
  const { guards } = parseGuards(config, { source: 'gateway', env: {} })
  if (expect.config_load !== undefined) {
    assert.equal(guards, undefined, id)
    const filled = parseGuards(config, { source: 'gateway', env: { JWT_SECRET: 'a secret' } })
    assert.ok(filled.guards, `${id}: with the variable set`)
    return
  }
  assert.ok(guards && given.connect, id)
  const found = await authenticate(t, one, guards.auth, given.connect)
  const identity = 'accepted' in found ? found.accepted.identity : undefined
  const { will } = given.connect
  const mayWill = !will || (identity && imported('sentinel', given.config).as(identity).allows('will', will.topic))
  assert.equal(identity && mayWill ? 'allow' : 'close', expect.decision, `${id}: ${JSON.stringify(found)}`)
  if (expect.username !== undefined) assert.equal(identity?.username ?? null, expect.username, id)
  if (expect.groups !== undefined) assert.deepEqual(identity?.groups, expect.groups, id)
}

test('sentinel.json auth: a client is let in, and is who the case says, or is refused', async (t) => {
  const file = readVectors<{ schema: string; vectors: readonly Case[] }>('sentinel.json', t)
  if (!file) return
  assert.equal(file.schema, 'sentinel-gateway-vectors/1')
  const cases = file.vectors.filter(({ area }) => area === 'auth')
  assert.ok(cases.length > 0, 'no case')
  for (const one of cases) await judge(t, one)
  t.diagnostic(`${cases.length} cases`)
})
