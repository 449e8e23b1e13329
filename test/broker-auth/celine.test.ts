import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { CompactSign } from 'jose'
import { UNKNOWN_LIST } from '#src/identity/blocked/blocked-client.ts'
import { importPolicy } from '#src/policy/importers/import-policy.ts'
import type { CelineRoles, CelineRule, CelineSubject } from '../policy/importers/celine-model.ts'
import { readVectors } from '../policy/importers/vector-file.ts'
import { acl, documentOf, type Harness, login, startHooks } from './hook-harness.ts'
import { tokenOf } from './tokens.ts'

interface Vector {
  readonly id: string
  readonly config: string
  readonly subject: CelineSubject | null
  readonly topic: string
  readonly expect: 'allow' | 'deny'
}

interface VectorFile {
  readonly roles: CelineRoles
  readonly configs: Readonly<Record<string, readonly CelineRule[]>>
  readonly vectors: readonly (Vector & { readonly action: string })[]
  readonly acc_vectors: readonly (Vector & { readonly acc: number })[]
}

const ISSUER = 'https://keycloak.example/realms/celine'

/** An issuer as the page has it: realm roles and groups are groups, `scope` has scopes. */
const idp = {
  type: 'jwt',
  issuer: ISSUER,
  audience: '*',
  secret: { env: 'TOKEN_SECRET' },
  claims: {
    groups: [
      { claim: 'groups', optional: true },
      { claim: 'realm_access.roles', optional: true },
    ],
  },
}

const celine = (t: TestContext, hook: object = {}, provider: object = {}) =>
  startHooks(t, {
    providers: { idp: { ...idp, ...provider } },
    hook: {
      providers: ['idp'],
      permissions: 'celine',
      superuser: { groups: ['admins'], scopes: ['mqtt.admin'] },
      ...hook,
    },
  })

/** A token of somebody, for ten minutes; `more` replaces claims. */
function tokenFor({ clock }: Harness, subject: Partial<CelineSubject>, more: object = {}): Promise<string> {
  const { id = 'u1', type = 'user', groups = [], scopes = [] } = subject
  const now = Math.floor(clock.now() / 1000)
  const service = type === 'service' ? { client_id: id } : {}
  return tokenOf({
    iss: ISSUER,
    sub: id,
    iat: now,
    exp: now + 600,
    groups,
    scope: scopes.join(' '),
    ...service,
    ...more,
  })
}

const withToken = (token: string) => ({
  headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
})

const masks: Readonly<Record<string, number>> = { read: 1, publish: 2, subscribe: 4 }

test('celine.json: /mqtt/acl answers every case of a subject that a token can show', async (t) => {
  const file = readVectors<VectorFile>('celine.json', t)
  if (!file) return
  // Not by superuser, which goes past the rules, nor by the map that the document itself brings.
  const hooks = await celine(t, { superuser: undefined, permissions: undefined })
  let asked = 0
  const cases = [...file.vectors.map((one) => ({ ...one, acc: masks[one.action] })), ...file.acc_vectors]
  for (const { id, config, subject, topic, acc, expect } of cases) {
    const { document } = importPolicy('celine', { rules: file.configs[config], roles: file.roles })
    hooks.activate(document)
    const token = subject && (await tokenFor(hooks, subject))
    const headers = token === null ? {} : withToken(token)
    const { status } = await hooks.ask('/acl', { acc: acc ?? 'none', clientid: 'c1', topic }, headers)
    const allowed = status === 200
    // A token without groups and scopes is a user's; no token shows a service with groups.
    const isShown = subject?.type !== 'service' || subject.groups.length === 0
    if (isShown) assert.equal(allowed ? 'allow' : 'deny', expect, id)
    else assert.equal(allowed, false, id)
    assert.ok(status === 200 || (status >= 400 && status < 500), `${id}: ${status}`)
    asked++
  }
  assert.ok(asked > 30)
  t.diagnostic(`${asked} cases`)
})

