import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { systemClock } from '#src/core/clock.ts'
import { Secret } from '#src/core/secret.ts'
import { createAnonymousProvider } from '#src/identity/anonymous.ts'
import {
  CaFileInvalid,
  type CertificateProvider,
  createCertificateProvider,
} from '#src/identity/certificate/create-certificate-provider.ts'
import { parseCertificate } from '#src/identity/certificate/parse-certificate.ts'
import { certificateProviderSchema } from '#src/identity/certificate/settings.ts'
import { createAuthenticator } from '#src/identity/chain.ts'
import type { Credentials, Verdict } from '#src/identity/provider.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import {
  type Built,
  buildCa,
  buildCertificate,
  buildClient,
  der,
  nameOf,
  oid,
  type Plan,
  pemOf,
  sequence,
  utf8String,
} from '#test/support/certificate-builder.ts'
import { type Certificates, createCertificates } from '#test/support/certificates.ts'

const run = promisify(execFile)

let dir = ''
let real: Certificates
const open: CertificateProvider[] = []
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sealwire-x509-'))
  real = await createCertificates()
})
after(async () => {
  for (const one of open) one.close()
  await real.remove()
  await rm(dir, { recursive: true, force: true })
})

const root = buildCa('root')
let files = 0
let lines: string[] = []
const note = (_: object, message: string) => void lines.push(message)
const log = { debug: () => undefined, info: note, warn: note, error: note }

interface Section {
  readonly ca?: string
  readonly [member: string]: unknown
}

async function provider({ ca = root.pem, ...section }: Section = {}): Promise<CertificateProvider & { file: string }> {
  const file = join(dir, `ca-${++files}.pem`)
  await writeFile(file, ca)
  const matches = [{ cn: { regex: '.*' } }]
  const settings = certificateProviderSchema.parse({ type: 'x509', ca_file: file, matches, ...section })
  const created = await createCertificateProvider(settings, {
    name: 'devices',
    clock: systemClock,
    log,
    lookMs: 3_600_000,
  })
  open.push(created)
  return { ...created, file }
}

const signal = new AbortController().signal
const ders = (chain: readonly (Built | string)[]): Uint8Array[] =>
  chain.map((one) =>
    typeof one === 'string' ? Buffer.from(one.replace(/-----[^-]+-----|\s/g, ''), 'base64') : one.der,
  )
const ask = (
  { authenticate }: Pick<CertificateProvider, 'authenticate'>,
  chain: readonly (Built | string)[],
  more: Partial<Credentials> = {},
): Promise<Verdict> => authenticate({ clientId: 'c1', certificates: ders(chain), ...more }, signal)

/** What openssl says of clients of `root`: those that it lets in, and all that it writes. */
async function opensslSays(clients: readonly Built[], middle?: Built): Promise<{ good: boolean[]; said: string }> {
  const write = async (name: string, { pem }: Pick<Built, 'pem'>) => {
    await writeFile(join(dir, name), pem)
    return join(dir, name)
  }
  const untrusted = middle ? ['-untrusted', await write('openssl-middle.pem', middle)] : []
  const ca = await write('openssl-ca.pem', root)
  const files = await Promise.all(clients.map((one, i) => write(`openssl-client-${i}.pem`, one)))
  const verify = run('openssl', ['verify', '-purpose', 'sslclient', '-CAfile', ca, ...untrusted, ...files])
  const { stdout, stderr } = await verify.catch((err: { code?: unknown; stdout: string; stderr: string }) => {
    if (err.code !== 2) throw err // what is not a verdict
    return err
  })
  return { good: files.map((file) => stdout.includes(`${file}: OK`)), said: stdout + stderr }
}

const refused = (reason: string) => ({ outcome: 'refuse', reason })

function identityOf(verdict: Verdict) {
  return verdict.outcome === 'success' ? verdict.identity : assert.fail(`${verdict.outcome}: ${verdict.reason}`)
}

