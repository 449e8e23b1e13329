import assert from 'node:assert/strict'
import { createHash, createPublicKey, verify } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { type Certificates, createCertificates } from '../support/certificates.ts'
import {
  ask,
  collectingLog,
  type GivenSettings,
  Hands,
  type Issuer,
  json,
  jwkOf,
  openJwt,
  outcome,
  type Pair,
  type ProviderOptions,
  pairOf,
  pemOf,
  SECRET,
  sign,
  startIssuer,
  thumbprint,
} from './jwt-fixture.ts'

let certificates: Certificates
before(async () => {
  certificates = await createCertificates()
})
after(() => certificates.remove())

const ISSUER = 'https://idp.example'
const folder = mkdtempSync(join(tmpdir(), 'sealwire-jwks-'))
after(() => rmSync(folder, { recursive: true }))

const [first, second] = [pairOf('rsa'), pairOf('rsa-2')]

/** A token of the issuer, signed with a key under a name. */
function tokenOf(hands: Hands, pair: Pair, kid: string | undefined, more: object = {}, alg = 'RS256'): Promise<string> {
  const claims = { iss: ISSUER, sub: 'u-1', exp: hands.seconds + 86_400, ...more }
  return sign(claims, pair.privateKey, { alg, ...(kid !== undefined && { kid }) })
}

const setOf = (...keys: object[]) => json({ keys })
const named = (pair: Pair, kid: string, more: object = {}) => ({ ...jwkOf(pair), kid, ...more })

interface Bench {
  readonly issuer: Issuer
  readonly hands: Hands
  open(given?: GivenSettings, options?: ProviderOptions): ReturnType<typeof openJwt>
}

async function bench(t: TestContext, ...keys: object[]): Promise<Bench> {
  const issuer = await startIssuer(t)
  issuer.routes.set('/keys', setOf(...keys))
  const hands = new Hands()
  const settings = { issuer: ISSUER, audience: '*', jwks_uri: `${issuer.url}/keys` }
  return {
    issuer,
    hands,
    open: (given = {}, options = {}) => openJwt(t, { ...settings, ...given }, { clock: hands, ...options }),
  }
}

test('keys are fetched once, and a token is verified by the one that it names', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'), named(second, 'b'))
  const provider = await open()
  for (let i = 0; i < 3; i++) {
    assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'a', { i }) }), 'success')
    assert.equal(await outcome(provider, { password: await tokenOf(hands, second, 'b', { i }) }), 'success')
  }
  assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'b') }), 'refuse token-signature')
  assert.equal(issuer.count(), 1)
})

test('a token without a key name is verified where one key fits, and refused where two do', async (t) => {
  const one = await bench(t, named(first, 'a'), named(pairOf('ec'), 'e'))
  const provider = await one.open()
  assert.equal(await outcome(provider, { password: await tokenOf(one.hands, first, undefined) }), 'success')
  const two = await bench(t, named(first, 'a'), named(second, 'b'))
  const other = await two.open()
  assert.equal(await outcome(other, { password: await tokenOf(two.hands, first, undefined) }), 'refuse token-signature')
  const twins = await bench(t, named(first, 'a'), named(second, 'a'))
  assert.equal(
    await outcome(await twins.open(), { password: await tokenOf(twins.hands, first, 'a') }),
    'refuse token-signature',
  )
})

test('a key that is published twice is one key', async (t) => {
  const { hands, open } = await bench(t, named(first, 'a'), named(first, 'a', { alg: 'RS256' }), named(first, 'b'))
  const provider = await open()
  for (const kid of ['a', 'b', undefined])
    assert.equal(await outcome(provider, { password: await tokenOf(hands, first, kid) }), 'success', `${kid}`)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'c') }), 'refuse token-signature')
})

test('a key name is compared and nothing else: no path, no URL, no member of an object', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'))
  const provider = await open()
  hands.advance(60)
  let refetches = 0
  for (const kid of [
    '../../etc/passwd',
    '/keys',
    `${issuer.url}/other`,
    'file:///etc/passwd',
    'a\0',
    'a ',
    'A',
    '__proto__',
    'constructor',
    "' OR 1=1 --",
    '%61',
    '*',
  ]) {
    assert.equal(await outcome(provider, { password: await tokenOf(hands, first, kid) }), 'refuse token-signature', kid)
    refetches = issuer.count() - 1
  }
  assert.deepEqual(
    [refetches, issuer.count('/keys')],
    [1, issuer.count()],
    'one refetch for all, and nothing else asked',
  )
})

