import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createAuthenticator } from '#src/identity/chain.ts'
import type { Provider, Verdict } from '#src/identity/provider.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { imported } from '../policy/importers/imported.ts'
import {
  ask,
  collectingLog,
  credentialsOf,
  type GivenSettings,
  Hands,
  openJwt,
  outcome,
  SECRET,
  type Shown,
  sign,
  withSecret,
} from './jwt-fixture.ts'

const hands = new Hands()
const key = new TextEncoder().encode(SECRET)
const base = { sub: 'u-1', exp: hands.seconds + 3_600 }
const tokenOf = (claims: object = {}) => sign({ ...base, ...claims }, key, { alg: 'HS256' })

const open = (t: TestContext, given: GivenSettings = {}) => openJwt(t, { ...withSecret, ...given }, { clock: hands })

async function identityOf(provider: Provider, claims: object, shown: Shown = {}): Promise<Identity | string> {
  const verdict: Verdict = await ask(provider, { ...shown, password: await tokenOf(claims) })
  return verdict.outcome === 'success' ? verdict.identity : `${verdict.outcome} ${verdict.reason}`
}

/** Some members of an identity, or the refusal. */
async function read(provider: Provider, claims: object, ...members: (keyof Identity)[]): Promise<unknown> {
  const identity = await identityOf(provider, claims)
  return typeof identity === 'string' ? identity : members.map((member) => identity[member])
}

/** CELINE, generation A: what its own tests say, and where ours refuses instead. */
const celine: readonly { claims: object; expect: unknown }[] = [
  { claims: { groups: ['/admins', '/users'] }, expect: ['user', 'u-1', ['admins', 'users'], []] },
  { claims: { client_id: 'svc-1', scope: 'read write' }, expect: ['service', 'svc-1', [], ['read', 'write']] },
  { claims: { clientId: 'svc-2', azp: 'x' }, expect: ['service', 'svc-2', [], []] },
  {
    claims: { realm_access: { roles: ['viewers', 'editors'] }, groups: ['/extra-group'] },
    expect: ['user', 'u-1', ['extra-group', 'viewers', 'editors'], []],
  },
  { claims: { groups: ['/a/b'] }, expect: ['user', 'u-1', ['a/b'], []] },
  {
    claims: { preferred_username: 'service-account-svc-forecast', azp: 'svc-forecast' },
    expect: ['service', 'svc-forecast', [], []],
  },
  { claims: { preferred_username: 'service-account-svc-forecast' }, expect: ['service', 'svc-forecast', [], []] },
  { claims: { client_id: 'svc-1', groups: ['admins'] }, expect: ['service', 'svc-1', [], []] },
  { claims: { scope: ['a', 'b'] }, expect: ['user', 'u-1', [], ['a', 'b']] },
  { claims: { scope: '' }, expect: ['user', 'u-1', [], []] },
  { claims: { groups: 'not-a-list' }, expect: 'refuse token-claim' },
  { claims: { groups: ['a', 1] }, expect: 'refuse token-claim' },
  { claims: { groups: [['a']] }, expect: 'refuse token-claim' },
  { claims: { groups: { a: true } }, expect: 'refuse token-claim' },
  { claims: { scope: ['a', 1, null] }, expect: 'refuse token-claim' },
  { claims: { scope: 42 }, expect: 'refuse token-claim' },
  { claims: { client_id: 7 }, expect: 'refuse token-claim' },
  { claims: { preferred_username: ['service-account-x'] }, expect: 'refuse token-claim' },
]

test('CELINE, subjects: type, id, groups and scopes come from the claims that the reference names', async (t) => {
  const groups = [
    { claim: 'groups', optional: true },
    { claim: 'realm_access.roles', optional: true },
  ]
  const provider = await open(t, { claims: { groups } })
  for (const { claims, expect } of celine)
    assert.deepEqual(await read(provider, claims, 'type', 'sub', 'groups', 'scopes'), expect, JSON.stringify(claims))
})