test('X.509: certificates that openssl made: its client is let in with what the certificate says', async () => {
  const devices = await provider({ ca: real.ca, matches: [{ cn: 'device-1', groups: ['devices'], org: 'acme' }] })
  const verdict = await ask(devices, [real.client.certificate], { ip: '192.0.2.7', tls: true, protocol: 5 })
  const said = async (...args: string[]) => {
    const { stdout } = await run('openssl', ['x509', '-noout', '-in', real.client.certificateFile, ...args])
    return stdout.trim().replace(/^[^=]+=\s*/, '')
  }
  const fingerprint = (await said('-fingerprint', '-sha256')).replaceAll(':', '').toLowerCase()
  assert.deepEqual(identityOf(verdict), {
    clientId: 'c1',
    ip: '192.0.2.7',
    protocol: 5,
    tls: true,
    username: 'device-1',
    type: 'device',
    auth: 'x509',
    org: 'acme',
    groups: ['devices'],
    roles: [],
    scopes: [],
    cert: {
      cn: 'device-1',
      san: ['device-1'],
      issuer: await said('-issuer', '-nameopt', 'RFC2253'),
      serial: (await said('-serial')).toLowerCase(),
      fingerprint,
    },
  })
  assert.ok(verdict.outcome === 'success')
  const ends = [
    await said('-enddate'),
    (await run('openssl', ['x509', '-noout', '-enddate', '-in', real.caFile])).stdout,
  ]
  assert.equal(verdict.expiresAt, Math.min(...ends.map((text) => Date.parse(text.trim().replace(/^.*=/, '')))))
  assert.ok(verdict.grant.length <= 256)
  assert.equal(devices.holds(verdict.grant), true)
})

test('X.509: certificates that openssl made: another CA is skipped, all the rest that is wrong is refused', async () => {
  const devices = await provider({ ca: real.ca })
  assert.deepEqual(await ask(devices, [real.foreignClient.certificate]), {
    outcome: 'skip',
    reason: 'certificate-untrusted',
  })
  assert.deepEqual(await ask(devices, [real.selfSigned.certificate]), {
    outcome: 'skip',
    reason: 'certificate-untrusted',
  })
  assert.deepEqual(await ask(devices, [real.expiredClient.certificate]), refused('certificate-expired'))
  assert.deepEqual(await ask(devices, [real.server.certificate]), refused('certificate-untrusted'))
  assert.deepEqual(await ask(devices, [real.weak.certificate]), refused('certificate-untrusted'))
  assert.deepEqual(await ask(devices, [real.ca]), refused('certificate-untrusted'))
  const both = await provider({ ca: `${real.ca}${real.otherCa}` })
  assert.equal(identityOf(await ask(both, [real.foreignClient.certificate])).username, 'device-1')
})

test('X.509: who shows no certificate is skipped, whatever else it shows', async () => {
  const devices = await provider()
  const password = new Secret<Uint8Array>(Buffer.from('x'))
  const skipped = { outcome: 'skip', reason: 'no-credentials' }
  assert.deepEqual(await ask(devices, [], { username: 'device-1', password }), skipped)
  assert.deepEqual(await devices.authenticate({ clientId: 'device-1' }, signal), skipped)
})

test('X.509: the username of the client may be none, or that of the certificate', async () => {
  const devices = await provider()
  const client = buildClient('device-1', root)
  for (const username of ['', 'device-1'])
    assert.equal(identityOf(await ask(devices, [client], { username })).username, 'device-1')
  assert.equal(identityOf(await ask(devices, [client])).username, 'device-1')
  for (const username of ['admin', 'Device-1', 'device-1 ', 'device-1\0'])
    assert.deepEqual(await ask(devices, [client], { username }), refused('username-mismatch'))
  const lenient = await provider({ connect_username: 'ignored' })
  assert.equal(identityOf(await ask(lenient, [client], { username: 'admin' })).username, 'device-1', 'never believed')
})

