import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { initialise, type RunningServer, startServer, type TrialResult } from '#src/app.ts'
import { parseConfig } from '#src/config/config.ts'
import { silentLog } from '#src/core/log.ts'
import { hashPassword } from '#src/identity/users-file/password-hash.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { TOKEN_SECRET } from '#test/broker-auth/hook-harness.ts'
import { tokenOf } from '#test/broker-auth/tokens.ts'
import { buildCa, buildClient } from '#test/support/certificate-builder.ts'
import { runCli } from '#test/support/cli.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

const document: PolicyDocument = {
  schema: 'mqtt-policy/1',
  id: 'plant',
  rules: [
    { id: 'own', effect: 'allow', actions: ['publish', 'subscribe', 'receive'], topics: ['plant/${username}/#'] },
    { id: 'slow', effect: 'allow', actions: ['publish'], topics: ['slow/#'], maxQos: 1, qosMode: 'deny' },
    { id: 'sealed', effect: 'deny', actions: ['publish'], topics: ['plant/+/sealed'] },
  ],
}
const PASSWORD = 'correct horse battery'
const SECRET = 'hook-secret-0123456789'
const root = buildCa('root')
const dialects = ['go-auth', 'emqx', 'rabbitmq', 'tbmq', 'vernemq']

let folder = ''
let database: TestDatabase
let env: Record<string, string> = {}
let server: RunningServer
const file = (name: string) => path.join(folder, name)

function configOf({ BROKER_AUTH_CONFIG, ...rest }: Record<string, string>) {
  return parseConfig({ ...rest, PORT: '0', ...(BROKER_AUTH_CONFIG ? { BROKER_AUTH_CONFIG } : {}) })
}

async function serveOnce(given: Record<string, string>) {
  const running = await startServer(configOf(given), { log: silentLog, env: given })
  return { ...running, [Symbol.asyncDispose]: () => running.close() }
}

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sealwire-hooks-try-'))
  database = await testDatabase()
  env = { DATABASE_URL: database.url, DATA_DIR: folder, BROKER_AUTH_CONFIG: file('hooks.json') }
  const { tenantId, ownerKeyFile } = (await initialise(configOf(env), { log: silentLog })) ?? assert.fail('a tenant')
  await using bare = await serveOnce({ ...env, BROKER_AUTH_CONFIG: '' })
  const owner = new Sealwire({ baseUrl: bare.url, apiKey: (await readFile(ownerKeyFile, 'utf8')).trim() })
  const { id: policyId } = await owner.policies.create({ document: { ...document } })
  const password_hash = await hashPassword(new TextEncoder().encode(PASSWORD))
  await writeFile(
    file('users.json'),
    JSON.stringify({ users: [{ username: 'pump', password_hash, groups: ['hall-2'] }] }),
  )
  await writeFile(file('password'), `${PASSWORD}\n`)
  await writeFile(file('wrong'), 'not the password')
  await writeFile(file('secret'), SECRET)
  await writeFile(file('token-secret'), TOKEN_SECRET)
  await writeFile(file('ca.pem'), root.pem)
  const more: Record<string, string[]> = { 'go-auth': ['idp'], vernemq: ['certificates'] }
  const hooks = dialects.map((dialect) => ({
    name: dialect,
    dialect,
    secret: { file: file('secret') },
    tenant: tenantId,
    policy: policyId,
    providers: [...(more[dialect] ?? []), 'devices'],
    deadline_ms: 5_000, // a busy machine takes its time to hash a password
  }))
  const second = { ...hooks[1], name: 'emqx-2' }
  const providers = {
    devices: { type: 'file', path: file('users.json') },
    idp: {
      type: 'jwt',
      audience: 'plant',
      clock_skew_s: 0,
      secret: { file: file('token-secret') },
      claims: { rules: { format: 'rules', claim: 'mqtt', optional: true } },
    },
    certificates: { type: 'x509', ca_file: file('ca.pem'), matches: [{ cn: { regex: 'valve-[0-9]+' } }] },
  }
  await writeFile(file('hooks.json'), JSON.stringify({ version: 1, providers, hooks: [...hooks, second] }))
  server = await serveOnce(env)
})
after(async () => {
  await server.close()
  await database.drop()
  await rm(folder, { recursive: true, force: true })
})

