import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseStrictJson } from '#src/core/strict-json.ts'
import type { GuardedRequest } from '#src/outbound/guarded-request.ts'
import { ask, Hands, jwkOf, openJwt, outcome, pairOf, sign } from './jwt-fixture.ts'

const readme = readFileSync(new URL('../../src/identity/jwt/README.md', import.meta.url), 'utf8')
const [, block = ''] = /```json\n(.*?)```/s.exec(readme) ?? []
type Section = Readonly<Record<string, unknown>> & { readonly issuer: string }
const sections = parseStrictJson(block) as Readonly<Record<'keycloak' | 'auth0' | 'supabase' | 'firebase', Section>>

const keys = pairOf('rsa')
const clock = new Hands()

/** The web as these issuers have it; whatever else is asked for is not there. */
const pages: Readonly<Record<string, object>> = {
  'https://sso.plant.example/realms/plant/.well-known/openid-configuration': {
    issuer: 'https://sso.plant.example/realms/plant',
    jwks_uri: 'https://sso.plant.example/realms/plant/protocol/openid-connect/certs',
  },
  'https://plant.eu.auth0.com/.well-known/openid-configuration': {
    issuer: 'https://plant.eu.auth0.com/',
    jwks_uri: 'https://plant.eu.auth0.com/.well-known/jwks.json',
  },
}
const keySets = [
  'https://sso.plant.example/realms/plant/protocol/openid-connect/certs',
  'https://plant.eu.auth0.com/.well-known/jwks.json',
  'https://abcdefgh.supabase.co/auth/v1/.well-known/jwks.json',
  'https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com',
]

const web: GuardedRequest = Object.assign(
  async ({ url }: { readonly url: string }) => {
    const page = keySets.includes(url)
      ? { keys: [{ ...jwkOf(keys), kid: 'k1', use: 'sig', alg: 'RS256' }] }
      : Object.hasOwn(pages, url)
        ? pages[url]
        : undefined
    const body = new TextEncoder().encode(JSON.stringify(page ?? {}))
    return { status: page === undefined ? 404 : 200, headers: {}, body }
  },
  { close: () => {} },
)

/** Claims as these issuers document them, for a person and for what their projects refuse. */
const people: readonly {
  readonly name: keyof typeof sections
  readonly claims: Readonly<Record<string, unknown>>
  readonly identity: Readonly<Record<string, unknown>>
  readonly refused: Readonly<Record<string, readonly [object, string]>>
}[] = [
  {
    name: 'keycloak',
    claims: {
      iss: 'https://sso.plant.example/realms/plant',
      jti: 'onrtac:4a1c',
      aud: ['mqtt', 'account'],
      sub: '36fa0f91-f94d-4a0c-afed-6b7d952e47da',
      typ: 'Bearer',
      azp: 'dashboard',
      acr: '1',
      'allowed-origins': ['https://dashboard.plant.example'],
      realm_access: { roles: ['offline_access', 'default-roles-plant', 'operator'] },
      resource_access: { account: { roles: ['manage-account', 'view-profile'] } },
      scope: 'openid profile email',
      email_verified: true,
      groups: ['/line-1', '/line-1/admins'],
      preferred_username: 'anna',
      email: 'anna@plant.example',
    },
    identity: {
      username: 'anna',
      type: 'user',
      sub: '36fa0f91-f94d-4a0c-afed-6b7d952e47da',
      groups: ['line-1', 'line-1/admins'],
      roles: ['offline_access', 'default-roles-plant', 'operator'],
      scopes: ['openid', 'profile', 'email'],
    },
    refused: {
      'an ID token': [{ typ: 'ID' }, 'refuse token-claim'],
      'no audience mapper': [{ aud: 'account' }, 'refuse token-audience'],
      'another realm': [{ iss: 'https://sso.plant.example/realms/other' }, 'skip token-issuer'],
      'an issuer with a slash more': [{ iss: 'https://sso.plant.example/realms/plant/' }, 'skip token-issuer'],
    },
  },
  {
    name: 'auth0',
    claims: {
      iss: 'https://plant.eu.auth0.com/',
      sub: 'auth0|6553da60a54af58e29493993',
      aud: ['https://mqtt.plant.example', 'https://plant.eu.auth0.com/userinfo'],
      azp: 'K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja',
      scope: 'openid profile',
    },
    identity: {
      username: 'auth0|6553da60a54af58e29493993',
      type: 'user',
      sub: 'auth0|6553da60a54af58e29493993',
      groups: [],
      roles: [],
      scopes: ['openid', 'profile'],
    },
    refused: { 'an ID token': [{ aud: 'K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja' }, 'refuse token-audience'] },
  },
  {
    name: 'supabase',
    claims: {
      iss: 'https://abcdefgh.supabase.co/auth/v1',
      aud: 'authenticated',
      sub: '123e4567-e89b-12d3-a456-426614174000',
      role: 'authenticated',
      aal: 'aal1',
      session_id: '5d2f8ac4-4ed7-4e06-bb15-1c1c0c2c8e2b',
      email: 'anna@plant.example',
      phone: '',
      is_anonymous: false,
      app_metadata: { provider: 'email', providers: ['email'] },
      user_metadata: { email_verified: true, groups: ['admins'] },
      amr: [{ method: 'password', timestamp: 1_640_991_600 }],
    },
    identity: {
      username: '123e4567-e89b-12d3-a456-426614174000',
      type: 'user',
      sub: '123e4567-e89b-12d3-a456-426614174000',
      groups: [],
      roles: [],
      scopes: [],
    },
    refused: {
      'somebody who signed in as nobody': [{ is_anonymous: true }, 'refuse token-claim'],
      'a token that does not say who may not be nobody': [{ is_anonymous: undefined }, 'refuse token-claim'],
      'the key of the project': [{ aud: undefined, role: 'anon', sub: undefined }, 'refuse token-audience'],
    },
  },
  {
    name: 'firebase',
    claims: {
      iss: 'https://securetoken.google.com/plant-123',
      aud: 'plant-123',
      auth_time: 1_700_000_000,
      user_id: 'Zt6wE5rLx0T6bJvQ',
      sub: 'Zt6wE5rLx0T6bJvQ',
      email: 'anna@plant.example',
      email_verified: true,
      firebase: { identities: { email: ['anna@plant.example'] }, sign_in_provider: 'password' },
    },
    identity: {
      username: 'anna@plant.example',
      type: 'user',
      sub: 'Zt6wE5rLx0T6bJvQ',
      groups: [],
      roles: [],
      scopes: [],
    },
    refused: {
      'a name that nobody has verified': [{ email_verified: false }, 'refuse token-claim'],
      'somebody without a name': [{ email: undefined }, 'refuse token-claim'],
      'another project': [{ aud: 'plant-124' }, 'refuse token-audience'],
    },
  },
]