test('CELINE, generation C: groups of every organisation, whatever its alias', async (t) => {
  const provider = await open(t, { claims: { groups: ['organization.*.groups'] } })
  const organization = {
    greenland: { groups: ['/pipelines.runs.read'] },
    iceland: { groups: ['/admin', '/pipelines.runs.read'] },
  }
  assert.deepEqual(await read(provider, { organization }, 'groups'), [['pipelines.runs.read', 'admin']])
  assert.equal(await read(provider, { organization: { greenland: {} } }, 'groups'), 'refuse token-claim')
  assert.equal(
    await read(provider, { organization: { greenland: { groups: 'admin' } } }, 'groups'),
    'refuse token-claim',
  )
})

/** One claim for each member, all of them needed. */
const needed = {
  claims: {
    username: 'preferred_username',
    groups: ['groups'],
    roles: [['https://acme.io/claims', 'roles']],
    scopes: ['scp'],
    org: 'tenant.id',
  },
}
const complete = {
  preferred_username: 'alice',
  groups: ['g'],
  'https://acme.io/claims': { roles: ['r'] },
  scp: 'a b',
  tenant: { id: 'acme' },
}

test('a claim that the configuration names must be there and of its type, whichever it is', async (t) => {
  const provider = await open(t, needed)
  const members = ['username', 'groups', 'roles', 'scopes', 'org'] as const
  assert.deepEqual(await read(provider, complete, ...members), ['alice', ['g'], ['r'], ['a', 'b'], 'acme'])
  let cases = 0
  for (const name of Object.keys(complete)) {
    for (const value of [
      undefined,
      null,
      7,
      true,
      {},
      [7],
      'x'.repeat(1_025),
      '\ud800',
      'a\0b',
      [''],
      ['a\nb'],
      ['x'.repeat(257)],
      [['a']],
    ]) {
      const claims = { ...complete, [name]: value }
      assert.equal(await read(provider, claims, 'username'), 'refuse token-claim', `${name}: ${JSON.stringify(value)}`)
      cases++
    }
  }
  assert.ok(cases > 60)
  const many = Array.from({ length: 1_001 }, (_, i) => `${i}`)
  assert.equal(await read(provider, { ...complete, groups: many }, 'username'), 'refuse token-claim')
})

test('a missing claim never leaves the name that the client chose', async (t) => {
  const provider = await open(t, { claims: { username: 'preferred_username' }, connect_username: 'ignored' })
  const identity = await identityOf(provider, {}, { username: 'admin' })
  assert.equal(identity, 'refuse token-claim')
  const other = await identityOf(provider, { preferred_username: 'alice' }, { username: 'admin' })
  assert.ok(typeof other === 'object' && other.username === 'alice')
})

test('names of members of an object are never read from its prototype', async (t) => {
  for (const username of ['constructor.name', '__proto__.x', 'toString', 'sub.length']) {
    const provider = await open(t, { claims: { username } })
    assert.equal(await read(provider, {}, 'username'), 'refuse token-claim', username)
  }
})

test('the type of a client is that of the first rule whose conditions all hold', async (t) => {
  const client_type = {
    default: 'device',
    rules: [
      {
        type: 'application',
        when: [
          { claim: 'kind', equals: 'gateway' },
          { claim: 'realm.name', equals: 'prod' },
        ],
      },
      { type: 'service', when: [{ claim: 'bot', equals: true }] },
    ],
  }
  const provider = await open(t, { client_type })
  const typeOf = (claims: object) => read(provider, claims, 'type')
  assert.deepEqual(await typeOf({ kind: 'gateway', realm: { name: 'prod' } }), ['application'])
  assert.deepEqual(await typeOf({ kind: 'gateway', realm: { name: 'test' } }), ['device'], 'one claim differs')
  assert.deepEqual(await typeOf({ kind: 'gateway' }), ['device'])
  assert.deepEqual(await typeOf({ kind: ['gateway'], realm: { name: 'prod' } }), ['device'])
  assert.deepEqual(await typeOf({ bot: true }), ['service'])
  assert.deepEqual(await typeOf({ bot: 'true' }), ['device'])
  assert.deepEqual(await typeOf({ client_id: 'svc' }), ['device'], 'the rules of the reference are gone')
})