test('a rotated key is fetched when a token first names it, once', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'))
  const provider = await open()
  issuer.routes.set('/keys', setOf(named(first, 'a'), named(second, 'b')))
  hands.advance(10)
  const tokens = await Promise.all(Array.from({ length: 20 }, (_, i) => tokenOf(hands, second, 'b', { i })))
  const outcomes = await Promise.all(tokens.map((password) => outcome(provider, { password })))
  assert.deepEqual(new Set(outcomes), new Set(['success']))
  assert.equal(issuer.count(), 2)
})

test('unknown key names make for one fetch in ten seconds, however many there are', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'))
  const provider = await open()
  for (let i = 0; i < 100; i++) {
    hands.advance(0.5)
    await outcome(provider, { password: await tokenOf(hands, second, `x${i}`) })
  }
  assert.equal(issuer.count(), 1 + 5)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'a') }), 'success', 'others go on')
})

test('what was accepted with a key that the issuer withdraws holds no longer', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'), named(second, 'b'))
  const provider = await open()
  const token = await tokenOf(hands, first, 'a')
  const [accepted, other] = [
    await ask(provider, { password: token }),
    await ask(provider, { password: await tokenOf(hands, second, 'b') }),
  ]
  assert.ok(accepted.outcome === 'success' && other.outcome === 'success')
  assert.ok(provider.holds(accepted.grant) && accepted.grant.endsWith(await thumbprint(first)))
  issuer.routes.set('/keys', setOf(named(second, 'b')))
  hands.advance(10)
  await outcome(provider, { password: await tokenOf(hands, second, 'new') }) // sets a fetch off
  assert.deepEqual([provider.holds(accepted.grant), provider.holds(other.grant)], [false, true])
  assert.equal(await outcome(provider, { password: token }), 'refuse token-signature', 'although it was remembered')
})

test('tokens that are remembered take no more memory than they may, however large they are', async (t) => {
  const pair = pairOf('ed25519')
  const { issuer, hands, open } = await bench(t, named(pair, 'a'))
  const provider = await open({ max_token_bytes: 65_536 })
  const filler = 'x'.repeat(48_000)
  const shown: string[] = []
  for (let i = 0; i < 400; i++) {
    const token = await tokenOf(hands, pair, 'a', { i, filler }, 'EdDSA')
    shown.push(token)
    assert.equal(await outcome(provider, { password: token }), 'success')
  }
  issuer.routes.set('/keys', setOf(named(pair, 'b'))) // the same key by another name: only who is remembered is known by it
  hands.advance(10)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, pair, 'b', {}, 'EdDSA') }), 'success')
  let remembered = 0
  for (const token of shown) if ((await outcome(provider, { password: token })) === 'success') remembered++
  assert.ok(remembered * filler.length < (64 * 1024 * 1024) / 4 && remembered > 50, `${remembered}`)
  assert.equal(await outcome(provider, { password: shown.at(-1) ?? '' }), 'success')
})

test('keys are fetched again by themselves before their time is over', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'))
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const provider = await open({ jwks: { refresh_s: 10 } }, { request: directRequest(issuer) })
  const accepted = await ask(provider, { password: await tokenOf(hands, first, 'a') })
  assert.ok(accepted.outcome === 'success' && provider.holds(accepted.grant))
  issuer.routes.set('/keys', setOf(named(second, 'b')))
  hands.advance(8)
  const asked = new Promise((resolve) =>
    issuer.routes.set('/keys', (req, res) => resolve(setOf(named(second, 'b'))(req, res))),
  )
  t.mock.timers.tick(8_000)
  await asked
  t.mock.timers.reset()
  while (provider.holds(accepted.grant)) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await outcome(provider, { password: await tokenOf(hands, second, 'b') }), 'success')
  assert.equal(issuer.count(), 2)
})

/** A request without timers of its own, for a test that has taken them. */
function directRequest({ url }: Issuer): NonNullable<ProviderOptions['request']> {
  return Object.assign(
    async (spec: { url: string }) => {
      assert.ok(spec.url.startsWith(url))
      const res = await fetch(spec.url)
      return { status: res.status, headers: {}, body: new Uint8Array(await res.arrayBuffer()) }
    },
    { close() {} },
  )
}