test('U1-U7: superusers are those that the hook names, and nobody by default', async (t) => {
  const hooks = await celine(t)
  const table = [
    ['U1', { type: 'service', scopes: ['mqtt.admin'] }, 200],
    ['U2', { groups: ['admins'] }, 200],
    ['U3', { groups: ['managers', 'editors', 'viewers'] }, 403],
    ['U4', { groups: ['admin', 'mqtt.admin'] }, 403],
    ['U5', { type: 'service', scopes: ['pipelines.admin'] }, 403],
  ] as const
  for (const [id, subject, expected] of table) {
    const token = await tokenFor(hooks, { ...subject, groups: [], scopes: [], ...subject } as Partial<CelineSubject>)
    assert.equal(await hooks.status('/superuser', 'null', withToken(token)), expected, id)
  }
  const expired = await tokenFor(hooks, { groups: ['admins'] }, { exp: Math.floor(hooks.clock.now() / 1000) - 100 })
  for (const headers of [withToken(expired), withToken('not.a.token'), {}])
    assert.equal(await hooks.status('/superuser', 'null', headers), 403, 'U6')
  // U7: the question about a topic honours it by itself, for brokers that never ask who is a superuser.
  const admin = await tokenFor(hooks, { groups: ['admins'] })
  assert.equal(await hooks.status('/acl', { topic: 'any/topic', acc: 7, clientid: 'c1' }, withToken(admin)), 200)
  assert.equal(
    await hooks.status('/acl', { topic: 'any/+', acc: 2, clientid: 'c1' }, withToken(admin)),
    403,
    'no topic name',
  )
  const off = await celine(t, { superuser: undefined })
  assert.equal(await off.status('/superuser', 'null', withToken(await tokenFor(off, { groups: ['admins'] }))), 403)
  assert.equal(
    await off.status(
      '/acl',
      { topic: 'any/topic', acc: 2, clientid: 'c1' },
      withToken(await tokenFor(off, { groups: ['admins'] })),
    ),
    403,
  )
})

test('a superuser by name alone is one only if everybody of that name is', async (t) => {
  const hooks = await startHooks(t, {
    users: [{ username: 'root', groups: ['admins'] }, { username: 'alice' }],
    providers: { idp: { ...idp, connect_username: 'ignored' } },
    hook: { providers: ['idp', 'devices'], superuser: { groups: ['admins'] } },
  })
  assert.equal(await hooks.status('/superuser', { username: 'root' }), 403, 'nobody is logged in')
  assert.equal(await hooks.status('/user', login('root', 'c1')), 200)
  assert.equal(await hooks.status('/superuser', { username: 'root' }), 200)
  assert.equal(await hooks.status('/superuser', { username: 'alice' }), 403)
  // Somebody else, who only calls itself so: the issuer's tokens are taken with any user name.
  const token = await tokenFor(hooks, { id: 'mallory' })
  const replica = await hooks.replica()
  assert.equal(await replica.status('/user', login('root', 'c2', token)), 200)
  for (const one of [hooks, replica]) assert.equal(await one.status('/superuser', { username: 'root' }), 403)
})

test('H1-H5: the token is found in the header, the password and the user name', async (t) => {
  const hooks = await celine(t)
  const token = await tokenFor(hooks, { id: 'x', groups: ['viewers'] })
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const ok = '200 {"ok":true,"error":"","reason":"authenticated"}'
  const said = async (body: string, headers: Record<string, string>) => {
    const answer = await hooks.ask('/user', body, { headers })
    return `${answer.status} ${answer.body}`
  }
  const json = { 'content-type': 'application/json' }
  assert.equal(await said('null', { ...json, authorization: `Bearer ${token}` }), ok, 'H1')
  assert.equal(await said('', { ...form, authorization: `Bearer ${token}` }), ok, 'H2')
  assert.equal(await said(JSON.stringify(login('x', 'c', token)), json), ok, 'H3')
  assert.equal(await said(new URLSearchParams(login('x', 'c', token)).toString(), form), ok, 'H4')
  assert.equal(await said(JSON.stringify(login(token, 'c', 'any')), json), ok, 'H5')
})

test('H6, H7: two tokens of two subjects, or a user name that is none of the token’s, are refused', async (t) => {
  const hooks = await celine(t)
  const [a, b] = await Promise.all([tokenFor(hooks, { id: 'a' }), tokenFor(hooks, { id: 'b' })])
  assert.equal(await hooks.status('/user', login('', 'c', a), withToken(a)), 200)
  assert.equal(await hooks.status('/user', login('', 'c', b), withToken(a)), 403, 'H6')
  assert.equal(await hooks.status('/user', login('a', 'c', a)), 200)
  assert.equal(await hooks.status('/user', login('b', 'c', a)), 403, 'H7')
  assert.deepEqual(
    hooks.refusals.map(({ reason }) => reason),
    ['username-mismatch', 'username-mismatch'],
  )
})