const teletex = (text: string) => der(0x14, Buffer.from(text, 'latin1'))
const bmp = (text: string) => der(0x1e, Buffer.from(text, 'utf16le').swap16())
const printable = (text: string) => der(0x13, Buffer.from(text))
const names: readonly {
  readonly title: string
  readonly subject: Buffer
  readonly username: string | undefined
  readonly reason?: string
}[] = [
  { title: 'UTF-8', subject: nameOf(utf8String('gerät-1')), username: 'gerät-1' },
  { title: 'PrintableString', subject: nameOf(printable('device-1')), username: 'device-1' },
  { title: 'BMPString', subject: nameOf(bmp('gerät-1')), username: 'gerät-1' },
  { title: 'a number sign', subject: nameOf(utf8String('#')), username: undefined },
  { title: 'a plus sign', subject: nameOf(utf8String('+')), username: undefined },
  { title: 'a slash', subject: nameOf(utf8String('plant/device-1')), username: undefined },
  { title: 'a wildcard among letters', subject: nameOf(utf8String('device+1')), username: undefined },
  {
    title: 'NUL behind a name',
    subject: nameOf(utf8String('device-1\0.evil')),
    username: undefined,
    reason: 'certificate-untrusted',
  },
  {
    title: 'NUL in a PrintableString',
    subject: nameOf(printable('device-1\0')),
    username: undefined,
    reason: 'certificate-untrusted',
  },
  {
    title: 'a line break',
    subject: nameOf(utf8String('device-1\n')),
    username: undefined,
    reason: 'certificate-untrusted',
  },
  {
    title: 'a control character of Latin-1',
    subject: nameOf(utf8String('device-1\u0085')),
    username: undefined,
    reason: 'certificate-untrusted',
  },
  { title: 'two of them', subject: nameOf(utf8String('device-1'), utf8String('admin')), username: undefined },
  {
    title: 'two of them in one RDN',
    subject: sequence(der(0x31, ...['a', 'b'].map((cn) => sequence(oid('2.5.4.3'), utf8String(cn))))),
    username: undefined,
  },
  { title: 'none', subject: nameOf(), username: undefined },
  { title: 'an empty one', subject: nameOf(utf8String('')), username: undefined },
  { title: 'one that is too long', subject: nameOf(utf8String('d'.repeat(257))), username: undefined },
  {
    title: 'bytes that are not UTF-8',
    subject: nameOf(der(0x0c, Buffer.of(0xff))),
    username: undefined,
    reason: 'certificate-untrusted',
  },
  {
    title: 'half a surrogate pair',
    subject: nameOf(der(0x1e, Buffer.of(0xd8, 0))),
    username: undefined,
    reason: 'certificate-untrusted',
  },
  {
    title: 'TeletexString',
    subject: nameOf(teletex('device-1')),
    username: undefined,
    reason: 'certificate-untrusted',
  },
  {
    title: 'a number in place of text',
    subject: nameOf(der(0x02, Buffer.of(1))),
    username: undefined,
    reason: 'certificate-untrusted',
  },
]
for (const { title, subject, username, reason = 'certificate-unmatched' } of names) {
  test(`X.509: a common name of ${title}: ${username ?? reason}`, async () => {
    const devices = await provider()
    const verdict = await ask(devices, [buildClient([], root, { subject })])
    if (username === undefined) assert.deepEqual(verdict, refused(reason))
    else assert.equal(identityOf(verdict).username, username)
  })
}

test('X.509: a common name that is no username is text for policies, never a wildcard', async () => {
  const devices = await provider({ username_from: 'uri', matches: [{ uri: { regex: 'spiffe://plant/.*' } }] })
  const rule = { id: 'own', effect: 'allow', actions: ['subscribe'], topics: ['devices/${cert.cn}/#'] }
  const parsed = parsePolicy({ schema: 'mqtt-policy/1', id: 'p', rules: [rule] })
  assert.ok(parsed.policy)
  const compiled = compilePolicy(parsed.policy)
  const seen: string[] = []
  for (const cn of ['device-1', '#', '+', 'a/b']) {
    const identity = identityOf(await ask(devices, [buildClient(cn, root, { uri: ['spiffe://plant/line/4'] })]))
    assert.deepEqual([identity.username, identity.cert?.cn], ['spiffe://plant/line/4', cn])
    for (const topic of ['devices/device-1/#', 'devices/#', 'devices/a/b/#'])
      if (
        createSession(compiled, identity).decide({ action: 'subscribe', topic, qos: 0, retain: false }, false)
          .decision === 'allow'
      )
        seen.push(`${cn} ${topic}`)
  }
  assert.deepEqual(seen, ['device-1 devices/device-1/#'])
})