const operator = () => import('#src/app.ts')
const attempt = (args: readonly string[], more: Record<string, string> = {}) =>
  runCli(['hooks', 'try', ...args], { env: { ...env, ...more }, operator })
const pump = ['--username', 'pump', '--client-id', 'p1']

async function json(args: readonly string[]): Promise<TrialResult> {
  const { code, out, err } = await attempt([...args, '--json'])
  assert.deepEqual([code, err], [0, ''])
  assert.equal(out.includes(PASSWORD), false, 'no password is printed')
  assert.equal(out.includes(SECRET), false, 'no secret of the hook is printed')
  return JSON.parse(out) as TrialResult
}
const bodyOf = (text: string) => text.slice(text.indexOf('\r\n\r\n') + 4)
const told = ({ questions }: TrialResult) => questions.map(({ outcome, answer }) => `${outcome} ${bodyOf(answer)}`)

/** What the server that runs answers to a request as it was printed, in the same form; the time and the connection aside. */
async function served(printed: string): Promise<string> {
  const [head = '', body = ''] = printed.split('\r\n\r\n')
  const [line = '', ...lines] = head.split('\r\n')
  const secret = body.replace('PASSWORD', PASSWORD)
  const headers = Object.fromEntries(lines.map((one) => one.split(': ') as [string, string]))
  const req = request(`${server.url}${line.split(' ')[1]?.replace('SECRET', SECRET)}`, {
    method: 'POST',
    headers: { ...headers, 'content-length': Buffer.byteLength(secret) },
    agent: false,
  })
  const res = (await once(req.end(secret), 'response'))[0] as IncomingMessage
  const pairs = res.rawHeaders.flatMap((name, i, all) => (i % 2 === 0 ? [`${name}: ${all[i + 1]}`] : []))
  const shown = pairs.filter((pair) => !/^(date|connection|keep-alive):/i.test(pair))
  return [`HTTP/1.1 ${res.statusCode} ${res.statusMessage}`, ...shown, '', await text(res)].join('\r\n')
}

async function isAnsweredSo({ questions }: TrialResult): Promise<void> {
  assert.ok(questions.length > 0)
  for (const { request: printed, answer } of questions) assert.equal(await served(printed), answer)
}

async function countRows(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const table of ['broker_sessions', 'unauthorised_clients', 'audit_rows']) {
    const { rows } = await database.db.query<{ count: string }>(`select count(*) as count from ${table}`)
    counts[table] = Number(rows[0]?.count)
  }
  return counts
}

test('hooks try prints what the broker sends, what it is told, who the client is and which rule says so', async () => {
  const args = ['--dialect', 'go-auth', ...pump, '--password-file', file('password'), '--topic', 'plant/pump/t']
  const { code, out, err } = await attempt([...args, '--do', 'publish'])
  assert.deepEqual([code, err], [0, ''])
  const said = '{"ok":true,"error":"","reason":"authenticated"}'
  assert.equal(
    out,
    [
      '> POST /mqtt/hooks/go-auth/SECRET/user HTTP/1.1',
      '> content-type: application/json',
      `> content-length: ${'{"clientid":"p1","password":"PASSWORD","username":"pump"}'.length}`, // not that of the password
      '>',
      '> {"clientid":"p1","password":"PASSWORD","username":"pump"}',
      '< HTTP/1.1 200 OK',
      `< content-length: ${said.length}`,
      '< cache-control: no-store',
      '< content-type: application/json',
      '<',
      `< ${said}`,
      '= accepted',
      '',
      '> POST /mqtt/hooks/go-auth/SECRET/acl HTTP/1.1',
      '> content-type: application/json',
      '> content-length: 66',
      '>',
      '> {"acc":2,"clientid":"p1","topic":"plant/pump/t","username":"pump"}',
      '< HTTP/1.1 200 OK',
      '< content-length: 44',
      '< cache-control: no-store',
      '< content-type: application/json',
      '<',
      '< {"ok":true,"error":"","reason":"authorized"}',
      '= allowed  allow  reason=rule  rule=own  qos=0  retain=false',
      '',
      'who:  pump  type=device  auth=basic  provider=devices  client_id=p1  groups=hall-2',
      'publish plant/pump/t  policy: allow  reason=rule  rule=own  qos=0  retain=false',
      '  * allow own (priority 0): matched plant/pump/#',
    ].join('\n'),
  )
})

