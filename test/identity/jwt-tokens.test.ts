import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { CompactEncrypt } from 'jose'
import { KeyFault } from '#src/identity/jwt/keys.ts'
import { jwtProviderSchema } from '#src/identity/jwt/settings.ts'
import {
  ask,
  forge,
  Hands,
  openJwt,
  outcome,
  pairOf,
  pemOf,
  SECRET,
  sign,
  startIssuer,
  unsigned,
  withSecret,
} from './jwt-fixture.ts'

const folder = mkdtempSync(join(tmpdir(), 'sealwire-jwt-'))
after(() => rmSync(folder, { recursive: true }))

function fileOf(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const ISSUER = 'https://idp.example/realms/celine'
const clock = new Hands()
const good = { iss: ISSUER, sub: 'u-1', aud: 'mqtt', exp: clock.seconds + 3_600 }
const secretBytes = new TextEncoder().encode(SECRET)
const hs256 = (claims: Readonly<Record<string, unknown>> | string, header = {}) =>
  sign(claims, secretBytes, { alg: 'HS256', ...header })
const text = JSON.stringify

const ours = { ...withSecret, issuer: ISSUER, audience: 'mqtt' }

test('a token of the issuer is accepted, and tells who the client is', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  const verdict = await ask(provider, {
    password: await hs256({ ...good, groups: ['/viewers', 'viewers'], scope: 'mqtt.read mqtt.write' }),
  })
  assert.equal(verdict.outcome, 'success')
  assert.ok(verdict.outcome === 'success')
  const { claims, ...identity } = verdict.identity
  assert.deepEqual(identity, {
    clientId: 'c1',
    username: 'u-1',
    sub: 'u-1',
    type: 'user',
    auth: 'jwt',
    groups: ['viewers'],
    roles: [],
    scopes: ['mqtt.read', 'mqtt.write'],
    ip: '192.0.2.7',
    protocol: 5,
    tls: true,
  })
  assert.equal(claims?.['iss'], ISSUER)
  assert.equal(verdict.expiresAt, (good.exp + 30) * 1_000, 'the skew of clocks counts')
  assert.ok(provider.holds(verdict.grant) && verdict.grant.length <= 256 && !verdict.grant.includes(SECRET))
  assert.ok(!provider.holds('') && !provider.holds(`${verdict.grant}x`) && !provider.holds(verdict.grant.slice(0, 17)))
})

/** What is wrong with a token, and what becomes of it. The signature is right unless that is what is wrong. */
const claimCases: readonly { name: string; claims: Readonly<Record<string, unknown>>; reason: string }[] = [
  { name: 'H13: expired by 10 s with a skew of 30', claims: { exp: clock.seconds - 10 }, reason: 'success' },
  {
    name: 'H13: expired by 40 s with a skew of 30',
    claims: { exp: clock.seconds - 40 },
    reason: 'refuse token-expired',
  },
  { name: 'expired by exactly the skew', claims: { exp: clock.seconds - 30 }, reason: 'refuse token-expired' },
  { name: 'valid in 20 s', claims: { nbf: clock.seconds + 20 }, reason: 'success' },
  { name: 'not yet valid', claims: { nbf: clock.seconds + 40 }, reason: 'refuse token-not-yet-valid' },
  { name: 'H14: no exp', claims: { exp: undefined }, reason: 'refuse token-claim' },
  { name: 'exp is text', claims: { exp: String(good.exp) }, reason: 'refuse token-claim' },
  { name: 'exp is null', claims: { exp: null }, reason: 'refuse token-claim' },
  { name: 'nbf is text', claims: { nbf: '0' }, reason: 'refuse token-claim' },
  { name: 'another audience', claims: { aud: 'web' }, reason: 'refuse token-audience' },
  { name: 'no audience', claims: { aud: undefined }, reason: 'refuse token-audience' },
  { name: 'a list of audiences with ours', claims: { aud: ['web', 'mqtt'] }, reason: 'success' },
  { name: 'an audience that begins like ours', claims: { aud: 'mqtt2' }, reason: 'refuse token-audience' },
  { name: 'another issuer', claims: { iss: 'https://other.example' }, reason: 'skip token-issuer' },
  { name: 'an issuer that begins like ours', claims: { iss: `${ISSUER}/` }, reason: 'skip token-issuer' },
  { name: 'no issuer', claims: { iss: undefined }, reason: 'skip token-issuer' },
  { name: 'a list of issuers', claims: { iss: [ISSUER] }, reason: 'skip token-issuer' },
  { name: 'no subject', claims: { sub: undefined }, reason: 'refuse token-claim' },
  { name: 'an empty subject', claims: { sub: '' }, reason: 'refuse token-claim' },
  { name: 'a subject that is a number', claims: { sub: 7 }, reason: 'refuse token-claim' },
]

