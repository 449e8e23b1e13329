import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { openBrokerServices } from '#src/broker-services.ts'
import { parseConfig } from '#src/config/config.ts'
import { systemClock } from '#src/core/clock.ts'
import { silentLog } from '#src/core/log.ts'
import type { Foundation } from '#src/foundation.ts'
import { POLICY, TENANT } from './hook-harness.ts'

/** Opens a configuration that has a fault, and answers what is said of it. */
async function refusalOf(t: TestContext, hook: object, providers: object = {}, env: Record<string, string> = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-start-'))
  t.after(() => rm(folder, { recursive: true }))
  const [users, file] = [path.join(folder, 'users.json'), path.join(folder, 'hooks.json')]
  await writeFile(users, '{"users":[]}', { mode: 0o600 })
  await writeFile(path.join(folder, 'not-a-ca.pem'), 'no PEM')
  const place = { tenant: TENANT, policy: POLICY, dialect: 'go-auth', name: 'default', providers: ['devices'] }
  const section = JSON.stringify({ ...place, ...hook }).replaceAll('FOLDER', folder)
  const all = JSON.stringify({ devices: { type: 'file', path: users }, ...providers }).replaceAll('FOLDER', folder)
  await writeFile(file, `{"version":1,"providers":${all},"hooks":[${section}]}`)
  const foundation = { clock: systemClock, log: silentLog, ownListeners: [] } as unknown as Foundation
  const config = parseConfig({ BROKER_AUTH_CONFIG: file })
  const deps = {
    policies: { active: async () => undefined },
    unauthorisedClients: { logOf: () => ({ note: () => {} }) },
    env,
  }
  return await openBrokerServices(foundation, config, deps).then(
    () => assert.fail('it was opened'),
    (err: Error) => err.message,
  )
}

const cases: readonly [what: string, hook: object, env: Record<string, string>, line: RegExp][] = [
  [
    'a secret that is not there',
    { secret: { env: 'S' } },
    {},
    /^ {2}hooks\[0\]\.secret: variable S is empty or not set$/m,
  ],
  [
    'a short secret',
    { secret: { env: 'S' } },
    { S: 'canary' },
    /^ {2}hooks\[0\]\.secret: needs 16 characters or more/m,
  ],
  [
    'a secret with a slash',
    { secret: { env: 'S' } },
    { S: 'canary/canary/canary' },
    /^ {2}hooks\[0\]\.secret: needs 16/m,
  ],
  [
    'a secret file that is not there',
    { secret: { file: 'FOLDER/none' } },
    {},
    /^ {2}hooks\[0\]\.secret: file ".*none" cannot be read: ENOENT$/m,
  ],
  [
    'mutual TLS without TLS',
    { mutual_tls: { ca_file: 'FOLDER/not-a-ca.pem', names: ['b'] } },
    {},
    /^ {2}hooks\[0\]\.mutual_tls: needs TLS_CERT_FILE/m,
  ],
  [
    'a CA that is none',
    { mutual_tls: { ca_file: 'FOLDER/not-a-ca.pem', names: ['b'] } },
    {},
    /^ {2}hooks\[0\]\.mutual_tls\.ca_file: holds no certificate$/m,
  ],
  [
    'a CA file that is not there',
    { mutual_tls: { ca_file: 'FOLDER/none', names: ['b'] } },
    {},
    /^ {2}hooks\[0\]\.mutual_tls\.ca_file: .*ENOENT$/m,
  ],
]

for (const [what, hook, env, line] of cases) {
  test(`the start names what a hook refers to and cannot have: ${what}`, async (t) => {
    const message = await refusalOf(t, hook, {}, env)
    assert.match(message, /^Invalid BROKER_AUTH_CONFIG:\n/)
    assert.match(message, line)
    assert.doesNotMatch(message, /canary/)
  })
}

test('faults of providers and of hooks are told together', async (t) => {
  const message = await refusalOf(t, { secret: { env: 'S' } }, { more: { type: 'file', path: 'FOLDER/none.json' } })
  assert.match(message, /providers\.more: /)
  assert.match(message, /hooks\[0\]\.secret: /)
})

test('without BROKER_AUTH_CONFIG there are no hooks; with a file that is not there the server does not start', async () => {
  const foundation = { clock: systemClock, log: silentLog, ownListeners: [] } as unknown as Foundation
  const deps = {
    policies: { active: async () => undefined },
    unauthorisedClients: { logOf: () => ({ note: () => {} }) },
    env: {},
  }
  assert.equal(await openBrokerServices(foundation, parseConfig({}), deps), undefined)
  const config = parseConfig({ BROKER_AUTH_CONFIG: '/nowhere/hooks.json' })
  await assert.rejects(openBrokerServices(foundation, config, deps), {
    message: 'Invalid BROKER_AUTH_CONFIG:\n  file "/nowhere/hooks.json" cannot be read: ENOENT',
  })
})