const answers: Readonly<Record<string, { yes: string[]; no: string[]; badLogin: string }>> = {
  'go-auth': {
    yes: [
      'accepted {"ok":true,"error":"","reason":"authenticated"}',
      'allowed {"ok":true,"error":"","reason":"authorized"}',
    ],
    no: [
      'accepted {"ok":true,"error":"","reason":"authenticated"}',
      'denied {"ok":false,"error":"denied","reason":"denied"}',
    ],
    badLogin: 'refused:wrong-password {"ok":false,"error":"invalid credentials","reason":"invalid credentials"}',
  },
  emqx: {
    yes: ['accepted {"result":"allow","is_superuser":false}', 'allowed {"result":"allow"}'],
    no: ['accepted {"result":"allow","is_superuser":false}', 'denied {"result":"deny"}'],
    badLogin: 'refused:wrong-password {"result":"deny"}',
  },
  rabbitmq: {
    yes: ['accepted allow', 'known allow', 'allowed allow', 'known allow'],
    no: ['accepted allow', 'known allow', 'denied deny', 'known allow'],
    badLogin: 'refused:wrong-password deny',
  },
  vernemq: {
    yes: ['accepted {"result":"ok"}', 'allowed {"result":"ok"}'],
    no: ['accepted {"result":"ok"}', 'denied {"result":{"error":"not_allowed"}}'],
    badLogin: 'refused:wrong-password {"result":{"error":"not_allowed"}}',
  },
}
for (const [dialect, { yes, no, badLogin }] of Object.entries(answers)) {
  test(`hooks try: ${dialect}: an allowed topic, a denied one, and a login that fails`, async () => {
    const login = ['--hook', dialect, ...pump, '--password-file', file('password'), '--do', 'publish']
    const [allowed, sealed, wrong] = await Promise.all([
      json([...login, '--topic', 'plant/pump/t']),
      json([...login, '--topic', 'plant/pump/sealed']),
      json(['--hook', dialect, ...pump, '--password-file', file('wrong'), '--topic', 'plant/pump/t']),
    ])
    assert.deepEqual(told(allowed), yes)
    await isAnsweredSo(allowed)
    assert.deepEqual([allowed.identity?.username, allowed.provider], ['pump', 'devices'])
    assert.deepEqual(told(sealed), no)
    const [decision] = sealed.decisions
    assert.deepEqual([decision?.by, decision?.decision.decision, decision?.decision.rule], ['policy', 'deny', 'sealed'])
    assert.ok(decision?.trace.some(({ rule, applies }) => rule === 'own' && applies))
    assert.deepEqual(told(wrong), [badLogin])
    assert.deepEqual([wrong.identity, wrong.decisions], [undefined, []])
  })
}

