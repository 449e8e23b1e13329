import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { silentLog } from '#src/core/log.ts'
import { type OpenProvidersDeps, openProviders, ProvidersNotOpened } from '#src/identity/open-providers.ts'
import { providersSchema } from '#src/identity/providers-schema.ts'
import { createSecretReader } from '#src/identity/secret-source.ts'

const home = mkdtempSync(path.join(tmpdir(), 'sealwire-providers-'))
after(() => rmSync(home, { recursive: true, force: true }))
const users = path.join(home, 'users.json')
writeFileSync(users, '{"users":[]}')

const deps: OpenProvidersDeps = {
  clock: systemClock,
  log: silentLog,
  readSecret: createSecretReader({ JWT_SECRET: 's'.repeat(32) }),
  request: Object.assign(() => Promise.reject(new Error('nobody is there')), { close: () => undefined }),
}

const jwt = { type: 'jwt', audience: 'mqtt', secret: { env: 'JWT_SECRET' } }

describe('the providers of a configuration', () => {
  test('are read strictly: an unknown type or member, a bad name, a secret in the file', () => {
    const parse = (providers: object) => providersSchema.safeParse(providers)
    assert.equal(parse({ devices: { type: 'file', path: users }, idp: jwt, open: { type: 'anonymous' } }).success, true)
    const bad: readonly [providers: object, told: RegExp][] = [
      [{ a: { type: 'ldap' } }, /type/],
      [{ a: {} }, /type/],
      [{ a: { type: 'file' } }, /path/],
      [{ a: { type: 'file', path: users, hot_reload: true } }, /hot_reload/],
      [{ a: { type: 'file', path: users, remember_s: -1 } }, /remember_s/],
      [{ a: { type: 'file', path: users, hashing: { parallel: 0 } } }, /parallel/],
      [{ A: { type: 'anonymous' } }, /"path":\["A"\],"message":"a name is a-z/],
      [{ '': { type: 'anonymous' } }, /a name is a-z/],
      [JSON.parse('{"__proto__":{"type":"ldap"}}'), /__proto__/],
      [{ a: { ...jwt, secret: 'plain' } }, /secret/],
      [Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`a${i}`, { type: 'anonymous' }])), /at most 32/],
    ]
    for (const [providers, told] of bad) {
      const { success, error } = parse(providers)
      assert.equal(success, false, JSON.stringify(providers))
      assert.match(JSON.stringify(error.issues), told)
    }
  })

  test('are opened by their names', async () => {
    const opened = await openProviders(
      providersSchema.parse({ devices: { type: 'file', path: users }, idp: jwt, open: { type: 'anonymous' } }),
      deps,
    )
    assert.deepEqual([...opened.byName.keys()], ['devices', 'idp', 'open'])
    for (const [name, provider] of opened.byName) assert.equal(provider.name, name)
    await opened.close()
  })

  test('are opened all or not at all, and everything that the operator has to put right is told at once', async () => {
    const broken = path.join(home, 'broken.json')
    writeFileSync(broken, '{"users":[{"username":"x","password_hash":"$2b$plain"}]}')
    const settings = providersSchema.parse({
      good: { type: 'file', path: users },
      devices: { type: 'file', path: broken },
      gone: { type: 'file', path: path.join(home, 'gone.json') },
      idp: { ...jwt, secret: { env: 'NOT_SET' } },
      certificates: { type: 'x509', ca_file: path.join(home, 'gone.pem'), matches: [{ cn: 'a' }] },
      service: {
        type: 'http',
        url: 'http://127.0.0.1:9/auth',
        headers: { authorization: { file: path.join(home, 'gone') } },
      },
    })
    await assert.rejects(openProviders(settings, deps), (err) => {
      assert.ok(err instanceof ProvidersNotOpened)
      const places = err.problems.map((line) => line.slice(0, line.indexOf(':')))
      const broken = ['devices', 'gone', 'idp', 'certificates', 'service']
      assert.deepEqual(
        places,
        broken.map((name) => `providers.${name}`),
      )
      assert.match(err.message, /providers\.devices: the users file: users\[0\]\.password_hash: must be bcrypt/)
      assert.match(err.message, /providers\.gone: the users file: cannot be read: ENOENT/)
      assert.match(err.message, /providers\.idp: variable NOT_SET is empty or not set/)
      assert.doesNotMatch(err.message, /\$2b\$plain/)
      return true
    })
  })

  test('let a fault of ours pass as what it is', async () => {
    const readSecret = () => {
      throw new TypeError('a bug')
    }
    await assert.rejects(openProviders(providersSchema.parse({ idp: jwt }), { ...deps, readSecret }), TypeError)
  })
})