test('while the issuer is down its keys serve, until the configured time is over; then nobody can tell', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'))
  const log = collectingLog()
  const provider = await open({ jwks: { refresh_s: 300, stale_s: 600 } }, { log })
  const accepted = await ask(provider, { password: await tokenOf(hands, first, 'a') })
  assert.ok(accepted.outcome === 'success')
  await issuer.stop()
  hands.advance(900)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'a', { n: 1 }) }), 'success')
  assert.ok(provider.holds(accepted.grant))
  assert.equal(
    await outcome(provider, { password: await tokenOf(hands, second, 'b') }),
    'refuse unavailable',
    'it may be a new key',
  )
  hands.advance(0.001)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'a', { n: 2 }) }), 'refuse unavailable')
  assert.ok(!provider.holds(accepted.grant), 'also for whoever is connected')
  assert.ok(log.lines.some(({ level, message }) => level === 'warn' && message.includes('cannot be fetched')))
})

test('an issuer that is down at the start refuses as unavailable, is not asked without pause, and works when it is back', async (t) => {
  const { issuer, hands, open } = await bench(t)
  issuer.routes.set('/keys', json({}, 503))
  const log = collectingLog()
  const provider = await open({}, { log })
  const password = await tokenOf(hands, first, 'a')
  for (let i = 0; i < 50; i++) assert.equal(await outcome(provider, { password }), 'refuse unavailable')
  assert.equal(issuer.count(), 1, 'within the first second')
  hands.advance(1)
  for (let i = 0; i < 50; i++) assert.equal(await outcome(provider, { password }), 'refuse unavailable')
  assert.equal(issuer.count(), 2)
  issuer.routes.set('/keys', setOf(named(first, 'a')))
  hands.advance(2)
  assert.equal(await outcome(provider, { password }), 'success')
  assert.equal(issuer.count(), 3)
  assert.deepEqual(
    log.lines.map(({ level }) => level),
    ['warn', 'warn', 'info'],
  )
})

test('an issuer that hangs holds nobody longer than they wait, and everybody shares one request', async (t) => {
  const { issuer, hands, open } = await bench(t)
  const provider = await open() // the first answer is an empty set
  const arrived = new Promise<void>((resolve) => issuer.routes.set('/keys', () => resolve()))
  hands.advance(10)
  const began = performance.now()
  const verdicts = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const password = await tokenOf(hands, first, 'a', { i })
      return ask(provider, { password }, AbortSignal.timeout(20))
    }),
  )
  assert.ok(verdicts.every((one) => one.outcome === 'refuse' && one.reason === 'unavailable'))
  assert.ok(performance.now() - began < 2_000)
  await arrived
  assert.equal(issuer.count(), 2)
  const hanging = await bench(t)
  hanging.issuer.routes.set('/keys', () => {})
  const slow = performance.now()
  await hanging.open({ jwks: { timeout_ms: 50 } })
  assert.ok(performance.now() - slow < 2_000, 'nor the start')
})

/** Answers that are no key set of ours to use; `first` is good in all of them that hold it. */
const documents: readonly { name: string; body: () => string | Buffer; status?: number }[] = [
  { name: 'text', body: () => 'hello' },
  { name: 'empty', body: () => '' },
  { name: 'a list', body: () => JSON.stringify([named(first, 'a')]) },
  { name: 'no keys', body: () => '{}' },
  { name: 'keys that are an object', body: () => JSON.stringify({ keys: { a: named(first, 'a') } }) },
  { name: '`keys` twice', body: () => `{"keys":[],"keys":[${JSON.stringify(named(first, 'a'))}]}` },
  { name: '101 keys', body: () => JSON.stringify({ keys: Array.from({ length: 101 }, () => named(first, 'a')) }) },
  {
    name: '10,000 keys',
    body: () => JSON.stringify({ keys: Array.from({ length: 10_000 }, (_, i) => ({ kty: 'RSA', kid: `${i}` })) }),
  },
  { name: '2 MiB', body: () => JSON.stringify({ keys: [named(first, 'a')], x: 'x'.repeat(2 * 1024 * 1024) }) },
  {
    name: 'nested deep',
    body: () => JSON.stringify({ keys: [named(first, 'a')], x: JSON.parse('['.repeat(100) + ']'.repeat(100)) }),
  },
  {
    name: 'bytes that are no UTF-8',
    body: () => Buffer.from(JSON.stringify({ keys: [named(first, '\u00ff')] }), 'latin1'),
  },
  { name: 'status 201', body: () => JSON.stringify({ keys: [named(first, 'a')] }), status: 201 },
  { name: 'status 302 to the keys', body: () => '', status: 302 },
]