test('H9: without a token and without a session nobody may do anything', async (t) => {
  const hooks = await celine(t)
  hooks.activate(documentOf({ id: 'all', effect: 'allow', actions: ['publish'], topics: ['#'] }))
  for (const body of [acl('x', 'c', 'a'), { topic: 'a', acc: 2 }, acl('', '', 'a')])
    assert.equal(await hooks.status('/acl', body), 403)
})

test('H11: while nobody can tell, the answer is 503 and never 200', async (t) => {
  const hooks = await celine(t, { stale_s: 0 })
  const token = await tokenFor(hooks, { groups: ['viewers'] })
  hooks.database.isDown = true
  for (const target of ['/user', '/acl'])
    assert.equal(await hooks.status(target, { topic: 'a', acc: 2, clientid: 'c' }, withToken(token)), 503)
})

test('H11: while nobody knows who is blocked, the answer is 503 and never 200', async (t) => {
  const hooks = await startHooks(t)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  hooks.blocked.add(UNKNOWN_LIST)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 503)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 503)
  hooks.blocked.clear()
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 200)
})

test('H13, H14: a token may be over by as much as the skew; one without an end is none', async (t) => {
  const hooks = await celine(t)
  const now = Math.floor(hooks.clock.now() / 1000)
  const login10 = await tokenFor(hooks, {}, { exp: now - 10 })
  const login40 = await tokenFor(hooks, {}, { exp: now - 40 })
  assert.equal(await hooks.status('/user', 'null', withToken(login10)), 200)
  assert.equal(await hooks.status('/user', 'null', withToken(login40)), 403)
  assert.equal(await hooks.status('/user', 'null', withToken(await tokenFor(hooks, {}, { exp: undefined }))), 403)
  assert.deepEqual(
    hooks.refusals.map(({ reason }) => reason),
    ['token-expired', 'token-claim'],
  )
})

test('H15: no signature, and one made with a public key as the secret, are refused', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-celine-'))
  t.after(() => rm(folder, { recursive: true }))
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  await writeFile(path.join(folder, 'idp.pem'), pem)
  const { secret: _none, ...rest } = idp
  const provider = { ...rest, public_key_file: path.join(folder, 'idp.pem') }
  const hooks = await startHooks(t, { providers: { idp: provider }, hook: { providers: ['idp'] } })
  const claims = { iss: ISSUER, sub: 'x', exp: Math.floor(hooks.clock.now() / 1000) + 600 }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const unsigned = `${part({ alg: 'none' })}.${part(claims)}.`
  const input = `${part({ alg: 'HS256' })}.${part(claims)}`
  const forged = `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`
  const signing = new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
  const right = await signing.setProtectedHeader({ alg: 'RS256' }).sign(privateKey)
  for (const [token, expected] of [
    [unsigned, 403],
    [forged, 403],
    [right, 200],
  ] as const) {
    assert.equal(await hooks.status('/user', 'null', withToken(token)), expected)
    assert.equal(await hooks.status('/user', login('x', 'c', token)), expected)
    assert.equal(await hooks.status('/user', login(token, 'c', 'any')), expected)
  }
})

test('reliability H1: without the hook’s secret a request is 401, whatever it asks, and nobody is looked up', async (t) => {
  const hooks = await startHooks(t)
  const urls = [
    '/mqtt/user',
    '/mqtt/a-secret-of-the-brokeR/user',
    '/mqtt/a-secret-of-the-broke/user',
    '/mqtt/user?secret=',
    '/mqtt/user?secret=wrong-wrong-wrong-wrong',
  ]
  for (const url of urls) {
    const { status, body } = await hooks.ask('', login('alice', 'c1'), { url })
    assert.equal(status, 401, url)
    assert.ok(!body.includes('credentials'))
  }
  for (const headers of [{ authorization: 'Bearer wrong-wrong-wrong' }, { 'x-hook-secret': 'wrong-wrong-wrong' }])
    assert.equal(await hooks.status('', login('alice', 'c1'), { url: '/mqtt/user', headers }), 401)
  assert.equal(hooks.database.statements, 0)
  const right: [string, Record<string, string>][] = [
    ['/mqtt/a-secret-of-the-broker/user', {}],
    ['/mqtt/%61-secret-of-the-broker/user', {}],
    ['/mqtt/hooks/default/a-secret-of-the-broker/user', {}],
    ['/mqtt/user?secret=a-secret-of-the-broker', {}],
    ['/mqtt/user?x=1&secret=a-secret-of-the-broker', {}],
    ['/mqtt/user', { authorization: 'Bearer a-secret-of-the-broker' }],
    ['/mqtt/user', { 'x-hook-secret': 'a-secret-of-the-broker' }],
  ]
  for (const [url, headers] of right)
    assert.equal(await hooks.status('', login('alice', 'c1'), { url, headers }), 200, url)
  for (const url of ['/mqtt/', '/mqtt/hooks/', '/mqtt/hooks/none/a-secret-of-the-broker/user', '/mqtt/x/y/user'])
    assert.ok([401, 404].includes(await hooks.status('', login('alice', 'c1'), { url })), url)
})