const tests: readonly {
  readonly test: object
  readonly plan: Plan & { cn: string }
  readonly matches: boolean
  readonly why: string
}[] = [
  { test: { cn: 'device-1' }, plan: { cn: 'device-1' }, matches: true, why: 'exact' },
  { test: { cn: 'device-1' }, plan: { cn: 'device-10' }, matches: false, why: 'exact is no prefix' },
  { test: { cn: 'device-1' }, plan: { cn: 'Device-1' }, matches: false, why: 'case' },
  { test: { cn: 'device.1' }, plan: { cn: 'device-1' }, matches: false, why: 'exact is no pattern' },
  { test: { cn: { regex: 'device-[0-9]+' } }, plan: { cn: 'device-1' }, matches: true, why: 'regex' },
  {
    test: { cn: { regex: 'device-[0-9]+' } },
    plan: { cn: 'evil-device-1' },
    matches: false,
    why: 'anchored at the start',
  },
  {
    test: { cn: { regex: 'device-[0-9]+' } },
    plan: { cn: 'device-1-evil' },
    matches: false,
    why: 'anchored at the end',
  },
  { test: { cn: { regex: '^device-[0-9]+$' } }, plan: { cn: 'device-1' }, matches: true, why: 'anchors said' },
  {
    test: { cn: { regex: 'a|device-1' } },
    plan: { cn: 'xdevice-1' },
    matches: false,
    why: 'anchors hold for each alternative',
  },
  {
    test: { cn: { regex: '^a|device-1$' } },
    plan: { cn: 'ax' },
    matches: false,
    why: 'anchors hold for each alternative',
  },
  { test: { dns: 'D1.Example' }, plan: { cn: 'x', dns: ['d1.EXAMPLE'] }, matches: true, why: 'DNS names have no case' },
  { test: { dns: 'd1.example' }, plan: { cn: 'd1.example' }, matches: false, why: 'a common name is no DNS name' },
  {
    test: { cn: 'd1.example' },
    plan: { cn: 'x', dns: ['d1.example'] },
    matches: false,
    why: 'a DNS name is no common name',
  },
  { test: { dns: 'd1.example' }, plan: { cn: 'x', dns: ['*.example'] }, matches: false, why: 'a wildcard is text' },
  {
    test: { uri: { regex: 'urn:dev:[0-9]+' } },
    plan: { cn: 'x', uri: ['urn:other:1', 'urn:dev:7'] },
    matches: true,
    why: 'one of several',
  },
  { test: { uri: 'urn:dev:7' }, plan: { cn: 'x', email: ['urn:dev:7'] }, matches: false, why: 'kinds are apart' },
  { test: { email: 'ops@example.org' }, plan: { cn: 'x', email: ['ops@example.org'] }, matches: true, why: 'email' },
  { test: { cn: 'x', dns: 'd1.example' }, plan: { cn: 'x', dns: ['d1.example'] }, matches: true, why: 'every test' },
  { test: { cn: 'x', dns: 'd1.example' }, plan: { cn: 'x', dns: ['d2.example'] }, matches: false, why: 'every test' },
]
for (const { test: entry, plan, matches, why } of tests) {
  test(`X.509: ${JSON.stringify(entry)} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(plan)}: ${why}`, async () => {
    const devices = await provider({ matches: [entry] })
    const verdict = await ask(devices, [buildClient(plan.cn, root, plan)])
    assert.equal(verdict.outcome, matches ? 'success' : 'refuse')
    if (verdict.outcome === 'refuse') assert.equal(verdict.reason, 'certificate-unmatched')
  })
}

