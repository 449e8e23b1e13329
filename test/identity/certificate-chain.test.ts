import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { judgeChain } from '#src/identity/certificate/judge-chain.ts'
import { type Certificate, parseCertificate } from '#src/identity/certificate/parse-certificate.ts'
import { readAnchors } from '#src/identity/certificate/read-anchors.ts'
import {
  type Built,
  buildCa,
  buildCertificate,
  buildClient,
  DAY_MS,
  der,
  newKeys,
  type Plan,
  purposes,
  sequence,
} from '#test/support/certificate-builder.ts'

const run = promisify(execFile)
let dir = ''
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sealwire-chains-'))
})
after(() => rm(dir, { recursive: true, force: true }))

const NOW = Date.now()

/** What openssl says of the same certificates: another implementation of RFC 5280. */
async function opensslSays(chain: readonly Built[], anchors: readonly Built[]): Promise<'ok' | 'no'> {
  const [leaf, ...others] = chain
  const write = async (name: string, pem: string) => {
    const file = join(dir, name)
    await writeFile(file, pem)
    return file
  }
  const trusted = await write('ca.pem', anchors.map(({ pem }) => pem).join(''))
  const untrusted =
    others.length === 0 ? [] : ['-untrusted', await write('chain.pem', others.map(({ pem }) => pem).join(''))]
  const file = await write('leaf.pem', leaf?.pem ?? '')
  const options = ['-no-CApath', '-no-CAstore', '-purpose', 'sslclient', '-partial_chain', '-auth_level', '2']
  const verdict = run('openssl', ['verify', ...options, '-CAfile', trusted, ...untrusted, file])
  return verdict.then(
    () => 'ok',
    () => 'no',
  )
}

const parsed = (built: Built): Certificate => parseCertificate(built.der) ?? assert.fail('does not parse')

function ours(chain: readonly Built[], anchors: readonly Built[], now = NOW): string {
  const verdict = judgeChain(chain.map(parsed), anchors.map(parsed), now)
  if (verdict.outcome === 'refused') return verdict.reason
  return verdict.outcome
}

const root = buildCa('root')
const middle = buildCa('middle', { issuer: root })
const lower = buildCa('lower', { issuer: middle })
const client = buildClient('device-1', root)
const below = buildClient('device-1', middle)
const deep = buildClient('device-1', lower)
const impostor = buildCa('root')
const old = { from: NOW - 20 * DAY_MS, to: NOW - 10 * DAY_MS }
const early = { from: NOW + 10 * DAY_MS, to: NOW + 20 * DAY_MS }
const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength })
const rsaRoot = buildCa('rsa-root', { keys: rsa(2048), algorithm: 'rsa-sha256' })
const constrained = buildCa('constrained', {
  issuer: root,
  extensions: [
    { id: '2.5.29.30', critical: true, value: sequence(der(0xa0, sequence(der(0x82, Buffer.from('example'))))) },
  ],
})
const noChildren = buildCa('no-children', { issuer: root, pathLength: 0 })
const tooLow = buildCa('too-low', { issuer: noChildren })
const selfIssuedKeys = newKeys()
const rollover = buildCertificate({
  cn: 'no-children',
  issuer: noChildren,
  keys: selfIssuedKeys,
  ca: true,
  keyUsage: [5],
})
const chainOf = (length: number) => {
  const chain = [buildCa('level-0', { issuer: root })]
  for (let i = 1; i < length; i++) chain.unshift(buildCa(`level-${i}`, { issuer: chain[0] as Built }))
  return [buildClient('device-1', chain[0] as Built), ...chain]
}
const plain = buildCertificate({ cn: 'plain', issuer: root })
const variant = (plan: Plan) => buildClient('device-1', root, plan)
const sameNameMiddle = buildCa('middle', { issuer: root })
const expiredMiddle = buildCa('middle', { issuer: root, keys: middle.keys, ...old })
const loopA = buildCa('loop-a')
const loopB = buildCa('loop-b', { issuer: loopA })
const loopBack = buildCa('loop-a', { issuer: loopB, keys: loopA.keys })

