// What two pages document, asked through hooks: "Security model" of TBMQ, and "Security & ACL" of MQTT.Agent by CloudSignal.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { importPolicy } from '#src/policy/importers/import-policy.ts'
import { buildCa, buildClient, pemOf } from '../support/certificate-builder.ts'
import { acl, documentOf, type Harness, HOOK_SECRET, login, PASSWORD, startHooks } from './hook-harness.ts'
import { tokenOf } from './tokens.ts'

const blank = documentOf()

/** Sections for every dialect, and the default one for go-auth. */
const everyDialect = ['emqx', 'rabbitmq', 'tbmq', 'vernemq'].map((dialect) => ({ name: dialect, dialect }))

const at = (name: string, path: string) => ({ url: `/mqtt/hooks/${name}/${HOOK_SECRET}${path}` })

async function said(h: Harness, name: string, path: string, body: unknown, headers: Record<string, string> = {}) {
  const { status, body: text } = await h.ask('', body, { ...at(name, path), headers })
  assert.equal(status, 200)
  return JSON.parse(text)
}

const vernemq = (h: Harness, hook: string, body: object) =>
  said(h, 'vernemq', `/${hook}`, { mountpoint: '', ...body }, { 'vernemq-hook': hook })

interface Client {
  readonly username: string
  readonly password: string
  readonly clientId: string
}

/** Logs in by every dialect; what TBMQ is told of the client. */
async function logInEverywhere(h: Harness, { username, password, clientId }: Client) {
  assert.equal(await h.status('/user', login(username, clientId, password)), 200)
  const emqx = await said(h, 'emqx', '/authn', { username, password, clientid: clientId })
  assert.equal(emqx.result, 'allow')
  const rabbitmq = await h.ask(
    '',
    new URLSearchParams({ username, password, vhost: '/', client_id: clientId }).toString(),
    at('rabbitmq', '/user'),
  )
  assert.equal(rabbitmq.body, 'allow')
  const registered = await vernemq(h, 'auth_on_register', { username, password, client_id: clientId })
  assert.deepEqual(registered, { result: 'ok' })
  const tbmq = await said(h, 'tbmq', '/authenticate', { clientId, username, password })
  assert.equal(tbmq.result, 'success')
  return tbmq
}

/** What every dialect says to a client that is logged in there; they have to agree. */
async function asks(
  h: Harness,
  { username, clientId }: Client,
  action: 'publish' | 'subscribe',
  topic: string,
  tbmq: { authRules: Record<string, string[]> },
) {
  const goAuth = (await h.status('/acl', acl(username, clientId, topic, action === 'publish' ? 2 : 4))) === 200
  const emqx = await said(h, 'emqx', '/authz', { username, clientid: clientId, action, topic, qos: 1, retain: false })
  const routing_key = topic.replaceAll('/', '.').replaceAll('+', '*')
  const form = {
    username,
    vhost: '/',
    resource: 'topic',
    name: 'amq.topic',
    permission: action === 'publish' ? 'write' : 'read',
    routing_key,
    client_id: clientId,
  }
  const rabbitmq = await h.ask('', new URLSearchParams(form).toString(), at('rabbitmq', '/topic'))
  const about = { username, client_id: clientId }
  const verne =
    action === 'publish'
      ? await vernemq(h, 'auth_on_publish', { ...about, topic, qos: 1, retain: false })
      : await vernemq(h, 'auth_on_subscribe', { ...about, topics: [{ topic, qos: 1 }] })
  const list = tbmq.authRules[action === 'publish' ? 'pubAuthRulePatterns' : 'subAuthRulePatterns'] ?? []
  const listed = list.some((pattern) => new RegExp(`^(?:${pattern})$`, 'u').test(topic))
  const answers = [goAuth, emqx.result === 'allow', rabbitmq.body === 'allow', verne.result === 'ok', listed]
  assert.equal(new Set(answers).size, 1, `${action} ${topic}: ${answers.join(' ')}`)
  return goAuth
}

/** Asserts what a client may do, by every dialect. */
async function holds(
  h: Harness,
  client: Client,
  tbmq: { authRules: Record<string, string[]> },
  expected: Readonly<Record<'publish' | 'subscribe', Readonly<Record<string, boolean>>>>,
) {
  for (const action of ['publish', 'subscribe'] as const)
    for (const [topic, allowed] of Object.entries(expected[action]))
      assert.equal(await asks(h, client, action, topic, tbmq), allowed, `${action} ${topic}`)
}

const soon = () => Math.floor(Date.now() / 1000) + 3_600

const tables = [
  { credential: 'sensor-device-001', own: 'device-001', clientType: 'APPLICATION' },
  { credential: 'sensor-gateway-001', own: 'gateway-001', clientType: 'DEVICE' },
]