test('X.509: the first entry that matches says who somebody is', async () => {
  const matches = [
    { cn: 'ops', client_type: 'user', groups: ['admins'], scopes: ['mqtt.admin'] },
    { cn: { regex: 'ops|device-.*' }, groups: ['devices'], roles: ['r'] },
  ]
  const devices = await provider({ matches })
  const ops = identityOf(await ask(devices, [buildClient('ops', root)]))
  assert.deepEqual([ops.type, ops.groups, ops.scopes, ops.roles], ['user', ['admins'], ['mqtt.admin'], []])
  const device = identityOf(await ask(devices, [buildClient('device-1', root)]))
  assert.deepEqual([device.type, device.groups, device.scopes, device.roles], ['device', ['devices'], [], ['r']])
  assert.deepEqual(await ask(devices, [buildClient('other', root)]), refused('certificate-unmatched'))
})

test('X.509: the username comes from the one name of its kind; several are refused', async () => {
  const uris = ['spiffe://plant/line/4', 'spiffe://plant/line/5']
  const san = async (from: string, plan: Plan) => {
    const verdict = await ask(await provider({ username_from: from }), [buildClient('cn', root, plan)])
    return verdict.outcome === 'success' ? verdict.identity.username : verdict.reason
  }
  assert.equal(await san('uri', { uri: uris.slice(0, 1) }), uris[0])
  assert.equal(await san('uri', { uri: uris }), 'certificate-unmatched')
  assert.equal(await san('uri', { dns: ['d1.example'] }), 'certificate-unmatched', 'never another name in its place')
  assert.equal(await san('uri', { uri: ['urn:dev:#'] }), 'certificate-unmatched')
  assert.equal(await san('dns', { dns: ['D1.example'], uri: uris }), 'd1.example')
  assert.equal(await san('email', { email: ['d1@example.org'] }), 'd1@example.org')
  assert.equal(await san('email', { email: ['d1+tag@example.org'] }), 'certificate-unmatched')
  assert.equal(await san('dns', { dns: ['d1.example\0.evil'] }), 'certificate-untrusted')
  assert.equal(await san('dns', { dns: ['d\u00e9'] }), 'certificate-untrusted', 'IA5String is ASCII')
})

test('X.509: too many certificates, and bytes that are none, are refused without a look at the rest', async () => {
  const devices = await provider()
  const client = buildClient('device-1', root)
  assert.deepEqual(await ask(devices, [client, ...Array(99).fill(root)]), refused('certificate-untrusted'))
  assert.equal((await ask(devices, [client, ...Array(9).fill(root)])).outcome, 'success')
  const wrong: Record<string, Uint8Array> = {
    nothing: new Uint8Array(0),
    text: Buffer.from('hello'),
    'PEM in place of DER': Buffer.from(client.pem),
    'something behind it': Buffer.concat([client.der, Buffer.of(0)]),
    'an indefinite length': Buffer.concat([Buffer.of(0x30, 0x80), client.der.subarray(4), Buffer.of(0, 0)]),
    'a length that is 4 GiB': Buffer.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff),
    'an extension twice': buildClient('device-1', root, {
      dns: ['a'],
      extensions: [{ id: '2.5.29.17', value: sequence() }],
    }).der,
    'another algorithm outside than inside': buildClient('device-1', root, { outerAlgorithm: 'ecdsa-sha1' }).der,
    'version 1': buildCertificate({ cn: 'device-1', issuer: root, version: 0 }).der,
    'version 4': buildClient('device-1', root, { version: 3 }).der,
    'a serial number of 1 KiB': buildClient('device-1', root, { serial: Buffer.alloc(1024, 1) }).der,
    'bits of key usage beyond its end': buildClient('device-1', root, {
      keyUsage: undefined,
      extensions: [{ id: '2.5.29.15', critical: true, value: der(0x03, Buffer.of(6, 0x80, 0xc0 | 0x04)) }],
    }).der,
    '17 KiB': buildClient('device-1', root, { extensions: [{ id: '1.2.3', value: Buffer.alloc(17_000) }] }).der,
  }
  for (const [why, bytes] of Object.entries(wrong)) {
    const verdict = await devices.authenticate({ clientId: 'c1', certificates: [bytes] }, signal)
    assert.deepEqual(verdict, refused('certificate-untrusted'), why)
    const behind = await devices.authenticate({ clientId: 'c1', certificates: [client.der, bytes] }, signal)
    assert.deepEqual(behind, refused('certificate-untrusted'), `${why}, behind a good one`)
  }
})