test('hooks try: TBMQ is told the rules once; the decision is ours and says why', async () => {
  const args = ['--dialect', 'tbmq', ...pump, '--password-file', file('password'), '--topic', 'plant/pump/t']
  const { code, out, err } = await attempt(args)
  assert.equal(code, 0)
  assert.match(out, /> \{"clientId":"p1","username":"pump","password":"PASSWORD"\}/)
  assert.match(out, /< .*"result":"success".*"pubAuthRulePatterns":\[.*plant.*pump/)
  assert.match(out, /publish plant\/pump\/t {2}policy: allow .*rule=own/)
  assert.match(out, /^who: {2}pump {2}type=device {2}auth=basic {2}provider=devices {2}client_id=p1/m)
  assert.match(err, /note: TBMQ asks once/)
  await isAnsweredSo(await json(args.slice(0, -2)))
})

test('hooks try: a login that is refused says what every provider found, and that nothing more is asked', async () => {
  const about = [...pump, '--password-file', file('wrong'), '--topic', 'plant/pump/t']
  const { out, err } = await attempt(['--dialect', 'go-auth', ...about])
  assert.match(out, /^= refused:wrong-password\n {2}idp: no-credentials\n {2}devices: wrong-password$/m)
  assert.doesNotMatch(out, /\/acl/)
  assert.equal(err, 'note: a broker asks nothing more about a client whose login is refused')
})

test('hooks try: what no rule is about, and TBMQ without a login, come with what to do next', async () => {
  const elsewhere = [...pump, '--password-file', file('password'), '--topic', 'elsewhere', '--do', 'publish']
  const unruled = await attempt(['--hook', 'emqx', ...elsewhere])
  assert.match(unruled.out, /^publish elsewhere {2}policy: deny {2}reason=default$/m)
  assert.equal(unruled.err, 'hint: no rule is about it; --trace says of every rule why')
  const traced = await attempt(['--hook', 'emqx', ...elsewhere, '--trace'])
  assert.match(traced.out, /^ {2}- allow own \(priority 0\): topic /m)
  assert.equal(traced.err, '')
  const silent = await attempt(['--dialect', 'tbmq', ...pump, '--topic', 'plant/pump/t'])
  assert.deepEqual([silent.code, silent.out], [0, ''])
  assert.match(silent.err, /^hint: TBMQ asks only when a client connects; add --password-file$/)
})

test('hooks try: a token, whose rules decide beside the policy', async () => {
  const rule = { id: 'tokens-own', effect: 'allow', actions: ['publish'], topics: ['screens/7'] }
  const exp = Math.floor(Date.now() / 1000) + 600
  await writeFile(file('token'), await tokenOf({ sub: 'screen', aud: 'plant', exp, mqtt: [rule] }))
  const login = ['--dialect', 'go-auth', '--token-file', file('token'), '--client-id', 's7', '--do', 'publish']
  const result = await json([...login, '--topic', 'screens/7'])
  assert.deepEqual(told(result), [
    'accepted {"ok":true,"error":"","reason":"authenticated"}',
    'allowed {"ok":true,"error":"","reason":"authorized"}',
  ])
  assert.match(result.questions[0]?.request ?? '', /\r\nauthorization: Bearer TOKEN\r\n.*\r\n\r\nnull$/s)
  assert.deepEqual(
    result.decisions.map(({ by, decision }) => `${by}: ${decision.decision} ${decision.rule}`),
    ['policy: deny null', 'session rules: allow tokens-own'],
  )
  assert.deepEqual([result.identity?.username, result.provider, result.expiresAt], ['screen', 'idp', exp * 1000])
  assert.deepEqual(
    told(await json([...login, '--topic', 'screens/8'])).at(-1),
    'denied {"ok":false,"error":"denied","reason":"denied"}',
  )
  await writeFile(file('token'), await tokenOf({ sub: 'screen', aud: 'elsewhere', exp }))
  assert.deepEqual(told(await json([...login, '--topic', 'screens/7'])), [
    'refused:token-audience {"ok":false,"error":"invalid credentials","reason":"invalid credentials"}',
  ])
})

test('hooks try: a certificate, where the broker passes it on', async () => {
  const show = async (pem: string) => {
    await writeFile(file('client.pem'), pem)
    const args = [
      '--dialect',
      'vernemq',
      '--certificate-file',
      file('client.pem'),
      '--client-id',
      'v1',
      '--do',
      'publish',
    ]
    return json([...args, '--topic', 'plant/valve-4/t'])
  }
  const shown = await show(buildClient('valve-4', root).pem)
  assert.deepEqual(told(shown), ['accepted {"result":"ok"}', 'allowed {"result":"ok"}'])
  assert.deepEqual([shown.identity?.auth, shown.identity?.cert?.cn], ['x509', 'valve-4'])
  assert.deepEqual(told(await show(buildClient('pump-4', root).pem)), [
    'refused:certificate-unmatched {"result":{"error":"not_allowed"}}',
  ])
  const other = await attempt(['--hook', 'emqx', ...pump, '--certificate-file', file('client.pem')])
  assert.match(other.err, /does not pass certificates on/)
  const none = await attempt(['--hook', 'vernemq', ...pump, '--certificate-file', file('password')])
  assert.deepEqual([none.code, /holds no certificate in PEM/.test(none.err)], [2, true])
})

test('hooks try leaves no session, no unauthorised client and no audit row', async () => {
  const countedBefore = await countRows()
  for (const password of ['password', 'wrong']) {
    const login = ['--password-file', file(password), '--username', 'pump', '--client-id', 'trace-less']
    await json(['--hook', 'emqx', ...login, '--topic', 'elsewhere'])
  }
  assert.deepEqual(await countRows(), countedBefore)
  const later = await json([
    '--hook',
    'emqx',
    '--username',
    'pump',
    '--client-id',
    'trace-less',
    '--topic',
    'plant/pump/t',
  ])
  assert.deepEqual(new Set(told(later)), new Set(['no-session {"result":"deny"}']))
})

test('hooks try: without a password it is about the session that the server has, and without one about nobody', async () => {
  const about = (id: string) => [
    '--dialect',
    'go-auth',
    '--username',
    'pump',
    '--client-id',
    id,
    '--topic',
    'plant/pump/#',
  ]
  const nobody = await attempt(about('p7'))
  assert.match(nobody.out, /^> POST .*\/acl HTTP\/1\.1\n/)
  assert.match(nobody.out, /= no-session/)
  assert.match(nobody.err, /hint: nobody with this user name and client id is logged in/)
  const res = await fetch(`${server.url}/mqtt/hooks/go-auth/${SECRET}/user`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'pump', password: PASSWORD, clientid: 'p7' }),
  })
  assert.equal(res.status, 200)
  const found = await json([...about('p7'), '--do', 'subscribe'])
  assert.deepEqual(told(found), ['allowed {"ok":true,"error":"","reason":"authorized"}'])
  assert.deepEqual([found.identity?.clientId, found.decisions[0]?.decision.rule], ['p7', 'own'])
})