test('claims of time, issuer, audience and subject', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  for (const { name, claims, reason } of claimCases) {
    const token = await hs256({ ...good, ...claims })
    assert.equal(await outcome(provider, { password: token }), reason, name)
    assert.equal(await outcome(provider, { bearer: token }), reason, `${name}, in the header`)
  }
})

/** Whether a text is the one spelling of some bytes. */
const decodes = (part: string) => Buffer.from(part, 'base64url').toString('base64url') === part

const seven = text(good)
const header = (more: object) => text({ alg: 'HS256', ...more })

/** Tokens that no honest issuer makes; each is signed with the right secret where it is signed at all. */
const hostile: readonly { name: string; token: string; reason?: string }[] = [
  { name: 'alg none', token: unsigned(text({ alg: 'none' }), seven), reason: 'refuse token-signature' },
  { name: 'alg None', token: unsigned(text({ alg: 'None' }), seven), reason: 'refuse token-signature' },
  { name: 'alg none with a signature', token: forge(text({ alg: 'none' }), seven), reason: 'refuse token-signature' },
  { name: 'no signature', token: unsigned(header({}), seven), reason: 'refuse token-signature' },
  {
    name: 'signed with another secret',
    token: forge(header({}), seven, `${SECRET}x`),
    reason: 'refuse token-signature',
  },
  {
    name: 'an algorithm that is not there',
    token: forge(text({ alg: 'HS1' }), seven),
    reason: 'refuse token-signature',
  },
  {
    name: 'an algorithm that is not configured',
    token: forge(text({ alg: 'HS512' }), seven),
    reason: 'refuse token-signature',
  },
  {
    name: 'an algorithm for encryption',
    token: forge(text({ alg: 'dir', enc: 'A256GCM' }), seven),
    reason: 'refuse token-signature',
  },
  { name: 'crit with an extension', token: forge(header({ crit: ['x'], x: 1 }), seven) },
  { name: 'crit with exp', token: forge(header({ crit: ['exp'], exp: 1 }), seven) },
  { name: 'an empty crit', token: forge(header({ crit: [] }), seven) },
  { name: 'b64 false', token: forge(header({ b64: false, crit: ['b64'] }), seven) },
  { name: 'b64 false that is not critical', token: forge(header({ b64: false }), seven) },
  {
    name: 'a member of the header twice',
    token: forge('{"alg":"HS256","alg":"HS256"}', seven),
    reason: 'skip no-credentials',
  },
  { name: 'kid is a number', token: forge(header({ kid: 7 }), seven) },
  { name: 'kid is an object', token: forge(header({ kid: { $ne: '' } }), seven) },
  { name: 'kid of 300 characters', token: forge(header({ kid: 'k'.repeat(300) }), seven) },
  { name: 'a claim twice', token: forge(header({}), `{"sub":"u-2",${seven.slice(1)}`) },
  { name: 'a claim twice, once with an escape', token: forge(header({}), `{"\\u0073ub":"u-2",${seven.slice(1)}`) },
  { name: 'claims that are a list', token: forge(header({}), `[${seven}]`) },
  { name: 'claims that are text', token: forge(header({}), '"u-1"') },
  { name: 'claims that are no JSON', token: forge(header({}), 'u-1') },
  { name: 'claims with a byte order mark', token: forge(header({}), `\ufeff${seven}`) },
  {
    name: 'nested 1,000 deep',
    token: forge(header({}), `{"x":${'['.repeat(1_000)}${']'.repeat(1_000)},${seven.slice(1)}`),
  },
  { name: 'nested 9 deep', token: forge(header({}), `{"x":${'['.repeat(8)}${']'.repeat(8)},${seven.slice(1)}`) },
  {
    name: '300 claims',
    token: forge(header({}), `{${Array.from({ length: 300 }, (_, i) => `"c${i}":0,`).join('')}${seven.slice(1)}`),
  },
  {
    name: 'ten thousand claims',
    token: forge(header({}), `{${Array.from({ length: 10_000 }, (_, i) => `"c${i}":0,`).join('')}${seven.slice(1)}`),
  },
  { name: 'a claim of 20 KiB', token: forge(header({}), text({ ...good, x: 'x'.repeat(20_480) })) },
  {
    name: 'exp is 1e999',
    token: forge(header({}), seven.replace(/"exp":\d+/, '"exp":1e999')),
    reason: 'refuse token-claim',
  },
  {
    name: 'exp is 1e15',
    token: forge(header({}), seven.replace(/"exp":\d+/, '"exp":1e15')),
    reason: 'refuse token-claim',
  },
]