const tokenOf = (claims: object) =>
  sign({ iat: clock.seconds, exp: clock.seconds + 3_600, ...claims }, keys.privateKey, {
    alg: 'RS256',
    kid: 'k1',
    typ: 'JWT',
  })

for (const { name, claims, identity, refused } of people) {
  test(`${name}: what the README says to write makes an identity of its tokens`, async (t) => {
    const provider = await openJwt(t, sections[name], { clock, request: web })
    const verdict = await ask(provider, { password: await tokenOf(claims) })
    assert.ok(verdict.outcome === 'success', JSON.stringify(verdict))
    const { username, type, sub, groups, roles, scopes, claims: all } = verdict.identity
    assert.deepEqual({ username, type, sub, groups, roles, scopes }, identity)
    assert.equal(all?.['email'], claims['email'], 'policies can ask for every claim')
    for (const [what, [change, expected]] of Object.entries(refused))
      assert.equal(await outcome(provider, { password: await tokenOf({ ...claims, ...change }) }), expected, what)
  })
}

test('services: the accounts of Keycloak and the machines of Auth0', async (t) => {
  const keycloak = await openJwt(t, sections.keycloak, { clock, request: web })
  const auth0 = await openJwt(t, sections.auth0, { clock, request: web })
  const account = {
    iss: sections.keycloak.issuer,
    aud: 'mqtt',
    typ: 'Bearer',
    sub: 'b0f4-uuid',
    azp: 'collector',
    client_id: 'collector',
    preferred_username: 'service-account-collector',
    clientHost: '192.0.2.7',
    scope: 'mqtt.write',
    groups: ['/admins'],
  }
  const machine = {
    iss: sections.auth0.issuer,
    aud: 'https://mqtt.plant.example',
    sub: 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients',
    azp: 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx',
    gty: 'client-credentials',
    scope: 'mqtt.write',
  }
  for (const [provider, claims, sub] of [
    [keycloak, account, 'collector'],
    [auth0, machine, 'awZfdIir8YFdGZWkvCejDoUb7SjTDicx'],
  ] as const) {
    const verdict = await ask(provider, { username: sub, password: await tokenOf(claims) })
    assert.ok(verdict.outcome === 'success', JSON.stringify(verdict))
    const { type, sub: known, groups, scopes } = verdict.identity
    assert.deepEqual({ type, sub: known, groups, scopes }, { type: 'service', sub, groups: [], scopes: ['mqtt.write'] })
  }
})