test('X.509: an intermediate whose right to sign stands in bits that are not there has none, as openssl says', async () => {
  const extensions = [{ id: '2.5.29.15', critical: true, value: der(0x03, Buffer.of(7, 0x84)) }]
  const middle = buildCa('middle', { issuer: root, keyUsage: undefined, extensions })
  const client = buildClient('device-1', middle)
  assert.deepEqual(await ask(await provider(), [client, middle]), refused('certificate-untrusted'))
  const { good, said } = await opensslSays([client], middle)
  assert.deepEqual(good, [false])
  assert.match(said, /key usage does not include certificate signing/)
})

const utc = (text: string) => der(0x17, Buffer.from(text))
const generalized = (text: string) => der(0x18, Buffer.from(text))
const [FROM, TO] = [generalized('20200101000000Z'), generalized('99991231235959Z')]
const times: readonly { readonly says: Uint8Array; readonly reason?: string; readonly why: string }[] = [
  { says: utc('250101000000Z'), why: 'UTCTime' },
  { says: utc('500101000000Z'), why: 'UTCTime from 50 on, which is 1950' },
  { says: utc('491231235959Z'), why: 'UTCTime to 49, which is 2049', reason: 'certificate-not-yet-valid' },
  { says: generalized('20500101000000Z'), why: 'GeneralizedTime from 2050 on', reason: 'certificate-not-yet-valid' },
  { says: utc('2501010000Z'), why: 'without seconds', reason: 'certificate-untrusted' },
  { says: utc('250101000000+0100'), why: 'in another zone', reason: 'certificate-untrusted' },
  { says: generalized('20250101000000+0100'), why: 'in another zone', reason: 'certificate-untrusted' },
  { says: generalized('20250101000000.5Z'), why: 'with a fraction', reason: 'certificate-untrusted' },
  { says: generalized('20250101000000'), why: 'in no zone', reason: 'certificate-untrusted' },
  { says: generalized('20250230000000Z'), why: 'on a day that is none', reason: 'certificate-untrusted' },
  { says: generalized('20250101240000Z'), why: 'at an hour that is none', reason: 'certificate-untrusted' },
  { says: generalized('20250101000060Z'), why: 'at a second that is none', reason: 'certificate-untrusted' },
  { says: generalized(''), why: 'empty', reason: 'certificate-untrusted' },
]
test('X.509: a certificate that carries a good one as PEM is not taken for that one', async () => {
  const devices = await provider()
  const good = buildClient('device-1', root)
  const carrying = (carried: Built) => ({ extensions: [{ id: '1.2.3.4', value: Buffer.from(`\n${carried.pem}`) }] })
  const forged = buildClient('admin', buildCa('root'), carrying(good)) // another CA that calls itself root
  assert.deepEqual(await ask(devices, [forged]), refused('certificate-untrusted'))
  const other = buildCa('root')
  const middle = buildCa('middle', { issuer: other, ...carrying(buildCa('middle', { issuer: root })) })
  assert.deepEqual(await ask(devices, [buildClient('admin', middle), middle]), refused('certificate-untrusted'))
  assert.equal((await ask(devices, [good])).outcome, 'success')
})