test('tokens that no honest issuer makes are refused, whatever their signature', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  assert.equal(
    await outcome(provider, { password: forge(header({}), seven) }),
    'success',
    'the forge makes good tokens',
  )
  for (const { name, token, reason = 'refuse token-malformed' } of hostile)
    assert.equal(await outcome(provider, { password: token }), reason, name)
})

test('bytes of claims that are no UTF-8 are refused', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  const bytes = Buffer.from(text({ ...good, x: '\u00ff' }), 'latin1')
  const { CompactSign } = await import('jose')
  const token = await new CompactSign(bytes).setProtectedHeader({ alg: 'HS256' }).sign(secretBytes)
  assert.equal(await outcome(provider, { password: token }), 'refuse token-malformed')
})

test('ten thousand claims are refused by their number too, where a longer token is allowed', async (t) => {
  const provider = await openJwt(t, { ...ours, max_token_bytes: 65_536 }, { clock })
  const claims = `{${Array.from({ length: 4_000 }, (_, i) => `"${i.toString(36)}":0,`).join('')}${seven.slice(1)}`
  const token = forge(header({}), claims)
  assert.ok(token.length < 65_536)
  assert.equal(await outcome(provider, { password: token }), 'refuse token-malformed')
  const large = forge(header({}), text({ ...good, x: 'x'.repeat(20_480) }))
  assert.equal(await outcome(provider, { password: large }), 'success')
})

test('an encrypted token of five parts is refused', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  const token = await new CompactEncrypt(new TextEncoder().encode(seven))
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .encrypt(secretBytes.slice(0, 32))
  assert.equal(token.split('.').length, 5)
  assert.equal(await outcome(provider, { password: token }), 'refuse token-malformed')
})

test('a password that is no token is left to the next provider', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  const token = await hs256(good)
  const [head = '', body = '', signature = ''] = token.split('.')
  for (const password of [
    '',
    'password123',
    'e',
    'eyJ',
    'a.b.c',
    '..',
    'eyJhbGciOiJub25lIn0',
    'e'.repeat(100_000),
    `${'e'.repeat(100_000)}.a.b`,
    'eyJ4IjoxfQ.e30.x', // a header without alg
    `${Buffer.from('"HS256"').toString('base64url')}.${body}.${signature}`,
    ` ${token}`,
    `${head}=.${body}.${signature}`,
  ])
    assert.equal(await outcome(provider, { username: 'u', password }), 'skip no-credentials', password.slice(0, 40))
  assert.equal(await outcome(provider, {}), 'skip no-credentials')
})

test('a token with characters around it, or parts that are not of its alphabet, is refused', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  const token = await hs256(good)
  const [head = '', body = '', signature = ''] = token.split('.')
  for (const password of [
    `${token}\n`,
    `${token} `,
    `${token}.`,
    `${token}\0`,
    `${head}.${body}`,
    `${head}..${signature}`,
    `${head}.${body}=.${signature}`,
    `${head}.${body}.${signature}.${signature}`,
    `${head}.${body}.${signature.slice(0, -1)}+`,
  ])
    assert.equal(await outcome(provider, { password }), 'refuse token-malformed', JSON.stringify(password.slice(-20)))
  for (let i = 0; i < signature.length; i++) {
    const cut = `${head}.${body}.${signature.slice(0, i)}`
    assert.equal(
      await outcome(provider, { password: cut }),
      decodes(signature.slice(0, i)) ? 'refuse token-signature' : 'refuse token-malformed',
      `${i}`,
    )
  }
})