const belowOwn = (own: string) => ({
  publish: {
    [`sensors/${own}/temp`]: true,
    [`sensors/${own}/a/b`]: true,
    'sensors/other/temp': false,
    [`commands/${own}/reset`]: false,
  },
  subscribe: {
    [`commands/${own}/reset`]: true,
    [`commands/${own}/+`]: true,
    [`commands/${own}/#`]: false,
    [`commands/${own}/a/b`]: false,
    [`sensors/${own}/temp`]: false,
    '#': false,
  },
})

for (const { credential, own, clientType } of tables) {
  test(`"Security model", rules at connection time, JWT: ${credential} brings its rules and its type`, async (t) => {
    const tokens = {
      type: 'jwt',
      secret: { env: 'TOKEN_SECRET' },
      audience: '*',
      client_type: {
        default: 'device',
        rules: [{ type: 'application', when: [{ claim: 'clientType', equals: 'APPLICATION' }] }],
      },
      claims: { rules: { format: 'tbmq', publish_claim: 'pub', subscribe_claim: 'sub_rules' } },
    }
    const h = await startHooks(t, {
      document: blank,
      providers: { tokens },
      hook: { providers: ['tokens'] },
      hooks: everyDialect,
    })
    const password = await tokenOf({
      sub: credential,
      exp: soon(),
      clientType,
      pub: [`sensors/${own}/.*`],
      sub_rules: [`commands/${own}/[^/]+`],
    })
    const client = { username: credential, password, clientId: own }
    const tbmq = await logInEverywhere(h, client)
    assert.equal(tbmq.clientType, clientType)
    await holds(h, client, tbmq, belowOwn(own))
    const mistyped = await tokenOf({
      sub: credential,
      exp: soon(),
      clientType,
      pub: `sensors/${own}/.*`,
      sub_rules: [],
    })
    assert.equal(await h.status('/user', login(credential, own, mistyped)), 403, 'a claim of another type refuses')
  })
}