test('reliability H6: a refusal does not outlive its cause, and neither does a yes', async (t) => {
  const hooks = await startHooks(t, { users: [{ username: 'alice', enabled: false }] })
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 403)
  assert.equal(await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')), 403)
  await hooks.writeUsers({ username: 'alice' })
  const start = performance.now()
  while ((await hooks.status('/user', login('alice', 'c1'))) !== 200) {
    assert.ok(performance.now() - start < 10_000)
    await delay(20)
  }
  assert.equal(
    await hooks.status('/acl', acl('alice', 'c1', 'plant/alice/x')),
    200,
    'at once, after the refusal before',
  )
})

test('reliability H2: whatever fails inside is 503 for go-auth, which does not cache it', async (t) => {
  const hooks = await startHooks(t)
  assert.equal(await hooks.status('/user', login('alice', 'c1')), 200)
  hooks.blocked.has = () => {
    throw new Error('a fault of ours')
  }
  const { status, headers } = await hooks.ask('/acl', acl('alice', 'c1', 'plant/alice/x'))
  assert.equal(status, 503)
  assert.equal(headers['content-type'], 'application/json')
})

// Seed 004, "MQTT Integration": the rules of "ACL Configuration" and of each section of "Example ACL Rules", with the requests of
// "Debugging".
const page = {
  'ACL Configuration': [
    { subjects: { groups: ['admins'] }, topics: ['#'], actions: '*', effect: 'allow' },
    {
      subjects: { types: ['service'], scopes: ['mqtt.write'] },
      topics: ['celine/digital-twin/events/#'],
      actions: ['publish'],
      effect: 'allow',
    },
  ],
  'Service Publishing to Its Namespace': [
    {
      subjects: { types: ['service'], scopes: ['mqtt.write'] },
      topics: ['celine/digital-twin/events/#', 'celine/digital-twin/state/#'],
      actions: ['publish'],
      effect: 'allow',
    },
  ],
  'Users Subscribing to Telemetry': [
    {
      subjects: { types: ['user'], groups: ['viewers'] },
      topics: ['celine/telemetry/+/+/readings'],
      actions: ['subscribe', 'read'],
      effect: 'allow',
    },
  ],
  'Pipeline Service Status Updates': [
    {
      subjects: { types: ['service'], ids: ['svc-pipelines'] },
      topics: ['celine/pipelines/status/+', 'celine/pipelines/events/#'],
      actions: ['publish'],
      effect: 'allow',
    },
  ],
  'Deny Specific Topic': [
    { subjects: { groups: ['viewers'] }, topics: ['celine/system/#'], actions: '*', effect: 'allow' },
    {
      subjects: { types: ['user'], groups: ['viewers'] },
      topics: ['celine/system/alerts/critical'],
      actions: ['subscribe'],
      effect: 'deny',
    },
  ],
} as const

const roles = {
  group_permissions: {
    admins: ['subscribe', 'read', 'publish', 'superuser'],
    managers: ['subscribe', 'read', 'publish'],
    editors: ['subscribe', 'read', 'publish'],
    viewers: ['subscribe', 'read'],
  },
  scope_permissions: {
    'mqtt.admin': ['subscribe', 'read', 'publish', 'superuser'],
    'mqtt.read': ['subscribe', 'read'],
    'mqtt.write': ['publish'],
  },
}

type Section = keyof typeof page
type Case = readonly [section: Section, who: Partial<CelineSubject>, acc: number, topic: string, status: 200 | 403]

const writer = { type: 'service', id: 'svc-test', scopes: ['mqtt.write'] } as const
const pipelines = { type: 'service', id: 'svc-pipelines', scopes: ['mqtt.write'] } as const
const viewer = { groups: ['viewers'] } as const