test('every bit of a token counts', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  const token = Buffer.from(await hs256(good))
  let accepted = 0
  for (let i = 0; i < token.length * 8; i++) {
    const flipped = Buffer.from(token)
    flipped.writeUInt8(flipped.readUInt8(i >> 3) ^ (1 << (i & 7)), i >> 3)
    if ((await outcome(provider, { password: flipped.toString('latin1') })) === 'success') accepted++
  }
  assert.equal(accepted, 0, `of ${token.length * 8}`)
})

test('nothing that a client shows makes it fail, or lets it in', async (t) => {
  const provider = await openJwt(t, ours, { clock })
  const parts = (await hs256(good)).split('.')
  const part = fc.oneof(
    fc.constantFrom(...parts),
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.base64String({ maxLength: 40 }),
  )
  const anything = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(part, { minLength: 1, maxLength: 6 }).map((some) => some.join('.')),
    fc
      .record({ alg: fc.constantFrom('HS256', 'none', 'RS256', ''), kid: fc.anything() })
      .map((one) => `${Buffer.from(JSON.stringify(one)).toString('base64url')}.${parts[1]}.${parts[2]}`),
  )
  const shown = fc.record({ username: anything, password: anything, bearer: anything }, { requiredKeys: [] })
  const isGood = (text = '') => text === parts.join('.')
  await fc.assert(
    fc.asyncProperty(shown, async (one) => {
      const { outcome: found } = await ask(provider, one)
      if (found === 'success') assert.ok([one.username, one.password, one.bearer].some(isGood))
    }),
    { numRuns: 500 },
  )
})

test('H15: HS256 under the public key of RSA is refused, in every spelling of that key', async (t) => {
  const pair = pairOf('rsa')
  const pem = pemOf(pair)
  const provider = await openJwt(
    t,
    { issuer: ISSUER, audience: 'mqtt', public_key_file: fileOf('rsa.pem', pem) },
    { clock },
  )
  const right = await sign(good, pair.privateKey, { alg: 'RS256' })
  assert.equal(await outcome(provider, { password: right }), 'success')
  const spellings = [
    pem,
    pem.trim(),
    pem.replaceAll('\n', '\r\n'),
    pair.publicKey.export({ type: 'pkcs1', format: 'pem' }),
    pair.publicKey.export({ type: 'spki', format: 'der' }),
    JSON.stringify(pair.publicKey.export({ format: 'jwk' })),
  ]
  for (const key of spellings)
    assert.equal(await outcome(provider, { password: forge(header({}), seven, key) }), 'refuse token-signature')
})

test('a token signed with a key of another type, or with another algorithm of the same key, is refused', async (t) => {
  const rsa = pairOf('rsa')
  const at = (kind: 'rsa' | 'ec' | 'ed25519', algorithms?: string[]) =>
    openJwt(
      t,
      {
        issuer: ISSUER,
        audience: 'mqtt',
        public_key_file: fileOf(`${kind}.pem`, pemOf(pairOf(kind))),
        ...(algorithms && { algorithms }),
      },
      { clock },
    )
  const pinned = await at('rsa', ['PS512'])
  assert.equal(await outcome(pinned, { password: await sign(good, rsa.privateKey, { alg: 'PS512' }) }), 'success')
  assert.equal(
    await outcome(pinned, { password: await sign(good, rsa.privateKey, { alg: 'RS256' }) }),
    'refuse token-signature',
  )
  const tokens = {
    rsa: await sign(good, rsa.privateKey, { alg: 'RS256' }),
    ec: await sign(good, pairOf('ec').privateKey, { alg: 'ES256' }),
    ed25519: await sign(good, pairOf('ed25519').privateKey, { alg: 'EdDSA' }),
  }
  for (const kind of ['rsa', 'ec', 'ed25519'] as const) {
    const provider = await at(kind)
    for (const [other, token] of Object.entries(tokens))
      assert.equal(
        await outcome(provider, { password: token }),
        other === kind ? 'success' : 'refuse token-signature',
        `${other} at ${kind}`,
      )
  }
  const other = await at('rsa')
  assert.equal(
    await outcome(other, { password: await sign(good, pairOf('rsa-2').privateKey, { alg: 'RS256' }) }),
    'refuse token-signature',
  )
})