test('claims that are expected must be there and equal, also to what the client says of itself', async (t) => {
  const expect = [
    { claim: 'azp', equals: 'mqtt' },
    { claim: 'device', equals: '${clientId}' },
    { claim: 'name', equals: '${username}' },
  ]
  const provider = await open(t, { claims: { expect }, connect_username: 'ignored' })
  const at = async (claims: object, shown: Shown) => {
    const identity = await identityOf(provider, claims, shown)
    return typeof identity === 'string' ? identity : 'success'
  }
  const right = { azp: 'mqtt', device: 'd-1', name: 'alice' }
  const shown = { clientId: 'd-1', username: 'alice' }
  assert.equal(await at(right, shown), 'success')
  for (const [claims, other] of [
    [{ ...right, azp: 'web' }, shown],
    [{ ...right, azp: ['mqtt'] }, shown],
    [{ device: 'd-1', name: 'alice' }, shown],
    [right, { ...shown, clientId: 'd-2' }],
    [right, { ...shown, username: 'bob' }],
    [right, { clientId: 'd-1' }],
    [{ azp: 'mqtt', device: 'd-1' }, { clientId: 'd-1' }], // neither a claim nor a name is no match
    [{ ...right, name: '${username}' }, { clientId: 'd-1' }],
  ] as const)
    assert.equal(await at(claims, other), 'refuse token-claim', JSON.stringify([claims, other]))
})

test('H1, H3, H5: a token in the header, in the password or as the username', async (t) => {
  const provider = await open(t)
  const token = await tokenOf()
  for (const shown of [
    { bearer: token },
    { password: token },
    { username: 'u-1', password: token },
    { username: token, password: 'anything' },
    { username: token },
    { username: token, password: token },
    { username: '', password: token },
    { bearer: token, username: token },
  ]) {
    const verdict = await ask(provider, shown)
    assert.ok(verdict.outcome === 'success' && verdict.identity.username === 'u-1', Object.keys(shown).join())
  }
})

test('a token counts only where the configuration looks for one', async (t) => {
  const provider = await open(t, { token_from: ['password'] })
  const token = await tokenOf()
  assert.equal(await outcome(provider, { password: token }), 'success')
  assert.equal(await outcome(provider, { bearer: token }), 'skip no-credentials')
  assert.equal(await outcome(provider, { username: token, password: 'x' }), 'skip no-credentials')
})

test('H6: tokens in several places must be of one subject and one issuer, and all be good', async (t) => {
  const provider = await open(t)
  const [one, same, other] = [await tokenOf(), await tokenOf({ n: 2 }), await tokenOf({ sub: 'u-2' })]
  assert.equal(await outcome(provider, { bearer: one, password: same }), 'success')
  assert.equal(await outcome(provider, { bearer: one, password: other }), 'refuse username-mismatch')
  assert.equal(await outcome(provider, { bearer: other, password: one }), 'refuse username-mismatch')
  assert.equal(await outcome(provider, { password: one, username: other }), 'refuse username-mismatch')
  assert.equal(
    await outcome(provider, { bearer: one, password: await tokenOf({ iss: 'https://other' }) }),
    'refuse username-mismatch',
  )
  assert.equal(await outcome(provider, { bearer: one, password: await tokenOf({ exp: 1 }) }), 'refuse token-expired')
  assert.equal(await outcome(provider, { bearer: one, password: `${one}.x` }), 'refuse token-malformed')
  assert.equal(await outcome(provider, { bearer: one, username: 'u-1', password: 'no token' }), 'success')
  const strict = await open(t, { issuer: 'https://idp' })
  const ours = await tokenOf({ iss: 'https://idp' })
  assert.equal(
    await outcome(strict, { bearer: ours, password: one }),
    'refuse username-mismatch',
    'one is of nobody we know',
  )
  assert.equal(await outcome(strict, { bearer: one, password: ours }), 'refuse username-mismatch')
  assert.equal(await outcome(strict, { bearer: one, password: other }), 'skip token-issuer', 'both are')
})