interface Case {
  readonly title: string
  readonly chain: readonly Built[]
  readonly anchors?: readonly Built[]
  readonly says: string
  /** Where openssl is told to say another thing than we do, with the reason. */
  readonly openssl?: 'ok' | 'no'
}

const cases: readonly Case[] = [
  { title: 'a client of the CA', chain: [client], says: 'trusted' },
  { title: 'a client below an intermediate', chain: [below, middle], says: 'trusted' },
  { title: 'the root sent along', chain: [below, middle, root], says: 'trusted' },
  { title: 'two intermediates', chain: [deep, lower, middle], says: 'trusted' },
  {
    title: 'two intermediates in the wrong order (RFC 8446 §4.4.2 allows it)',
    chain: [deep, middle, lower],
    says: 'trusted',
  },
  { title: 'something that belongs to nobody sent along', chain: [below, impostor, middle], says: 'trusted' },
  { title: 'an intermediate that is trusted itself', chain: [below], anchors: [middle], says: 'trusted' },
  { title: 'several CAs', chain: [client], anchors: [impostor, rsaRoot, root], says: 'trusted' },
  { title: 'no extended key usage: any', chain: [buildCertificate({ cn: 'device-1', issuer: root })], says: 'trusted' },
  { title: 'client and server', chain: [variant({ purposes: [purposes.server, purposes.client] })], says: 'trusted' },
  { title: 'Ed25519', chain: [variant({ keys: generateKeyPairSync('ed25519') })], says: 'trusted' },
  {
    title: 'RSA of 2048 bits, PKCS #1',
    chain: [buildClient('device-1', rsaRoot, { algorithm: 'rsa-sha256' })],
    anchors: [rsaRoot],
    says: 'trusted',
  },
  {
    title: 'RSA-PSS with SHA-256',
    chain: [buildClient('device-1', rsaRoot, { algorithm: 'pss-sha256' })],
    anchors: [rsaRoot],
    says: 'trusted',
  },
  {
    title: 'an old and a new intermediate of one name and key',
    chain: [below, expiredMiddle, middle],
    says: 'trusted',
  },
  {
    title: 'two intermediates of one name, the wrong one first',
    chain: [below, sameNameMiddle, middle],
    says: 'trusted',
  },
  { title: 'a path length that is kept', chain: [buildClient('device-1', noChildren), noChildren], says: 'trusted' },
  {
    title: 'a CA that issued for itself is no level',
    chain: [buildClient('device-1', rollover), rollover, noChildren],
    says: 'trusted',
  },

  { title: 'another CA', chain: [client], anchors: [buildCa('other')], says: 'foreign' },
  { title: 'signed by itself', chain: [buildCertificate({ cn: 'device-1' })], says: 'foreign' },
  { title: 'the intermediate is missing', chain: [below], says: 'foreign' },
  {
    title: 'a CA of the same name with another key',
    chain: [client],
    anchors: [impostor],
    says: 'certificate-untrusted',
  },
  {
    title: 'an intermediate of the same name with another key',
    chain: [below, sameNameMiddle],
    says: 'certificate-untrusted',
  },
  { title: 'expired', chain: [variant(old)], says: 'certificate-expired' },
  { title: 'not yet valid', chain: [variant(early)], says: 'certificate-not-yet-valid' },
  { title: 'an intermediate that has expired', chain: [below, expiredMiddle], says: 'certificate-expired' },
  {
    title: 'a CA that has expired',
    chain: [client],
    anchors: [buildCa('root', { keys: root.keys, ...old })],
    says: 'certificate-expired',
  },
  { title: 'a server certificate', chain: [variant({ purposes: [purposes.server] })], says: 'certificate-untrusted' },
  {
    title: 'any purpose, which is not clientAuth',
    chain: [variant({ purposes: [purposes.any] })],
    says: 'certificate-untrusted',
  },
  { title: 'a key that may not sign', chain: [variant({ keyUsage: [2] })], says: 'certificate-untrusted' },
  {
    title: 'an issuer without the flag of a CA',
    chain: [buildClient('device-2', client), client],
    says: 'certificate-untrusted',
  },
  {
    title: 'an issuer without basic constraints',
    chain: [buildClient('device-2', plain), plain],
    says: 'certificate-untrusted',
  },
  {
    title: 'an issuer that may not sign certificates',
    chain: [
      ...(() => {
        const ca = buildCa('no-sign', { issuer: root, keyUsage: [0] })
        return [buildClient('device-1', ca), ca]
      })(),
    ],
    says: 'certificate-untrusted',
  },
  {
    title: 'an intermediate for servers alone',
    chain: [
      ...(() => {
        const ca = buildCa('servers', { issuer: root, purposes: [purposes.server] })
        return [buildClient('device-1', ca), ca]
      })(),
    ],
    says: 'certificate-untrusted',
  },
  {
    title: 'a path length that is passed',
    chain: [buildClient('device-1', tooLow), tooLow, noChildren],
    says: 'certificate-untrusted',
  },
  {
    title: 'name constraints, which we do not judge',
    chain: [buildClient('device-1', constrained), constrained],
    says: 'certificate-untrusted',
    openssl: 'ok',
  },
  {
    title: 'a critical extension that nobody knows',
    chain: [variant({ extensions: [{ id: '1.2.3.4', critical: true, value: Buffer.of(5, 0) }] })],
    says: 'certificate-untrusted',
  },
  {
    title: 'an extension that nobody knows and that is not critical',
    chain: [variant({ extensions: [{ id: '1.2.3.4', value: Buffer.of(5, 0) }] })],
    says: 'trusted',
  },
  {
    title: 'a CA in place of a client',
    chain: [buildCa('signing-ca', { issuer: root, keyUsage: [0, 5] })],
    says: 'certificate-untrusted',
    openssl: 'ok',
  },
  { title: 'RSA of 1024 bits', chain: [variant({ keys: rsa(1024) })], says: 'certificate-untrusted' },
  {
    title: 'a curve that is too small',
    chain: [variant({ keys: generateKeyPairSync('ec', { namedCurve: 'secp224r1' }) })],
    says: 'certificate-untrusted',
    openssl: 'ok',
  },
  { title: 'a signature with SHA-1', chain: [variant({ algorithm: 'ecdsa-sha1' })], says: 'certificate-untrusted' },
  {
    title: 'a signature of RSA with SHA-1',
    chain: [buildClient('device-1', rsaRoot, { algorithm: 'rsa-sha1' })],
    anchors: [rsaRoot],
    says: 'certificate-untrusted',
  },
  {
    title: 'a signature of RSA with MD5',
    chain: [buildClient('device-1', rsaRoot, { algorithm: 'rsa-md5' })],
    anchors: [rsaRoot],
    says: 'certificate-untrusted',
  },
  {
    title: 'RSA-PSS with its default, SHA-1',
    chain: [buildClient('device-1', rsaRoot, { algorithm: 'pss-sha1' })],
    anchors: [rsaRoot],
    says: 'certificate-untrusted',
  },
  { title: 'CAs in a circle', chain: [buildClient('device-1', loopB), loopB, loopBack], says: 'foreign' },
  { title: 'six intermediates', chain: chainOf(6), says: 'trusted' },
  {
    title: 'seven intermediates: a path that is too long',
    chain: chainOf(7),
    says: 'certificate-untrusted',
    openssl: 'ok',
  },
]