test('tokens of Ed25519 are verified under either name of their algorithm', async (t) => {
  const pair = pairOf('ed25519')
  const provider = await openJwt(
    t,
    { issuer: ISSUER, audience: 'mqtt', public_key_file: fileOf('ed.pem', pemOf(pair)) },
    { clock },
  )
  for (const alg of ['EdDSA', 'Ed25519'])
    assert.equal(await outcome(provider, { password: await sign(good, pair.privateKey, { alg }) }), 'success', alg)
})

test('jku, x5u, jwk and x5c in a header are never followed', async (t) => {
  const mallory = pairOf('rsa-2')
  const issuer = await startIssuer(t)
  const jwk = mallory.publicKey.export({ format: 'jwk' })
  issuer.routes.set('/keys', (_req, res) => res.end(JSON.stringify({ keys: [jwk] })))
  const provider = await openJwt(
    t,
    { issuer: ISSUER, audience: 'mqtt', public_key_file: fileOf('rsa.pem', pemOf(pairOf('rsa'))) },
    { clock },
  )
  for (const more of [{ jku: `${issuer.url}/keys` }, { x5u: `${issuer.url}/keys` }, { jwk }, { x5c: ['MII='] }]) {
    const token = await sign(good, mallory.privateKey, { alg: 'RS256', ...more })
    assert.equal(await outcome(provider, { password: token }), 'refuse token-signature', JSON.stringify(more))
    const honest = await sign(good, pairOf('rsa').privateKey, { alg: 'RS256', ...more })
    assert.equal(await outcome(provider, { password: honest }), 'success', 'such members do not matter')
  }
  assert.equal(issuer.count(), 0)
})

test('a token that is remembered is no longer good when it expires or is not what was shown', async (t) => {
  const hands = new Hands()
  const provider = await openJwt(t, ours, { clock: hands })
  const token = await hs256({ ...good, exp: hands.seconds + 20 })
  assert.equal(await outcome(provider, { password: token }), 'success')
  assert.equal(await outcome(provider, { password: token }), 'success', 'from memory')
  hands.advance(49)
  assert.equal(await outcome(provider, { password: token }), 'success')
  hands.advance(1)
  assert.equal(await outcome(provider, { password: token }), 'refuse token-expired')
})