test('H7: a username beside the token is one of its names, or the client is refused', async (t) => {
  const provider = await open(t, { claims: { username: 'email' } })
  const password = await tokenOf({ email: 'alice@acme.io', preferred_username: 'alice', client_id: 'web' })
  for (const username of ['alice@acme.io', 'alice', 'u-1', 'web', ''])
    assert.equal(await outcome(provider, { username, password }), 'success', username)
  for (const username of [
    'bob',
    'Alice',
    'alice ',
    'alice\0',
    'service-account-web',
    'undefined',
    password.slice(0, -1),
  ])
    assert.notEqual(await outcome(provider, { username, password }), 'success', username)
  assert.equal(await outcome(provider, { username: 'bob', password }), 'refuse username-mismatch')
  assert.equal(await outcome(provider, { username: 'bob', bearer: password }), 'refuse username-mismatch')
})

test('in a chain a token of another issuer goes on to the next provider, and a bad one of this issuer does not', async (t) => {
  const one = await openJwt(t, { ...withSecret, issuer: 'https://one' }, { clock: hands, name: 'one' })
  const two = await openJwt(
    t,
    { secret: { env: 'TWO' }, audience: '*', issuer: 'https://two' },
    { clock: hands, name: 'two', env: { TWO: 'z'.repeat(32) } },
  )
  const asked: string[] = []
  const last: Provider = {
    name: 'users',
    authenticate: async () => {
      asked.push('users')
      return { outcome: 'skip', reason: 'unknown-user' }
    },
    holds: () => false,
  }
  const chain = createAuthenticator({
    providers: [one, two, last],
    clientIds: () => true,
    blocked: { judge: () => undefined },
    refusals: { note() {} },
    log: collectingLog(),
  })
  const at = async (shown: Shown) => {
    asked.length = 0
    const found = await chain.authenticate(credentialsOf(shown), new AbortController().signal)
    return 'accepted' in found
      ? found.accepted.provider
      : found.refused.tried.map((one) => `${one.provider} ${one.reason}`)
  }
  const zs = new TextEncoder().encode('z'.repeat(32))
  const ofOne = await tokenOf({ iss: 'https://one' })
  const ofTwo = await sign({ ...base, iss: 'https://two' }, zs, { alg: 'HS256' })
  assert.equal(await at({ password: ofOne }), 'one')
  assert.equal(await at({ password: ofTwo }), 'two')
  const forged = await sign({ ...base, iss: 'https://one' }, zs, { alg: 'HS256' })
  assert.deepEqual(await at({ password: forged }), ['one token-signature'])
  assert.deepEqual(await at({ password: await tokenOf({ iss: 'https://one', exp: 1 }) }), ['one token-expired'])
  assert.deepEqual(asked, [], 'the users file is not asked about it')
  assert.deepEqual(await at({ username: 'u', password: 'password123' }), [
    'one no-credentials',
    'two no-credentials',
    'users unknown-user',
  ])
  assert.deepEqual(await at({ password: await tokenOf({ iss: 'https://three' }) }), [
    'one token-issuer',
    'two token-issuer',
    'users unknown-user',
  ])
  const accepted = await chain.authenticate(credentialsOf({ password: ofTwo }), new AbortController().signal)
  assert.ok('accepted' in accepted && chain.holds(accepted.accepted))
  assert.ok(!one.holds(accepted.accepted.grant), 'a grant is of one provider')
})

test('settings that change withdraw what was accepted under others', async (t) => {
  const [before, after] = [await open(t), await open(t, { claims: { expect: [{ claim: 'vip', equals: true }] } })]
  const verdict = await ask(before, { password: await tokenOf() })
  assert.ok(verdict.outcome === 'success')
  assert.deepEqual(
    [before.holds(verdict.grant), after.holds(verdict.grant), (await open(t)).holds(verdict.grant)],
    [true, false, true],
  )
  const rotated = await openJwt(t, withSecret, { clock: hands, env: { JWT_SECRET: 'y'.repeat(32) } })
  assert.equal(rotated.holds(verdict.grant), false)
})

/** "Security & ACL", claim → ACL binding. */
const page = {
  sub: 'user_a8b2c3',
  email: 'alice@acme.io',
  agent_id: 'agent_research_42',
  session_id: 'sess_zk9p2x',
  role: 'engineer',
}