test('what is no key set is not used, whatever it holds', async (t) => {
  for (const { name, body, status = 200 } of documents) {
    const { issuer, hands, open } = await bench(t)
    const document = body()
    issuer.routes.set('/good', setOf(named(first, 'a')))
    issuer.routes.set('/keys', (_req, res) => res.writeHead(status, { location: '/good' }).end(document))
    const log = collectingLog()
    const provider = await open({}, { log })
    assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'a') }), 'refuse unavailable', name)
    assert.equal(issuer.count('/good'), 0, name)
    assert.equal(issuer.count('/keys'), 1, name)
    assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 1, name)
  }
})

test('the log says which document could not be had, and why', async (t) => {
  const { issuer, open } = await bench(t)
  const asked = async (given: GivenSettings, document?: object) => {
    const log = collectingLog()
    if (document) issuer.routes.set('/.well-known/openid-configuration', json(document))
    await open(given, { log })
    const [{ fields } = { fields: {} }] = log.lines
    return fields as { url?: string; err?: Error }
  }
  const missing = await asked({ jwks_uri: `${issuer.url}/nowhere?token=canary` })
  assert.deepEqual([missing.url, missing.err?.message], [`${issuer.url}/nowhere`, 'the answer has status 404'])
  const discovery = { jwks_uri: undefined, issuer: issuer.url, discovery: true }
  const elsewhere = { issuer: issuer.url, jwks_uri: 'https://keys.example/v1/certs?x=canary' }
  const other = await asked(discovery, elsewhere)
  assert.equal(other.url, `${issuer.url}/.well-known/openid-configuration`)
  assert.match(other.err?.message ?? '', /names keys at another host, https:\/\/keys\.example\/v1\/certs; .*`jwks_uri`/)
  assert.doesNotMatch(JSON.stringify([missing, other.url, other.err?.message]), /canary/)
  const wrong = await asked(discovery, { ...elsewhere, issuer: `${issuer.url}/` })
  assert.match(
    wrong.err?.message ?? '',
    /is of another issuer, "http:\/\/127\.0\.0\.1:\d+\/"; write `issuer` as it does/,
  )
})

test('a bad answer does not take the keys away that are there', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'))
  const provider = await open()
  issuer.routes.set('/keys', (_req, res) => res.end('{"keys":'))
  hands.advance(10)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, second, 'b') }), 'refuse unavailable')
  assert.equal(issuer.count(), 2)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'a') }), 'success')
})

/** A token that anybody can make for a key with the exponent 1: what is signed is the signature (RFC 8017 §8.2.2, §9.2). */
async function unkeyed(hands: Hands, pair: Pair, kid: string): Promise<string> {
  const token = await tokenOf(hands, pair, kid)
  const input = token.slice(0, token.lastIndexOf('.'))
  const digest = createHash('sha256').update(input).digest()
  const info = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const end = Buffer.concat([Buffer.of(0), info, digest])
  const encoded = Buffer.concat([Buffer.of(0, 1), Buffer.alloc(256 - 2 - end.length, 0xff), end])
  const forged = createPublicKey({ key: { ...jwkOf(pair), e: 'AQ' } as JsonWebKey, format: 'jwk' })
  assert.ok(verify('sha256', Buffer.from(input), forged, encoded), 'it is one')
  return `${input}.${encoded.toString('base64url')}`
}