test('hooks try: a broker that does not say the QoS is refused what not every QoS allows, and that is said', async () => {
  const about = [...pump, '--password-file', file('password'), '--do', 'publish', '--topic', 'slow/t']
  const unsaid = await attempt(['--dialect', 'go-auth', ...about])
  assert.match(unsaid.out, /^= denied {2}deny {2}reason=qos-exceeds/m)
  assert.match(unsaid.out, /^publish slow\/t {2}policy: allow/m)
  assert.match(unsaid.err, /note: the broker does not say QoS/)
  const said = await attempt(['--hook', 'emqx', ...about, '--qos', '1'])
  assert.match(said.out, /^= allowed {2}allow {2}reason=rule {2}rule=slow/m)
  assert.equal(said.err, '')
})

test('hooks try: superuser, delivery and what a broker never asks', async () => {
  const login = ['--password-file', file('password'), ...pump]
  const asked = await json([
    '--dialect',
    'go-auth',
    ...login,
    '--superuser',
    '--do',
    'receive',
    '--topic',
    'plant/pump/t',
  ])
  assert.deepEqual(
    asked.questions.map(({ outcome }) => outcome),
    ['accepted', 'no-superuser', 'allowed'],
  )
  const refusals: [string[], RegExp][] = [
    [['--dialect', 'vernemq', ...login, '--superuser'], /does not ask for superusers/],
    [['--dialect', 'rabbitmq', ...login, '--topic', 'a', '--do', 'receive'], /does not ask before deliveries/],
    [['--dialect', 'tbmq', '--token-file', file('wrong'), '--topic', 'a'], /a token is the password/],
    [['--dialect', 'emqx', ...login], /Several hooks fit; name one of: emqx \(emqx\), emqx-2 \(emqx\)/],
    [['--hook', 'nats', ...login], /No hook fits; there are: go-auth \(go-auth\), /],
  ]
  for (const [args, expected] of refusals) {
    const { code, out, err } = await attempt(args)
    assert.deepEqual([code === 0, out], [false, ''])
    assert.match(err, expected)
  }
})