test('"Security & ACL", Your JWT Is Your MQTT Identity: claims of the token fill the variables of the policy', async (t) => {
  const provider = await open(t)
  const identity = await identityOf(provider, page)
  assert.ok(typeof identity === 'object')
  const bindings = {
    user_id: page.sub,
    email: page.email,
    agent_id: page.agent_id,
    session_id: page.session_id,
    role: page.role,
    client_id: 'c1',
  }
  for (const [name, value] of Object.entries(bindings)) {
    const rules = [{ topic: `{${name}}/inbox`, action: 'subscribe', effect: 'allow' }]
    const subject = imported('cloudsignal', { version: '2.0', default_action: 'deny', rules }).as(identity)
    assert.ok(subject.allows('subscribe', `${value}/inbox`) && !subject.allows('subscribe', 'other/inbox'), name)
  }
})

/** What tokens of the providers that the page names look like, and what a section for them says. */
const providers: readonly { name: string; claims: object; given?: GivenSettings; expect: object }[] = [
  {
    name: 'Supabase',
    claims: {
      iss: 'https://p.supabase.co/auth/v1',
      aud: 'authenticated',
      sub: '5f1c',
      role: 'authenticated',
      email: page.email,
      session_id: page.session_id,
      app_metadata: { provider: 'email', roles: ['engineer'] },
      user_metadata: {},
      is_anonymous: false,
    },
    given: { audience: 'authenticated', claims: { roles: ['app_metadata.roles'] } },
    expect: { username: '5f1c', type: 'user', roles: ['engineer'] },
  },
  {
    name: 'Firebase',
    claims: {
      iss: 'https://securetoken.google.com/acme',
      aud: 'acme',
      sub: 'uid7',
      user_id: 'uid7',
      email: page.email,
      email_verified: true,
      firebase: { identities: { email: [page.email] }, sign_in_provider: 'password', tenant: 't-1' },
    },
    given: {
      audience: 'acme',
      claims: { username: 'email', org: 'firebase.tenant', expect: [{ claim: 'email_verified', equals: true }] },
    },
    expect: { username: page.email, sub: 'uid7', org: 't-1' },
  },
  {
    name: 'Auth0',
    claims: {
      iss: 'https://acme.eu.auth0.com/',
      aud: ['https://mqtt.acme.io', 'https://acme.eu.auth0.com/userinfo'],
      sub: 'auth0|7',
      azp: 'web',
      scope: 'openid mqtt.read',
      'https://acme.io/groups': ['viewers'],
    },
    given: { audience: 'https://mqtt.acme.io', claims: { groups: [['https://acme.io/groups']] } },
    expect: { username: 'auth0|7', type: 'user', groups: ['viewers'], scopes: ['openid', 'mqtt.read'] },
  },
  {
    name: 'Auth0, client credentials',
    claims: {
      iss: 'https://acme.eu.auth0.com/',
      aud: 'https://mqtt.acme.io',
      sub: 'svc7@clients',
      azp: 'svc7',
      gty: 'client-credentials',
      scope: 'mqtt.write',
    },
    given: {
      audience: 'https://mqtt.acme.io',
      client_type: { rules: [{ type: 'service', when: [{ claim: 'gty', equals: 'client-credentials' }] }] },
    },
    expect: { type: 'service', sub: 'svc7', scopes: ['mqtt.write'] },
  },
  {
    name: 'Clerk',
    claims: {
      iss: 'https://clerk.acme.io',
      sub: 'user_2x',
      sid: page.session_id,
      azp: 'https://acme.io',
      org_id: 'org_9',
      org_role: 'org:admin',
    },
    given: { claims: { org: 'org_id', expect: [{ claim: 'azp', equals: 'https://acme.io' }] } },
    expect: { username: 'user_2x', org: 'org_9', type: 'user' },
  },
  {
    name: 'a custom OIDC provider with agents',
    claims: { iss: 'https://idp.acme.io', sub: page.sub, agent_id: page.agent_id, role: page.role },
    given: { claims: { username: 'agent_id' } },
    expect: { username: page.agent_id, sub: page.sub },
  },
]

