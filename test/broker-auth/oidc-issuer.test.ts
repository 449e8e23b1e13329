import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type JWK, SignJWT } from 'jose'
import type { PolicyDocument } from '#src/policy/document.ts'
import type { UnauthorisedClient } from '#src/sdk/index.ts'
import { type HookedDeployment, serveHooks } from '#test/support/hooked-deployment.ts'

const document: PolicyDocument = {
  schema: 'mqtt-policy/1',
  id: 'plant',
  default: { publish: 'deny', subscribe: 'deny', connect: 'deny' },
  rules: [
    { id: 'operators', effect: 'allow', actions: ['connect'], when: { roles: ['operator'] } },
    { id: 'devices', effect: 'allow', actions: ['connect'], when: { auth: 'basic' } },
    { id: 'own', effect: 'allow', topics: ['users/${username}/#'] },
    { id: 'line', effect: 'allow', when: { groups: ['line-1'] }, topics: ['lines/1/#'] },
    { id: 'safety', effect: 'deny', topics: ['lines/+/stop'] },
  ],
}

/** A realm as Keycloak has it: a discovery document, keys at another path of the same host, and tokens with its claims. */
class Realm {
  readonly #keys = new Map<string, { readonly privateKey: KeyObject; readonly jwk: JWK }>()
  #server: Server | undefined
  #port = 0
  readonly asked: string[] = []

  get url(): string {
    return `http://127.0.0.1:${this.#port}/realms/plant`
  }

  get issuer(): string {
    return this.url
  }