for (const { title, chain, anchors = [root], says, openssl } of cases) {
  test(`client certificates: ${title}: ${says}`, async () => {
    assert.equal(ours(chain, anchors), says)
    assert.equal(await opensslSays(chain, anchors), openssl ?? (says === 'trusted' ? 'ok' : 'no'))
  })
}

test('client certificates: ML-DSA-65 of leaf and CA', () => {
  const keys = () => generateKeyPairSync('ml-dsa-65')
  const ca = buildCa('quantum', { keys: keys(), algorithm: 'ml-dsa-65' })
  const leaf = buildClient('device-1', ca, { keys: keys(), algorithm: 'ml-dsa-65' })
  assert.equal(ours([leaf], [ca]), 'trusted')
  assert.equal(ours([leaf], [buildCa('quantum', { keys: keys(), algorithm: 'ml-dsa-65' })]), 'certificate-untrusted')
})

test('client certificates: what is trusted ends with the first certificate of its path', () => {
  const short = buildCa('short', { issuer: root, to: NOW + 2 * DAY_MS })
  const verdict = judgeChain([buildClient('device-1', short), short].map(parsed), [parsed(root)], NOW)
  assert.equal(verdict.outcome === 'trusted' && verdict.expiresAt, Math.floor((NOW + 2 * DAY_MS) / 1000) * 1000)
  assert.equal(verdict.outcome === 'trusted' && verdict.anchor.fingerprint, parsed(root).fingerprint)
})