test('"Security & ACL", Native external IdP: tokens of the providers that the page names are identities', async (t) => {
  for (const { name, claims, given, expect } of providers) {
    const identity = await identityOf(await open(t, given), claims)
    assert.ok(typeof identity === 'object', `${name}: ${JSON.stringify(identity)}`)
    for (const [member, value] of Object.entries(expect))
      assert.deepEqual(identity[member as keyof Identity], value, `${name}: ${member}`)
    assert.deepEqual(identity.claims, { ...base, ...claims }, name)
  }
})

test('"Security & ACL", Traffic Governed at the Broker: alice is allowed her inbox, the agent not that of another', async (t) => {
  const provider = await open(t)
  const rules = [
    { topic: '/{email}/inbox', action: 'subscribe', effect: 'allow' },
    { topic: '/{agent_id}/inbox', action: 'subscribe', effect: 'allow' },
  ]
  const policy = imported('cloudsignal', { version: '2.0', default_action: 'deny', rules }, { stripLeadingSlash: true })
  const alice = await identityOf(provider, { sub: page.sub, email: page.email })
  const agent = await identityOf(provider, { sub: 'agent', agent_id: page.agent_id })
  assert.ok(typeof alice === 'object' && typeof agent === 'object')
  assert.equal(policy.as(alice).decide('subscribe', 'alice@acme.io/inbox').decision, 'allow')
  assert.deepEqual(
    [
      policy.as(agent).decide('subscribe', 'agent_planning_91/inbox').decision,
      policy.as(agent).decide('subscribe', 'agent_planning_91/inbox').reason,
    ],
    ['deny', 'default'],
  )
  assert.ok(policy.as(agent).allows('subscribe', 'agent_research_42/inbox'))
  const injected = await identityOf(provider, { sub: 'x', email: '+', agent_id: 'a/#' })
  assert.ok(typeof injected === 'object')
  for (const topic of ['alice@acme.io/inbox', '+/inbox', 'a/#', 'a/b/inbox'])
    assert.ok(!policy.as(injected).allows('subscribe', topic), topic)
})

/** The rules of a verdict as a session, with nothing stored beside. */
async function ownRules(provider: Provider, claims: object) {
  const verdict = await ask(provider, { password: await tokenOf(claims) })
  if (verdict.outcome !== 'success') return `${verdict.outcome} ${verdict.reason}`
  if (verdict.rules === undefined) return 'no rules'
  const { policy } = parsePolicy(verdict.rules)
  assert.ok(policy)
  const session = createSession(compilePolicy(policy), verdict.identity)
  return (action: 'publish' | 'subscribe', topic: string) => session.decide({ action, topic }).decision
}

test('"Security model", rules from token claims: client type and topic patterns of one session', async (t) => {
  const provider = await open(t, {
    client_type: {
      default: 'device',
      rules: [{ type: 'application', when: [{ claim: 'clientType', equals: 'APPLICATION' }] }],
    },
    claims: { rules: { format: 'tbmq', publish_claim: 'pub', subscribe_claim: 'acl.sub' } },
  })
  const claims = {
    clientType: 'APPLICATION',
    pub: ['sensors/device-001/.*'],
    acl: { sub: ['commands/device-001/[^/]+'] },
  }
  assert.deepEqual(await read(provider, claims, 'type'), ['application'])
  const decide = await ownRules(provider, claims)
  assert.ok(typeof decide === 'function')
  assert.deepEqual(
    [
      decide('publish', 'sensors/device-001/t'),
      decide('publish', 'sensors/device-002/t'),
      decide('subscribe', 'commands/device-001/+'),
      decide('subscribe', 'commands/device-001/#'),
    ],
    ['allow', 'deny', 'allow', 'deny'],
  )
  const none = await ownRules(provider, { pub: [], acl: { sub: [] } })
  assert.ok(typeof none === 'function' && none('publish', 'a') === 'deny' && none('subscribe', '#') === 'deny')
  for (const broken of [
    { pub: ['a'] },
    { acl: { sub: ['a'] } },
    {},
    { pub: 'a', acl: { sub: [] } },
    { pub: null, acl: { sub: [] } },
    { pub: [7], acl: { sub: [] } },
    { pub: ['('], acl: { sub: [] } },
    { pub: ['(?=a)a'], acl: { sub: [] } },
    { pub: Array.from({ length: 101 }, (_, i) => `a${i}`), acl: { sub: [] } },
  ])
    assert.equal(await ownRules(provider, broken), 'refuse rules-invalid', JSON.stringify(broken).slice(0, 80))
})