  /** Publishes exactly these keys; new ones are made. */
  publish(...kids: readonly string[]): void {
    for (const kid of kids) {
      if (this.#keys.has(kid)) continue
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
      const jwk = { ...(publicKey.export({ format: 'jwk' }) as JWK), kid, use: 'sig', alg: 'RS256' }
      this.#keys.set(kid, { privateKey, jwk })
    }
    this.#published = kids
  }
  #published: readonly string[] = []

  async open(): Promise<void> {
    const pages = new Map<string, () => object>([
      [
        '/realms/plant/.well-known/openid-configuration',
        () => ({
          issuer: this.issuer,
          jwks_uri: `${this.url}/protocol/openid-connect/certs`,
          id_token_signing_alg_values_supported: ['RS256'],
        }),
      ],
      [
        '/realms/plant/protocol/openid-connect/certs',
        () => ({ keys: this.#published.map((kid) => this.#keys.get(kid)?.jwk) }),
      ],
    ])
    const server = createServer((req, res) => {
      this.asked.push(req.url ?? '')
      const page = pages.get(req.url ?? '')
      res.writeHead(page ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(page?.() ?? {}))
    })
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  token(kid: string, more: Readonly<Record<string, unknown>> = {}, lifeS = 300): Promise<string> {
    const now = Math.floor(Date.now() / 1_000)
    const key = this.#keys.get(kid)?.privateKey
    assert.ok(key)
    const claims = {
      iss: this.issuer,
      aud: ['mqtt', 'account'],
      sub: '36fa0f91-f94d-4a0c-afed-6b7d952e47da',
      typ: 'Bearer',
      azp: 'dashboard',
      preferred_username: 'anna',
      realm_access: { roles: ['offline_access', 'operator'] },
      scope: 'openid profile',
      groups: ['/line-1'],
      iat: now,
      exp: now + lifeS,
      ...more,
    }
    return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' }).sign(key)
  }
}

/** Asks until the answer is there; an issuer is looked at again at most every ten seconds. */
async function until(what: string, isSo: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await isSo())) {
    if (performance.now() > end) assert.fail(`${what}: not within ${withinMs} ms`)
    await delay(100)
  }
}

describe('a hook whose clients bring tokens of an OpenID Connect issuer', () => {
  const realm = new Realm()
  let deployment: HookedDeployment
  const running = new AsyncDisposableStack()
  before(async () => {
    realm.publish('2025')
    await realm.open()
    running.defer(() => realm.close())
    deployment = await serveHooks({
      document,
      users: [{ username: 'press', password: 'press-password' }],
      configure: (config) => ({
        ...config,
        providers: {
          ...config.providers,
          sso: {
            type: 'jwt',
            issuer: realm.issuer,
            discovery: true,
            audience: 'mqtt',
            clock_skew_s: 0,
            claims: {
              username: 'preferred_username',
              roles: ['realm_access.roles'],
              rules: { format: 'rules', claim: 'mqtt_rules', optional: true },
            },
            jwks: { refresh_s: 10, stale_s: 60 },
          },
        },
        hooks: [{ ...config.hooks[0], providers: ['sso', 'devices'] }],
      }),
    })
    running.defer(() => deployment.close())
  })
  after(() => running.disposeAsync())

  async function ask(route: 'user' | 'acl', body: object, token?: string): Promise<number> {
    const res = await fetch(`http://127.0.0.1:${deployment.port}/mqtt/${deployment.secret}/${route}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(body),
    })
    await res.arrayBuffer()
    return res.status
  }
  const login = (clientid: string, password: string, username = 'anna') => ask('user', { username, password, clientid })
  const publish = (clientid: string, topic: string, username = 'anna') =>
    ask('acl', { username, clientid, topic, acc: 2 })

  async function rowOf(clientId: string): Promise<UnauthorisedClient | undefined> {
    let row: UnauthorisedClient | undefined
    await until('a row of the client', async () => {
      ;[row] = await deployment.owner.unauthorisedClients.list({ clientId })
      return row !== undefined
    })
    return row
  }

  test('a token in the password logs in, and its claims decide', async () => {
    assert.equal(await login('a1', await realm.token('2025')), 200)
    assert.deepEqual(
      await Promise.all(
        ['users/anna/x', 'lines/1/speed', 'users/boris/x', 'lines/2/speed', 'lines/1/stop'].map((topic) =>
          publish('a1', topic),
        ),
      ),
      [200, 200, 403, 403, 403],
    )
    assert.deepEqual(realm.asked.slice(0, 2), [
      '/realms/plant/.well-known/openid-configuration',
      '/realms/plant/protocol/openid-connect/certs',
    ])
    assert.equal(await login('p1', 'press-password', 'press'), 200, 'a password is the business of the next provider')
    assert.equal(await publish('p1', 'users/press/x', 'press'), 200)
  })

  test('what is not good of this issuer is refused, and the log of unauthorised clients says why', async () => {
    const shown = {
      audience: await realm.token('2025', { aud: 'account' }),
      expired: await realm.token('2025', {}, -1),
      claim: await realm.token('2025', { preferred_username: undefined }),
      roles: await realm.token('2025', { realm_access: { roles: ['guest'] } }),
      other: await realm.token('2025', { preferred_username: 'boris' }),
      rules: await realm.token('2025', { mqtt_rules: [{ id: 'x', effect: 'permit', topics: ['#'] }] }),
      unsigned: (await realm.token('2025')).replace(/[^.]+$/, ''),
    }
    for (const [clientId, token] of Object.entries(shown)) assert.equal(await login(clientId, token), 403, clientId)
    const told = await Promise.all(Object.keys(shown).map(async (clientId) => (await rowOf(clientId))?.reason))
    assert.deepEqual(told, [
      'token-audience',
      'token-expired',
      'token-claim',
      'policy-denied',
      'username-mismatch',
      'rules-invalid',
      'token-signature',
    ])
    for (const clientId of Object.keys(shown)) assert.equal(await publish(clientId, 'users/anna/x'), 403, clientId)
    assert.doesNotMatch(JSON.stringify(await deployment.owner.unauthorisedClients.list({})), /eyJ/, 'no token is in it')
  })

  test('rules of a token add to the policy and never undo what it denies, a CONNECT neither', async () => {
    const mqtt_rules = [
      { id: 'more', effect: 'allow', topics: ['lines/2/#', 'lines/+/stop'] },
      { id: 'less', effect: 'deny', topics: ['lines/1/speed'] },
    ]
    assert.equal(await login('r1', await realm.token('2025', { mqtt_rules })), 200)
    assert.deepEqual(
      await Promise.all(
        ['lines/2/speed', 'lines/1/temperature', 'lines/2/stop', 'lines/1/speed', 'lines/3/speed'].map((topic) =>
          publish('r1', topic),
        ),
      ),
      [200, 200, 403, 403, 403],
    )
    const guest = { realm_access: { roles: ['guest'] } }
    for (const rules of [[], mqtt_rules])
      assert.equal(await login('r2', await realm.token('2025', { ...guest, mqtt_rules: rules })), 403)
    const inside = [{ id: 'in', effect: 'allow', actions: ['connect'] }]
    assert.equal(await login('r3', await realm.token('2025', { ...guest, mqtt_rules: inside })), 200, 'said by a rule')
  })

  test('a session ends with its token', async () => {
    assert.equal(await login('e1', await realm.token('2025', {}, 4)), 200)
    assert.equal(await publish('e1', 'users/anna/x'), 200)
    await until('the end of the session', async () => (await publish('e1', 'users/anna/x')) === 403, 10_000)
    assert.equal(await publish('a1', 'users/anna/x'), 200, 'others go on')
  })

  test('a rotated key comes into use, and who came with a withdrawn one is out', async () => {
    const bearer = await realm.token('2025')
    assert.equal(await ask('acl', { username: '', clientid: 'h1', topic: 'users/anna/x', acc: 2 }, bearer), 200)
    realm.publish('2026')
    await until('the new key', async () => (await login('a2', await realm.token('2026'))) === 200)
    assert.equal(await publish('a1', 'users/anna/x'), 403)
    assert.equal(await login('a1', await realm.token('2025')), 403)
    assert.equal(
      await ask('acl', { username: '', clientid: 'h1', topic: 'users/anna/x', acc: 2 }, bearer),
      403,
      'what was remembered of a token in a header, too',
    )
    assert.equal(await publish('a2', 'users/anna/x'), 200)
  })

  test('while the issuer is down its keys serve, and new ones are let in by nobody', async () => {
    await realm.close()
    realm.publish('2026', '2027')
    assert.equal(await login('d1', await realm.token('2026')), 200)
    assert.notEqual(await login('d2', await realm.token('2027')), 200)
    assert.equal(await publish('d2', 'users/anna/x'), 403)
    assert.equal(await publish('a2', 'users/anna/x'), 200)
    assert.equal(await login('p2', 'press-password', 'press'), 200, 'passwords do not need the issuer')
  })

  test('a server that starts while the issuer is down lets no token in, and goes on when it is back', async () => {
    await deployment.restart('SIGTERM')
    assert.equal(await login('d3', await realm.token('2026')), 503)
    assert.notEqual(await publish('a2', 'users/anna/x'), 200, 'nor does a session of before serve')
    assert.equal(await login('p3', 'press-password', 'press'), 200)
    await realm.open()
    await until('the issuer', async () => (await login('d3', await realm.token('2027'))) === 200)
    assert.equal(await publish('d3', 'users/anna/x'), 200)
    assert.equal(await publish('a2', 'users/anna/x'), 200, 'the session of before is good again: its key is')
  })
})