test('of a key set only public keys for signatures serve', async (t) => {
  const ec = pairOf('ec')
  const privateJwk = second.privateKey.export({ format: 'jwk' })
  const { hands, open } = await bench(
    t,
    named(first, 'enc', { use: 'enc' }),
    named(first, 'ops', { key_ops: ['encrypt'] }),
    named(first, 'alg', { alg: 'PS256' }),
    { ...privateJwk, kid: 'private' },
    { kty: 'oct', k: Buffer.from('0'.repeat(32)).toString('base64url'), kid: 'oct', alg: 'HS256' },
    named(pairOf('rsa-1024'), 'weak'),
    { ...jwkOf(first), e: 'AQ', kid: 'one' },
    { ...jwkOf(first), e: 'Ag', kid: 'even' },
    { ...jwkOf(first), e: jwkOf(second).n as string, kid: 'slow' },
    { ...jwkOf(ec), x: 'AAAA', kid: 'broken' },
    { ...jwkOf(ec), crv: 'P-384', kid: 'curve' },
    named(pairOf('ed448'), 'ed448'),
    named(first, 'k'.repeat(300)),
    { kid: 'nothing' },
    'text' as unknown as object,
    named(ec, 'ec'),
    named(pairOf('ec-384'), 'ec-384'),
    named(pairOf('ed25519'), 'ed', { use: 'sig', key_ops: ['verify'], alg: 'EdDSA', x5c: ['MII='] }),
    named(first, 'rsa'),
  )
  const provider = await open()
  const token = (pair: Pair, kid: string, alg: string) => tokenOf(hands, pair, kid, {}, alg)
  const bad = [
    await unkeyed(hands, first, 'one'),
    await token(first, 'enc', 'RS256'),
    await token(first, 'ops', 'RS256'),
    await token(first, 'alg', 'RS256'),
    await token(second, 'private', 'RS256'),
    await token(ec, 'curve', 'ES256'),
    await sign({ iss: ISSUER, sub: 'u', exp: hands.seconds + 60 }, Buffer.from('0'.repeat(32)), {
      alg: 'HS256',
      kid: 'oct',
    }),
    await sign({ iss: ISSUER, sub: 'u', exp: hands.seconds + 60 }, Buffer.from(pemOf(first)), {
      alg: 'HS256',
      kid: 'rsa',
    }),
  ]
  for (const [i, password] of bad.entries())
    assert.equal(await outcome(provider, { password }), 'refuse token-signature', `${i}`)
  const good = [
    await token(first, 'alg', 'PS256'),
    await token(first, 'rsa', 'RS512'),
    await token(first, 'rsa', 'PS512'),
    await token(ec, 'ec', 'ES256'),
    await token(pairOf('ec-384'), 'ec-384', 'ES384'),
    await token(pairOf('ed25519'), 'ed', 'EdDSA'),
  ]
  for (const [i, password] of good.entries()) assert.equal(await outcome(provider, { password }), 'success', `${i}`)
})

test('algorithms that the configuration pins are the only ones, whatever the key set says', async (t) => {
  const { issuer, hands, open } = await bench(t, named(first, 'a'))
  const provider = await open({ algorithms: ['PS512', 'ES256'] })
  hands.advance(60)
  assert.equal(await outcome(provider, { password: await tokenOf(hands, first, 'a', {}, 'PS512') }), 'success')
  for (const alg of ['RS256', 'PS256', 'RS512'])
    assert.equal(
      await outcome(provider, { password: await tokenOf(hands, first, 'a', {}, alg) }),
      'refuse token-signature',
      alg,
    )
  assert.equal(issuer.count(), 1, 'nor is a key looked for')
})

test('discovery finds the keys of an issuer, over https with its own authority', async (t) => {
  const { certificate, key } = certificates.server
  const issuer = await startIssuer(t, { certificate, key })
  const realm = `${issuer.url}/realms/celine`
  issuer.routes.set(
    '/realms/celine/.well-known/openid-configuration',
    json({ issuer: realm, jwks_uri: `${realm}/certs` }),
  )
  issuer.routes.set('/realms/celine/certs', setOf(named(first, 'a')))
  const hands = new Hands()
  const claims = { iss: realm, sub: 'u-1', exp: hands.seconds + 60 }
  const password = await sign(claims, first.privateKey, { alg: 'RS256', kid: 'a' })
  const given = { issuer: realm, audience: '*', discovery: true }
  const provider = await openJwt(t, { ...given, jwks: { ca_file: certificates.caFile } }, { clock: hands })
  assert.equal(await outcome(provider, { password }), 'success')
  assert.equal(issuer.count(), 2)
  for (const jwks of [{}, { ca_file: certificates.otherCaFile }]) {
    const other = await openJwt(t, { ...given, jwks }, { clock: hands })
    assert.equal(await outcome(other, { password }), 'refuse unavailable', 'TLS is verified')
  }
  assert.equal(issuer.count(), 2)
})