test('X.509: times are those of RFC 5280, to the second and in UTC, as openssl says', async () => {
  const devices = await provider()
  const clients = times.map(({ says }) => buildClient('device-1', root, { times: [says, TO] }))
  const { good } = await opensslSays(clients)
  for (const [i, { says, why, reason }] of times.entries()) {
    const title = `notBefore is ${Buffer.from(says).subarray(2).toString()}: ${why}`
    const verdict = await ask(devices, clients.slice(i, i + 1))
    assert.equal(verdict.outcome === 'success' ? undefined : verdict.reason, reason, title)
    assert.equal(good[i], reason === undefined, title)
    if (reason !== 'certificate-untrusted') continue
    const endless = buildClient('device-1', root, { times: [FROM, says] })
    assert.deepEqual(await ask(devices, [endless]), refused(reason), `${title}, as notAfter`)
  }
})

test('X.509: no truncation and no bit that is turned lets anybody in, and none throws', async () => {
  const devices = await provider()
  const { der: good } = buildClient('device-1', root, { dns: ['device-1'] })
  let tried = 0
  const attempt = async (bytes: Uint8Array) => {
    const verdict = await devices.authenticate({ clientId: 'c1', certificates: [bytes] }, signal)
    assert.notEqual(verdict.outcome, 'success')
    tried++
  }
  for (let length = 0; length < good.length; length++) await attempt(good.subarray(0, length))
  for (let bit = 0; bit < good.length * 8; bit++) {
    const turned = Buffer.from(good)
    turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7))
    await attempt(turned)
  }
  assert.equal(tried, good.length * 9)
})

test('X.509: what is read here is what openssl reads', async () => {
  const subject = sequence(
    der(0x31, sequence(oid('2.5.4.6'), printable('DE'))),
    der(0x31, sequence(oid('2.5.4.10'), utf8String('Acme, "Inc." <x>\\'))),
    der(
      0x31,
      sequence(oid('2.5.4.11'), utf8String('#1 ')),
      sequence(oid('0.9.2342.19200300.100.1.25'), der(0x16, Buffer.from('org'))),
    ),
    der(0x31, sequence(oid('1.2.840.113549.1.9.1'), der(0x16, Buffer.from('ca@example.org')))),
    der(0x31, sequence(oid('2.5.4.3'), utf8String(' root; + =+\n'))),
  )
  const ca = buildCa('', { subject })
  const file = join(dir, 'odd.pem')
  await writeFile(file, pemOf(ca.der))
  const { stdout } = await run('openssl', ['x509', '-noout', '-issuer', '-nameopt', 'RFC2253', '-in', file])
  // RFC 2253 has no order within an RDN; openssl writes the last attribute first.
  const expected = stdout
    .replace(/^issuer=/, '')
    .replace(/\n$/, '')
    .replace('DC=org+OU=\\#1\\ ', 'OU=\\#1\\ +DC=org')
  assert.equal(parseCertificate(ca.der)?.issuerText, expected)
})

test('X.509: a CA that leaves the file takes its clients with it; one that comes brings its own', async () => {
  const other = buildCa('other')
  const devices = await provider({ ca: `${root.pem}${other.pem}` })
  const [mine, theirs] = [await ask(devices, [buildClient('d1', root)]), await ask(devices, [buildClient('d2', other)])]
  assert.ok(mine.outcome === 'success' && theirs.outcome === 'success')
  await writeFile(devices.file, other.pem)
  await devices.refresh()
  assert.deepEqual([devices.holds(mine.grant), devices.holds(theirs.grant)], [false, true])
  assert.deepEqual(await ask(devices, [buildClient('d1', root)]), { outcome: 'skip', reason: 'certificate-untrusted' })
  await writeFile(devices.file, root.pem)
  await devices.refresh()
  assert.deepEqual([devices.holds(mine.grant), devices.holds(theirs.grant)], [true, false])
  assert.deepEqual([devices.holds(''), devices.holds('.'), devices.holds('x509')], [false, false, false])
})