/** A service as the page has it: it says who a client is, and what it may do. */
async function serviceFor(
  t: TestContext,
  answer: (body: { username: string; password: string; clientId: string }) => unknown,
) {
  const server = createServer(async (req, res) => {
    let text = ''
    for await (const chunk of req) text += chunk
    res.setHeader('content-type', 'application/json')
    const said = answer(JSON.parse(text))
    res.end(said === undefined ? '' : JSON.stringify(said))
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return { type: 'http', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth` }
}

test('"Security model", rules at connection time, HTTP: the service brings type and rules; what it leaves out is nothing', async (t) => {
  const service = await serviceFor(t, ({ username, password }) => {
    if (password !== 'right') return { result: 'failure' }
    if (username === 'empty') return undefined
    if (username === 'plain') return { result: 'success' }
    const authRules = {
      pubAuthRulePatterns: ['sensors/device-001/.*'],
      subAuthRulePatterns: ['commands/device-001/[^/]+'],
    }
    return { result: 'success', clientType: 'APPLICATION', authRules }
  })
  const h = await startHooks(t, {
    document: blank,
    providers: { service },
    hook: { providers: ['service'] },
    hooks: everyDialect,
  })
  const client = { username: 'sensor-device-001', password: 'right', clientId: 'device-001' }
  const tbmq = await logInEverywhere(h, client)
  assert.equal(tbmq.clientType, 'APPLICATION')
  await holds(h, client, tbmq, belowOwn('device-001'))
  const plain = { username: 'plain', password: 'right', clientId: 'plain' }
  assert.deepEqual(await logInEverywhere(h, plain), {
    result: 'success',
    clientType: 'DEVICE',
    authRules: { pubAuthRulePatterns: [], subAuthRulePatterns: [] },
  })
  for (const refused of [
    { username: 'empty', password: 'right', clientId: 'empty' },
    { username: 'sensor-device-001', password: 'wrong', clientId: 'device-001' },
  ])
    assert.deepEqual(await said(h, 'tbmq', '/authenticate', refused), { result: 'failure' }, refused.username)
})

test('"Security model", Authentication: providers are tried in their order until one knows the client; if none does, it is refused', async (t) => {
  const tokens = { type: 'jwt', secret: { env: 'TOKEN_SECRET' }, audience: '*' }
  const hooks = [
    { name: 'both', providers: ['tokens', 'devices'] },
    { name: 'reversed', providers: ['devices', 'tokens'] },
    { name: 'one', providers: ['tokens'] },
    { name: 'none', providers: [] },
  ]
  const h = await startHooks(t, { providers: { tokens }, hooks })
  const token = await tokenOf({ sub: 'mia', exp: soon() })
  const status = async (name: string, username: string, password: string) =>
    (await h.ask('', login(username, 'c1', password), at(name, '/user'))).status
  for (const name of ['both', 'reversed']) {
    assert.equal(await status(name, 'alice', PASSWORD), 200, name)
    assert.equal(await status(name, 'mia', token), 200, name)
    assert.equal(await status(name, 'nobody', 'x'), 403, name)
  }
  assert.equal(await status('one', 'alice', PASSWORD), 403)
  assert.equal(await status('none', 'alice', PASSWORD), 403, 'no provider at all lets nobody in')
})

test('"Security model", production example: a device publishes below its own name, and not below that of another', async (t) => {
  const document = documentOf(
    { id: 'up', effect: 'allow', actions: ['publish'], topics: ['sensors/${username}/+'] },
    { id: 'down', effect: 'allow', actions: ['subscribe'], topics: ['commands/${username}/+'] },
  )
  const h = await startHooks(t, { document, users: [{ username: 'd-1' }, { username: 'd-10' }], hooks: everyDialect })
  const client = { username: 'd-1', password: PASSWORD, clientId: 'd-1' }
  const tbmq = await logInEverywhere(h, client)
  await holds(h, client, tbmq, {
    publish: { 'sensors/d-1/temp': true, 'sensors/d-10/temp': false, 'sensors/d-1/a/b': false, 'sensors/d-1': false },
    subscribe: { 'commands/d-1/+': true, 'commands/d-1/x': true, 'commands/+/x': false, 'commands/d-10/x': false },
  })
})

test('"Security model", production example: the certificate is the identity, where the broker passes it on', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-page-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const [ca, other] = [buildCa('devices'), buildCa('others')]
  const caFile = path.join(folder, 'ca.pem')
  await writeFile(caFile, pemOf(ca.der))
  const certificates = { type: 'x509', ca_file: caFile, matches: [{ cn: { regex: 'd-[0-9]+' } }] }
  const document = documentOf({ id: 'up', effect: 'allow', actions: ['publish'], topics: ['sensors/${cert.cn}/+'] })
  const h = await startHooks(t, {
    document,
    providers: { certificates },
    hook: { providers: ['certificates'] },
    hooks: everyDialect,
  })
  const register = (clientId: string, certificate: Uint8Array) =>
    vernemq(h, 'auth_on_register', {
      client_id: clientId,
      username: null,
      password: null,
      client_cert: Buffer.from(certificate).toString('base64'),
    })
  const publish = (clientId: string, topic: string) =>
    vernemq(h, 'auth_on_publish', { client_id: clientId, username: null, topic, qos: 1, retain: false })
  const refused = { result: { error: 'not_allowed' } }
  assert.deepEqual(await register('c-1', buildClient('d-1', ca).der), { result: 'ok' })
  assert.deepEqual(await publish('c-1', 'sensors/d-1/temp'), { result: 'ok' })
  assert.deepEqual(await publish('c-1', 'sensors/d-2/temp'), refused)
  assert.deepEqual(await register('c-2', buildClient('d-2', other).der), refused, 'another authority')
  assert.deepEqual(await register('c-3', buildClient('+', ca).der), refused)
})

/** acl-policy.json of "Security & ACL"; the worked decisions of the page are without its slash at the front. */
const aclPolicy = {
  version: '2.0',
  default_action: 'deny',
  rules: [
    { topic: '/{email}/inbox', action: 'subscribe', effect: 'allow' },
    { topic: '/broadcast/#', action: 'subscribe', effect: 'allow' },
    { topic: '/{agent_id}/inbox', action: 'subscribe', effect: 'allow' },
  ],
}

test('"Security & ACL", acl-policy.json and its ALLOW and DENY: the claims of a JWT decide at every broker, and a denial is on record', async (t) => {
  const { document } = importPolicy('cloudsignal', aclPolicy, { stripLeadingSlash: true })
  assert.ok(document)
  const tokens = { type: 'jwt', secret: { env: 'TOKEN_SECRET' }, audience: '*' }
  const h = await startHooks(t, {
    document,
    providers: { tokens },
    hook: { providers: ['tokens'] },
    hooks: everyDialect,
  })
  const clientOf = async (sub: string, claims: object) => ({
    username: sub,
    clientId: sub,
    password: await tokenOf({ sub, exp: soon(), session_id: 'sess_zk9p2x', role: 'engineer', ...claims }),
  })
  const alice = await clientOf('user_a8b2c3', { email: 'alice@acme.io' })
  const agent = await clientOf('agent', { email: 'agent@acme.io', agent_id: 'agent_research_42' })
  const [forAlice, forAgent] = [await logInEverywhere(h, alice), await logInEverywhere(h, agent)]
  // RabbitMQ has no dots in topics: an address is two levels there, which no rule of the page allows.
  const goAuth = (client: Client, topic: string, acc: number) =>
    h.status('/acl', acl(client.username, client.clientId, topic, acc))
  assert.equal(await goAuth(alice, 'alice@acme.io/inbox', 4), 200)
  assert.equal(await goAuth(alice, 'agent@acme.io/inbox', 4), 403)
  assert.equal(await goAuth(alice, 'alice@acme.io/inbox', 2), 403)
  await holds(h, alice, forAlice, { publish: { 'broadcast/x': false }, subscribe: { 'broadcast/#': true, '#': false } })
  await holds(h, agent, forAgent, {
    publish: {},
    subscribe: { 'agent_research_42/inbox': true, 'agent_planning_91/inbox': false, '+/inbox': false },
  })
  await h.auth.notes.flush()
  const denied = h.audit.events.filter(({ action }) => action === 'policy.decision').map(({ detail }) => detail)
  const row = denied.find((detail) => detail?.['topic'] === 'agent_planning_91/inbox')
  assert.deepEqual(
    [row?.['action'], row?.['decision'], row?.['rule'], row?.['client_id'], row?.['auth']],
    ['subscribe', 'deny', null, 'agent', 'jwt'],
    '"Audit at the Wire"',
  )
})

test('"Security & ACL", Per-Rule QoS Control, and retained messages apart from publishing', async (t) => {
  const document = documentOf(
    { id: 'low', effect: 'allow', actions: ['publish', 'subscribe'], topics: ['low'], qos: [0, 1] },
    { id: 'plain', effect: 'allow', actions: ['publish'], topics: ['plain'], retain: 'forbid' },
  )
  const h = await startHooks(t, { document, hooks: everyDialect })
  const client = { username: 'alice', password: PASSWORD, clientId: 'a1' }
  const tbmq = await logInEverywhere(h, client)
  const emqx = async (action: string, topic: string, qos: number, retain: boolean) =>
    (await said(h, 'emqx', '/authz', { username: 'alice', clientid: 'a1', action, topic, qos, retain })).result
  assert.deepEqual(
    [
      await emqx('publish', 'low', 1, true),
      await emqx('publish', 'low', 2, true),
      await emqx('publish', 'plain', 2, false),
      await emqx('publish', 'plain', 0, true),
    ],
    ['allow', 'deny', 'allow', 'deny'],
  )
  const about = { username: 'alice', client_id: 'a1' }
  assert.deepEqual(await vernemq(h, 'auth_on_subscribe', { ...about, topics: [{ topic: 'low', qos: 2 }] }), {
    result: 'ok',
    topics: [{ topic: 'low', qos: 1 }],
  })
  // Brokers that say neither QoS nor retain flag are told no where either matters.
  assert.equal(await h.status('/acl', acl('alice', 'a1', 'low')), 403)
  assert.equal(await h.status('/acl', acl('alice', 'a1', 'plain')), 403)
  assert.deepEqual(tbmq.authRules, { pubAuthRulePatterns: [], subAuthRulePatterns: [] })
})

test('"Security & ACL", Service Account Publishers: rest_publisher publishes where its rule says, and nobody else does', async (t) => {
  const document = documentOf({
    id: 'bridge',
    effect: 'allow',
    actions: ['publish'],
    topics: ['notifications/#'],
    when: { username: 'rest_publisher' },
  })
  const h = await startHooks(t, {
    document,
    users: [{ username: 'rest_publisher' }, { username: 'alice' }],
    hooks: everyDialect,
  })
  for (const [username, allowed] of [
    ['rest_publisher', true],
    ['alice', false],
  ] as const) {
    const client = { username, password: PASSWORD, clientId: username }
    const tbmq = await logInEverywhere(h, client)
    await holds(h, client, tbmq, {
      publish: { 'notifications/a': allowed, other: false },
      subscribe: { 'notifications/a': false },
    })
  }
})

test('"Security & ACL", Bring Your Own Auth and Organization Isolation: a webhook says who it is and of which organization', async (t) => {
  const service = await serviceFor(t, ({ username, password }) =>
    password === 'right' ? { result: 'success', org: username.split('@')[1], sub: username } : { result: 'failure' },
  )
  const document = documentOf({ id: 'org', effect: 'allow', actions: ['publish', 'subscribe'], topics: ['${org}/#'] })
  const h = await startHooks(t, {
    document,
    providers: { service },
    hook: { providers: ['service'] },
    hooks: everyDialect,
  })
  const client = { username: 'ann@org_a', password: 'right', clientId: 'ann' }
  const tbmq = await logInEverywhere(h, client)
  await holds(h, client, tbmq, {
    publish: { 'org_a/x': true, 'org_b/x': false, 'org_ab/x': false },
    subscribe: { 'org_a/#': true, '+/x': false, '#': false },
  })
})