test('a discovery document is believed about its own issuer and its own host alone', async (t) => {
  const [issuer, foreign] = [await startIssuer(t), await startIssuer(t)]
  foreign.routes.set('/keys', setOf(named(second, 'a')))
  issuer.routes.set('/keys', setOf(named(first, 'a')))
  const at = '/.well-known/openid-configuration'
  const hands = new Hands()
  const claims = { iss: issuer.url, sub: 'u-1', exp: hands.seconds + 60 }
  const tokens = await Promise.all(
    [first, second].map((pair) => sign(claims, pair.privateKey, { alg: 'RS256', kid: 'a' })),
  )
  const cases: readonly (readonly [string, object, string])[] = [
    ['as it should be', { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }, 'success'],
    ['another issuer', { issuer: foreign.url, jwks_uri: `${issuer.url}/keys` }, 'refuse unavailable'],
    ['an issuer with a slash more', { issuer: `${issuer.url}/`, jwks_uri: `${issuer.url}/keys` }, 'refuse unavailable'],
    ['no issuer', { jwks_uri: `${issuer.url}/keys` }, 'refuse unavailable'],
    ['keys at another host', { issuer: issuer.url, jwks_uri: `${foreign.url}/keys` }, 'refuse unavailable'],
    [
      'keys at another scheme',
      { issuer: issuer.url, jwks_uri: `${issuer.url.replace('http', 'https')}/keys` },
      'refuse unavailable',
    ],
    [
      'keys at a host that begins alike',
      { issuer: issuer.url, jwks_uri: `${issuer.url}0@${foreign.url.slice(7)}/keys` },
      'refuse unavailable',
    ],
    ['keys in a file', { issuer: issuer.url, jwks_uri: 'file:///etc/passwd' }, 'refuse unavailable'],
    ['no keys', { issuer: issuer.url }, 'refuse unavailable'],
    ['keys that are a number', { issuer: issuer.url, jwks_uri: 7 }, 'refuse unavailable'],
  ]
  for (const [name, document, expected] of cases) {
    issuer.routes.set(at, json(document))
    const provider = await openJwt(t, { issuer: issuer.url, audience: '*', discovery: true }, { clock: hands })
    assert.equal(await outcome(provider, { password: tokens[0] ?? '' }), expected, name)
    assert.notEqual(await outcome(provider, { password: tokens[1] ?? '' }), 'success', name)
  }
  assert.equal(foreign.count(), 0)
})

test('"Security model", JWT in the password field of CONNECT: HMAC, PEM and JWKS verifiers', async (t) => {
  const { hands, open } = await bench(t, named(first, 'a'))
  const path = join(folder, 'key.pem')
  writeFileSync(path, pemOf(second))
  const given = { issuer: ISSUER, audience: '*' }
  const secret = new TextEncoder().encode(SECRET)
  const claims = { iss: ISSUER, sub: 'u-1', exp: hands.seconds + 60 }
  const verifiers = [
    [
      await openJwt(t, { ...given, secret: { env: 'JWT_SECRET' } }, { clock: hands }),
      await sign(claims, secret, { alg: 'HS256' }),
    ],
    [await openJwt(t, { ...given, public_key_file: path }, { clock: hands }), await tokenOf(hands, second, undefined)],
    [await open(), await tokenOf(hands, first, 'a')],
  ] as const
  for (const [i, [provider]] of verifiers.entries())
    for (const [j, [, password]] of verifiers.entries())
      assert.equal(await outcome(provider, { password }), i === j ? 'success' : 'refuse token-signature', `${i} ${j}`)
})

test('a certificate in place of a public key serves with the key that it is for', async (t) => {
  const hands = new Hands()
  const path = join(folder, 'server.pem')
  writeFileSync(path, certificates.server.certificate)
  const provider = await openJwt(t, { issuer: ISSUER, audience: '*', public_key_file: path }, { clock: hands })
  const { createPrivateKey } = await import('node:crypto')
  const privateKey = createPrivateKey(certificates.server.key)
  const pair = { privateKey, publicKey: createPublicKey(certificates.server.certificate) }
  assert.equal(await outcome(provider, { password: await tokenOf(hands, pair, 'any', {}, 'ES256') }), 'success')
})