test('hooks try: a question that would be too slow for the server, and rules of the session, are said', async () => {
  const decision = { decision: 'allow', reason: 'rule', rule: 'r', qos: null, retain: null } as const
  const result: TrialResult = {
    hook: 'emqx',
    dialect: 'emqx',
    deadlineMs: 250,
    questions: [
      { request: 'POST / HTTP/1.1\r\n\r\n\u001b[2J', answer: 'HTTP/1.1 200 OK', outcome: 'allowed', tookMs: 251 },
    ],
    identity: {},
    expiresAt: 0,
    decisions: [{ want: { action: 'publish', topic: 'a' }, by: 'session rules', decision, trace: [] }],
  }
  const stub = async () => ({ ...(await operator()), tryHook: async () => result })
  const { out, err } = await runCli(['hooks', 'try', ...pump, '--topic', 'a'], { env, operator: stub })
  assert.equal(err, 'note: it took 251 ms here; the server refuses what it does not know within 250 ms')
  assert.equal(
    out,
    [
      '> POST / HTTP/1.1',
      '>',
      '> \\u{1b}[2J',
      '< HTTP/1.1 200 OK',
      '= allowed',
      '',
      'who:  (no user name)  until=1970-01-01T00:00:00.000Z',
      'publish a  session rules: allow  reason=rule  rule=r',
    ].join('\n'),
  )
})

test('hooks try: misuse is said before anything is opened', async () => {
  const misuse: [string[], RegExp][] = [
    [['--hook', 'emqx'], /What is asked\?/],
    [['--hook', 'emqx', '--topic', 'a'], /Who is asked about\?/],
    [['--hook', 'emqx', ...pump, '--do', 'publish'], /Which topic\?/],
    [['--hook', 'emqx', ...pump, '--password-file', file('missing')], /no such file/],
    [['--dialect', 'hivemq', ...pump], /Allowed choices are/],
    [['--dialect', 'go-auth', '--token-file', file('wrong'), '--password-file', file('wrong')], /not both/],
    [['--dialect', 'go-auth', '--token-file', file('wrong'), '--username', 'pump'], /leave --username out/],
  ]
  const closed = () => Promise.reject(new Error('opened'))
  for (const [args, expected] of misuse) {
    const { code, err } = await runCli(['hooks', 'try', ...args], { env, operator: closed })
    assert.equal(code, 2, err)
    assert.match(err, expected)
  }
})

test('hooks try: a configuration that is none is named with its faults', async () => {
  const without = await attempt(['--hook', 'emqx', ...pump, '--topic', 'a'], { BROKER_AUTH_CONFIG: file('none.json') })
  assert.equal(without.code, 1)
  assert.match(without.err, /Invalid BROKER_AUTH_CONFIG:\n.*none\.json" cannot be read: ENOENT/)
})