test('X.509: with an invalid file, or none, the CAs from before stay, and the log says so once', async () => {
  const devices = await provider()
  const verdict = await ask(devices, [buildClient('d1', root)])
  assert.ok(verdict.outcome === 'success')
  lines = []
  await writeFile(devices.file, `${root.pem}-----BEGIN CERTIFICATE-----\n`)
  for (let i = 0; i < 3; i++) await devices.refresh()
  assert.deepEqual(lines, ['the file of CAs is not taken; those from before stay'])
  await rm(devices.file)
  for (let i = 0; i < 3; i++) await devices.refresh()
  assert.equal(lines.length, 2)
  assert.equal(devices.holds(verdict.grant), true)
  assert.equal((await ask(devices, [buildClient('d2', root)])).outcome, 'success')
})

test('X.509 in a chain: no weaker provider lets in a certificate that was refused or skipped, and blocked names are those verified', async () => {
  const devices = await provider()
  const reasons: string[] = []
  const authenticator = createAuthenticator({
    providers: [devices, createAnonymousProvider({ type: 'anonymous', groups: [] }, { name: 'guests' })],
    clientIds: () => true,
    blocked: { judge: ({ username }) => (username === 'stolen' ? 'blk_1' : undefined) },
    refusals: { note: ({ reason, provider: by }) => void reasons.push(`${reason} by ${by}`) },
    log,
  })
  const join = async (chain: readonly Built[]) => {
    const answer = await authenticator.authenticate({ clientId: 'c1', certificates: ders(chain) }, signal)
    return 'accepted' in answer ? `in by ${answer.accepted.provider}` : answer.refused.reason
  }
  assert.equal(await join([buildClient('device-1', root)]), 'in by devices')
  assert.equal(await join([buildClient('stolen', root)]), 'blocked', 'although the client sent no username')
  assert.equal(await join([buildClient('device-1', buildCa('other'))]), 'certificate-untrusted')
  assert.equal(await join([buildClient('device-1', buildCa('root'))]), 'certificate-untrusted')
  assert.equal(await join([]), 'in by guests')
  assert.deepEqual(reasons, [
    'blocked by undefined',
    'certificate-untrusted by devices',
    'certificate-untrusted by devices',
  ])
})

test('X.509: a file of CAs that cannot be used ends the start, with its path and the reason', async () => {
  const expect = async (ca_file: string, problem: RegExp) => {
    const settings = certificateProviderSchema.parse({ type: 'x509', ca_file, matches: [{ cn: 'a' }] })
    const created = createCertificateProvider(settings, { name: 'devices', clock: systemClock, log })
    await assert.rejects(created, (err) => err instanceof CaFileInvalid && problem.test(err.message))
  }
  await expect(join(dir, 'missing.pem'), /missing\.pem" cannot be read: ENOENT/)
  await expect(dir, /is not a file/)
  const file = join(dir, 'bad.pem')
  await writeFile(file, buildClient('d1', root).pem)
  await expect(file, /bad\.pem" certificate 1 cannot be trusted: an issuer that is no CA/)
  await writeFile(file, Buffer.alloc(1_048_577, 0x20))
  await expect(file, /is longer than 1048576 bytes/)
})

test('X.509: the section of a configuration is strict', () => {
  const good = { type: 'x509', ca_file: '/ca.pem', matches: [{ cn: 'a' }] }
  assert.equal(certificateProviderSchema.safeParse(good).success, true)
  const bad: Record<string, object> = {
    'no entry': { ...good, matches: [] },
    'no matches': { type: 'x509', ca_file: '/ca.pem' },
    'an entry that tests nothing': { ...good, matches: [{ groups: ['a'] }] },
    'an unknown member': { ...good, skip_validity: true },
    'an unknown test': { ...good, matches: [{ ou: 'a' }] },
    'a regex that is none': { ...good, matches: [{ cn: { regex: '(' } }] },
    'a regex that is not linear': { ...good, matches: [{ cn: { regex: '(a)\\1' } }] },
    'an empty name': { ...good, matches: [{ cn: '' }] },
    'another type of client': { ...good, matches: [{ cn: 'a', client_type: 'anonymous' }] },
    'another name for the username': { ...good, username_from: 'ou' },
  }
  for (const [why, section] of Object.entries(bad))
    assert.equal(certificateProviderSchema.safeParse(section).success, false, why)
})