const pageCases: readonly Case[] = [
  ['ACL Configuration', { groups: ['admins'] }, 7, 'celine/x', 200],
  ['ACL Configuration', { groups: ['admins'] }, 4, '#', 200],
  ['ACL Configuration', writer, 2, 'celine/digital-twin/events/pump/1', 200],
  ['ACL Configuration', writer, 4, 'celine/digital-twin/events/#', 403],
  ['ACL Configuration', { scopes: ['mqtt.write'] }, 2, 'celine/digital-twin/events/pump/1', 403],
  ['Service Publishing to Its Namespace', writer, 2, 'celine/digital-twin/state/pump/pump-001', 200],
  ['Service Publishing to Its Namespace', writer, 2, 'celine/digital-twin/commands/pump/pump-001', 403],
  ['Service Publishing to Its Namespace', { ...writer, scopes: ['mqtt.read'] }, 2, 'celine/digital-twin/state/a', 403],
  ['Users Subscribing to Telemetry', viewer, 4, 'celine/telemetry/+/+/readings', 200],
  ['Users Subscribing to Telemetry', viewer, 1, 'celine/telemetry/meter/meter-001/readings', 200],
  ['Users Subscribing to Telemetry', viewer, 5, 'celine/telemetry/meter/meter-001/readings', 200],
  ['Users Subscribing to Telemetry', viewer, 2, 'celine/telemetry/meter/meter-001/readings', 403],
  ['Users Subscribing to Telemetry', viewer, 4, 'celine/telemetry/#', 403],
  ['Pipeline Service Status Updates', pipelines, 2, 'celine/pipelines/status/etl-daily', 200],
  ['Pipeline Service Status Updates', pipelines, 2, 'celine/pipelines/events/etl-daily/started', 200],
  ['Pipeline Service Status Updates', { ...pipelines, id: 'svc-other' }, 2, 'celine/pipelines/status/etl-daily', 403],
  ['Deny Specific Topic', viewer, 4, 'celine/system/alerts/critical', 403],
  ['Deny Specific Topic', viewer, 4, 'celine/system/alerts/minor', 200],
  ['Deny Specific Topic', viewer, 4, 'celine/system/alerts/+', 403],
]

test('the page “MQTT Integration”: its example rules, capability maps and debugging requests do what it says', async (t) => {
  // “mqtt.admin: All + Superuser” and the group `admins` are superusers only where the hook says so.
  const hooks = await celine(t, { superuser: undefined })
  for (const [section, subject, acc, topic, status] of pageCases) {
    const { document } = importPolicy('celine', { celine: { mqtt: { acl: { rules: page[section] } }, roles } })
    assert.ok(document, section)
    hooks.activate(document)
    const token = await tokenFor(hooks, subject)
    assert.equal(await hooks.status('/acl', { topic, acc }, withToken(token)), status, `${section}: ${topic} ${acc}`)
    assert.equal(await hooks.status('/user', '', withToken(token)), 200, '“Check Authentication”')
  }
})

test('the page “MQTT Integration”: its scopes give what its table says, whatever the rules would allow', async (t) => {
  const hooks = await celine(t, { superuser: { scopes: ['mqtt.admin'] } })
  hooks.activate(
    documentOf({ id: 'all', effect: 'allow', actions: ['publish', 'subscribe', 'receive'], topics: ['#'] }),
  )
  const table = [
    ['mqtt.read', [4, 1], [2]],
    ['mqtt.write', [2], [4, 1]],
    ['mqtt.admin', [4, 1, 2, 7], []],
    ['openid', [], [4, 1, 2]],
    ['mqtt', [], [4, 1, 2]],
    ['MQTT.READ', [], [4, 1, 2]],
  ] as const
  for (const [scope, may, mayNot] of table) {
    const headers = withToken(await tokenFor(hooks, { type: 'service', id: 's', scopes: [scope] }))
    for (const acc of may)
      assert.equal(await hooks.status('/acl', { topic: 'a', acc }, headers), 200, `${scope} ${acc}`)
    for (const acc of mayNot)
      assert.equal(await hooks.status('/acl', { topic: 'a', acc }, headers), 403, `${scope} ${acc}`)
    assert.equal(await hooks.status('/superuser', '', headers), scope === 'mqtt.admin' ? 200 : 403)
  }
})