test('rules of a policy document, and of EMQX, come from one claim; one fault refuses all', async (t) => {
  const provider = await open(t, { claims: { rules: { format: 'rules', claim: 'mqtt.rules' } } })
  const rules = [{ id: 'own', effect: 'allow', actions: ['publish'], topics: ['d/${clientId}/#'] }]
  const decide = await ownRules(provider, { mqtt: { rules } })
  assert.ok(
    typeof decide === 'function' && decide('publish', 'd/c1/t') === 'allow' && decide('publish', 'd/c2/t') === 'deny',
  )
  for (const broken of [
    {},
    { mqtt: { rules: {} } },
    { mqtt: { rules: [{ id: 'x' }] } },
    { mqtt: { rules: [...rules, ...rules] } },
    { mqtt: { rules: [{ ...rules[0], effect: 'ALLOW' }] } },
  ])
    assert.equal(await ownRules(provider, broken), 'refuse rules-invalid', JSON.stringify(broken))
  const emqx = await open(t, { claims: { rules: { format: 'emqx', claim: 'acl' } } })
  const acl = [
    { permission: 'allow', action: 'publish', topic: 'd/${clientid}/#' },
    { permission: 'deny', action: 'all', topic: '#' },
  ]
  const other = await ownRules(emqx, { acl })
  assert.ok(typeof other === 'function' && other('publish', 'd/c1/t') === 'allow' && other('publish', 'e') === 'deny')
  assert.equal(await ownRules(emqx, { acl: { pub: ['a'] } }), 'refuse rules-invalid')
})

test('rules at a path that leads to several places are none: nobody can say which of them count', async (t) => {
  const provider = await open(t, { claims: { rules: { format: 'rules', claim: 'organization.*.rules' } } })
  const [wide, none] = [[{ id: 'own', effect: 'allow', topics: ['#'] }], [{ id: 'no', effect: 'deny', topics: ['#'] }]]
  const one = await ownRules(provider, { organization: { a: { rules: wide } } })
  assert.ok(typeof one === 'function' && one('publish', 'x') === 'allow')
  assert.equal(
    await ownRules(provider, { organization: { a: { rules: wide }, b: { rules: none } } }),
    'refuse rules-invalid',
  )
  const lists = await open(t, {
    claims: { rules: { format: 'tbmq', publish_claim: 'organization.*.pub', optional: true } },
  })
  const organization = { a: { pub: ['a'] }, b: { pub: ['b'] } }
  assert.equal(await ownRules(lists, { organization }), 'refuse rules-invalid')
})

test('a token may do without rules only where the configuration says so', async (t) => {
  const provider = await open(t, {
    claims: { rules: { format: 'tbmq', publish_claim: 'pub', subscribe_claim: 'sub_rules', optional: true } },
  })
  assert.equal(await ownRules(provider, {}), 'no rules')
  const half = await ownRules(provider, { pub: ['a'] })
  assert.ok(typeof half === 'function' && half('publish', 'a') === 'allow' && half('subscribe', 'a') === 'deny')
  assert.equal(await ownRules(provider, { pub: 'a' }), 'refuse rules-invalid')
})

test('what is wrong with claims is told to the operator, once in ten seconds and without a value of them', async (t) => {
  const log = collectingLog()
  const clock = new Hands()
  const provider = await openJwt(t, { ...withSecret, claims: { username: 'email' } }, { clock, log })
  for (let i = 0; i < 5; i++) await ask(provider, { password: await tokenOf({ email: ['canary@acme.io'], n: i }) })
  clock.advance(10)
  await ask(provider, { password: await tokenOf({ email: 7 }) })
  assert.equal(log.lines.length, 2)
  const told = JSON.stringify(log.lines)
  assert.ok(told.includes('claim email') && !told.includes('canary'))
})