test('keys that cannot be used are named when the provider is opened, and never what they are', async (t) => {
  const open = (given: object, env = {}) => openJwt(t, { audience: '*', ...given }, { env })
  const cases: readonly (readonly [object, Readonly<Record<string, string>>, RegExp])[] = [
    [{ secret: { env: 'SHORT' } }, { SHORT: 'x'.repeat(31) }, /^secret: HS256 needs at least 32 bytes/],
    [
      { secret: { env: 'SHORT' }, algorithms: ['HS512'] },
      { SHORT: 'x'.repeat(63) },
      /^secret: HS512 needs at least 64 bytes/,
    ],
    [{ secret: { env: 'PEM' } }, { PEM: pemOf(pairOf('rsa')) }, /^secret: holds a key in PEM/],
    [{ public_key_file: join(folder, 'missing.pem') }, {}, /missing\.pem" cannot be read: ENOENT$/],
    [{ public_key_file: folder }, {}, /is no file of at most/],
    [{ public_key_file: fileOf('text.pem', 'hello') }, {}, /must hold one public key/],
    [
      { public_key_file: fileOf('two.pem', pemOf(pairOf('rsa')) + pemOf(pairOf('ec'))) },
      {},
      /must hold one public key/,
    ],
    [
      { public_key_file: fileOf('broken.pem', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n') },
      {},
      /is no public key in PEM$/,
    ],
    [
      {
        public_key_file: fileOf(
          'private.pem',
          pairOf('ec').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
        ),
      },
      {},
      /holds a private key/,
    ],
    [{ public_key_file: fileOf('ed448.pem', pemOf(pairOf('ed448'))) }, {}, /must be RSA of 2048/],
    [{ public_key_file: fileOf('weak.pem', pemOf(pairOf('rsa-1024'))) }, {}, /must be RSA of 2048/],
    [
      { public_key_file: fileOf('ec.pem', pemOf(pairOf('ec'))), algorithms: ['ES384'] },
      {},
      /^algorithms: ES384 does not go with the key/,
    ],
    [
      { jwks_uri: 'https://idp.example/keys', issuer: ISSUER, jwks: { ca_file: join(folder, 'no-ca.pem') } },
      {},
      /^jwks\.ca_file: .*ENOENT$/,
    ],
  ]
  for (const [given, env, message] of cases) {
    await assert.rejects(open(given, env), (err: Error) => {
      assert.ok(err instanceof KeyFault && message.test(err.message), `${JSON.stringify(given)}: ${err.message}`)
      for (const secret of Object.values(env)) assert.ok(!err.message.includes(secret.slice(0, 24)))
      return true
    })
  }
})

test('a section that cannot mean anything is refused with its place', () => {
  const cases: readonly (readonly [object, string, RegExp])[] = [
    [{ audience: '*' }, '', /exactly one of/],
    [{ audience: '*', secret: { env: 'A' }, jwks_uri: 'https://a.example' }, '', /exactly one of/],
    [{ secret: { env: 'A' } }, 'audience', /text or a list/],
    [{ secret: { env: 'A' }, audience: ['*', 'a'] }, 'audience', /stands alone/],
    [{ secret: { env: 'A' }, audience: '*', algorithms: ['RS256'] }, 'algorithms', /RS256 does not go with `secret`/],
    [{ public_key_file: 'a', audience: '*', algorithms: ['HS256'] }, 'algorithms', /HS256 does not go with/],
    [{ public_key_file: 'a', audience: '*', algorithms: ['none'] }, 'algorithms.0', /Invalid option/],
    [{ public_key_file: 'a', audience: '*', algorithms: ['ML-DSA-65'] }, 'algorithms.0', /Invalid option/],
    [{ jwks_uri: 'https://a.example/keys', audience: '*' }, 'issuer', /required/],
    [{ discovery: true, audience: '*' }, 'issuer', /required/],
    [{ jwks_uri: 'http://a.example/keys', issuer: 'x', audience: '*' }, 'jwks_uri', /over https/],
    [{ jwks_uri: 'ftp://a.example/keys', issuer: 'x', audience: '*' }, 'jwks_uri', /https URL/],
    [{ jwks_uri: 'https://u@a.example/keys', issuer: 'x', audience: '*' }, 'jwks_uri', /https URL/],
    [{ jwks_uri: 'https://:pw@a.example/keys', issuer: 'x', audience: '*' }, 'jwks_uri', /https URL/],
    [{ discovery: true, issuer: 'celine', audience: '*' }, 'issuer', /https URL/],
    [{ discovery: true, issuer: 'https://u:pw@idp.example', audience: '*' }, 'issuer', /https URL/],
    [{ discovery: true, issuer: 'https://:pw@idp.example', audience: '*' }, 'issuer', /https URL/],
    [{ discovery: true, issuer: 'http://idp.example', audience: '*' }, 'issuer', /over https/],
    [{ secret: { env: 'A' }, audience: '*', username_claim: 'sub' }, '', /username_claim/],
    [{ secret: { env: 'A' }, audience: '*', claims: { username: 'a..b' } }, 'claims.username', /none of them empty/],
    [{ secret: { env: 'A' }, audience: '*', claims: { rules: { format: 'tbmq' } } }, 'claims.rules', /publish_claim/],
    [{ secret: { env: 'A' }, audience: '*', clock_skew_s: 301 }, 'clock_skew_s', /300/],
  ]
  for (const [given, path, message] of cases) {
    const { error } = jwtProviderSchema.safeParse({ type: 'jwt', ...given })
    const found = error?.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) ?? []
    assert.ok(
      found.some((one) => one.startsWith(`${path}: `) && message.test(one)),
      `${JSON.stringify(given)}: ${found.join(' | ')}`,
    )
  }
  assert.ok(
    jwtProviderSchema.safeParse({
      type: 'jwt',
      discovery: true,
      issuer: 'http://localhost:8080/realms/a',
      audience: '*',
    }).success,
  )
})