test('client certificates: validity includes both of its ends and nothing beyond', () => {
  const [from, to] = [Math.floor(NOW / 1000) * 1000, Math.floor(NOW / 1000) * 1000 + DAY_MS]
  const ca = buildCa('wide', { from: from - DAY_MS, to: to + DAY_MS })
  const leaf = buildClient('device-1', ca, { from, to })
  const seen = [from - 1, from, to, to + 1].map((now) => ours([leaf], [ca], now))
  assert.deepEqual(seen, ['certificate-not-yet-valid', 'trusted', 'trusted', 'certificate-expired'])
})

test('client certificates: many of one name cost a bounded number of signatures', () => {
  const many = Array.from({ length: 60 }, () => buildCa('middle', { issuer: root }))
  const chain = [below, ...many, middle].map(parsed)
  let verified = 0
  const [leaf, ...others] = chain
  assert.ok(leaf)
  const verify = () => {
    verified++
    return false
  }
  const counted = { ...leaf, x509: { verify } as unknown as Certificate['x509'] }
  assert.equal(judgeChain([counted, ...others], [parsed(root)], NOW).outcome, 'refused')
  assert.equal(verified, 16)
})

test('client certificates: CAs in a circle are each tried once', () => {
  let verified = 0
  const wayOut = buildCa('loop-a', { issuer: impostor, keys: loopA.keys })
  const counted = [buildClient('device-1', loopB), loopB, loopBack, wayOut].map(parsed).map((one) => {
    const verify = (key: Parameters<Certificate['x509']['verify']>[0]) => {
      verified++
      return one.x509.verify(key)
    }
    return { ...one, x509: { publicKey: one.x509.publicKey, verify } as unknown as Certificate['x509'] }
  })
  assert.equal(judgeChain(counted, [parsed(root)], NOW).outcome, 'refused')
  assert.equal(verified, 4)
  verified = 0
  assert.equal(judgeChain(counted.slice(0, 3), [parsed(root)], NOW).outcome, 'foreign')
  assert.equal(verified, 0, 'what names no CA of ours costs no signature')
})

test('CAs in a file: every certificate must be one that may issue for clients, with a strong key', () => {
  const good = readAnchors(`# ours\n${root.pem}\nand another\n${rsaRoot.pem}`)
  assert.equal('certificates' in good && good.certificates.length, 2)
  const key = root.keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const bad: Record<string, [string, RegExp]> = {
    nothing: ['', /no certificate/],
    'text alone': ['hello', /no certificate/],
    'a client': [`${root.pem}${client.pem}`, /^certificate 2 cannot be trusted: an issuer that is no CA$/],
    'a weak key': [buildCa('weak', { keys: rsa(1024), algorithm: 'rsa-sha256' }).pem, /a weak key/],
    'name constraints': [constrained.pem, /name constraints, which are not supported/],
    'servers alone': [buildCa('s', { purposes: [purposes.server] }).pem, /not for client certificates/],
    'version 1': [buildCertificate({ cn: 'v1', version: 0 }).pem, /no certificate of X\.509 version 3/],
    'a private key': [`${root.pem}${key}`, /holds a private key/],
    'an end that is missing': [`${root.pem}${root.pem.slice(0, 200)}`, /PEM that does not end/],
    'no DER in it': [
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      /certificate 1 is no certificate/,
    ],
    'too many': [root.pem.repeat(101), /more than 100/],
  }
  for (const [why, [pem, problem]] of Object.entries(bad)) {
    const read = readAnchors(pem)
    assert.match('problem' in read ? read.problem : 'taken', problem, why)
    assert.ok(!('problem' in read) || !read.problem.includes('MII'), 'no content in a problem')
  }
})
