import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

/** Encodes one element of DER. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content])
  const octets = Buffer.from(length.toString(16).padStart(length > 0xffff ? 6 : length > 0xff ? 4 : 2, '0'), 'hex')
  return Buffer.concat([Buffer.of(tag, 0x80 | octets.length), octets, content])
}

export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...arcs] = text.split('.').map(Number)
  const octets = [first * 40 + second, ...arcs].flatMap((arc) => {
    const digits = [arc & 0x7f]
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift(0x80 | (rest & 0x7f))
    return digits
  })
  return der(0x06, Buffer.from(octets))
}

export const utf8String = (text: string): Buffer => der(0x0c, Buffer.from(text))
export const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts)
const integer = (value: number | Uint8Array): Buffer => der(0x02, typeof value === 'number' ? Buffer.of(value) : value)
const bits = (bytes: Uint8Array): Buffer => der(0x03, Buffer.of(0), bytes)
const boolean = (value: boolean): Buffer => der(0x01, Buffer.of(value ? 0xff : 0))

export const DAY_MS = 86_400_000
const time = (at: number): Buffer => der(0x18, Buffer.from(new Date(at).toISOString().replace(/[-:T]|\.\d+/g, '')))

const nullParameters = der(0x05)
const rsa = (arc: number) => sequence(oid(`1.2.840.113549.1.1.${arc}`), nullParameters)
const pss = (hash?: string) =>
  sequence(
    oid('1.2.840.113549.1.1.10'),
    hash === undefined
      ? sequence()
      : sequence(
          der(0xa0, sequence(oid(hash), nullParameters)),
          der(0xa1, sequence(oid('1.2.840.113549.1.1.8'), sequence(oid(hash), nullParameters))),
          der(0xa2, integer(32)),
        ),
  )
const SHA256 = '2.16.840.1.101.3.4.2.1'

/** Signature algorithms of certificates: what they are called in one, and the digest that Node signs with. */
export const algorithms = {
  'ecdsa-sha256': { id: sequence(oid('1.2.840.10045.4.3.2')), digest: 'sha256' },
  'ecdsa-sha1': { id: sequence(oid('1.2.840.10045.4.1')), digest: 'sha1' },
  'rsa-sha256': { id: rsa(11), digest: 'sha256' },
  'rsa-sha1': { id: rsa(5), digest: 'sha1' },
  'rsa-md5': { id: rsa(4), digest: 'md5' },
  'pss-sha256': { id: pss(SHA256), digest: 'sha256' },
  'pss-sha1': { id: pss(), digest: 'sha1' },
  ed25519: { id: sequence(oid('1.3.101.112')), digest: null },
  'ml-dsa-65': { id: sequence(oid('2.16.840.1.101.3.4.3.18')), digest: null },
} as const
export type Algorithm = keyof typeof algorithms

export interface Extension {
  readonly id: string
  readonly critical?: boolean
  readonly value: Uint8Array
}

export interface Built {
  readonly der: Buffer
  readonly pem: string
  readonly subject: Buffer
  readonly keys: KeyPair
}

export interface Plan {
  /** Common names, or a whole Name. */
  readonly cn?: string | readonly string[]
  readonly subject?: Buffer
  /** Absent: signed by itself. */
  readonly issuer?: Pick<Built, 'subject' | 'keys'>
  readonly keys?: KeyPair
  readonly algorithm?: Algorithm
  /** What the certificate says that it is signed with, outside of what is signed. */
  readonly outerAlgorithm?: Algorithm
  readonly serial?: Uint8Array
  readonly from?: number
  readonly to?: number
  /** `notBefore` and `notAfter` as they stand, in place of `from` and `to`. */
  readonly times?: readonly [Uint8Array, Uint8Array]
  readonly ca?: boolean
  readonly pathLength?: number
  /** Bits of KeyUsage by their number. */
  readonly keyUsage?: readonly number[] | undefined
  readonly purposes?: readonly string[]
  readonly dns?: readonly string[]
  readonly uri?: readonly string[]
  readonly email?: readonly string[]
  readonly extensions?: readonly Extension[]
  readonly version?: number
}

export const purposes = { client: '1.3.6.1.5.5.7.3.2', server: '1.3.6.1.5.5.7.3.1', any: '2.5.29.37.0' } as const

export const nameOf = (...values: readonly Buffer[]): Buffer =>
  sequence(...values.map((value) => der(0x31, sequence(oid('2.5.4.3'), value))))

export const newKeys = (): KeyPair => generateKeyPairSync('ec', { namedCurve: 'P-256' })

const keyId = ({ publicKey }: KeyPair): Buffer =>
  createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()

function extensionsOf(plan: Plan, own: KeyPair, issuer: KeyPair): Extension[] {
  const { ca, pathLength, keyUsage, purposes: eku, dns = [], uri = [], email = [], extensions = [] } = plan
  const all: Extension[] = [
    ...extensions,
    { id: '2.5.29.14', value: der(0x04, keyId(own)) },
    { id: '2.5.29.35', value: sequence(der(0x80, keyId(issuer))) },
  ]
  if (ca !== undefined) {
    const length = pathLength === undefined ? [] : [integer(pathLength)]
    all.push({ id: '2.5.29.19', critical: true, value: sequence(...(ca ? [boolean(true)] : []), ...length) })
  }
  if (keyUsage) {
    const octet = keyUsage.reduce((value, bit) => value | (0x80 >> bit), 0)
    all.push({ id: '2.5.29.15', critical: true, value: der(0x03, Buffer.of(0, octet)) })
  }
  if (eku) all.push({ id: '2.5.29.37', value: sequence(...eku.map(oid)) })
  const names = [
    ...email.map((name) => der(0x81, Buffer.from(name, 'latin1'))),
    ...dns.map((name) => der(0x82, Buffer.from(name, 'latin1'))),
    ...uri.map((name) => der(0x86, Buffer.from(name, 'latin1'))),
  ]
  if (names.length > 0) all.push({ id: '2.5.29.17', value: sequence(...names) })
  return all
}

function signed(algorithm: Algorithm, body: Buffer, key: KeyObject): Buffer {
  const { digest } = algorithms[algorithm]
  // RSA_PKCS1_PSS_PADDING with the salt as long as SHA-256.
  return algorithm.startsWith('pss') ? sign(digest, body, { key, padding: 6, saltLength: 32 }) : sign(digest, body, key)
}

let count = 0

/** Makes a real, signed certificate, also of kinds that no program makes. */
export function buildCertificate(plan: Plan): Built {
  const {
    cn = [],
    keys = newKeys(),
    algorithm = 'ecdsa-sha256',
    serial = Buffer.of(1, ++count >> 8, count & 0xff),
  } = plan
  const { from = Date.now() - DAY_MS, to = Date.now() + 365 * DAY_MS, version = 2, outerAlgorithm = algorithm } = plan
  const subject = plan.subject ?? nameOf(...(typeof cn === 'string' ? [cn] : cn).map(utf8String))
  const issuer = plan.issuer ?? { subject, keys }
  const extensions = extensionsOf(plan, keys, issuer.keys).map(({ id, critical = false, value }) =>
    sequence(oid(id), ...(critical ? [boolean(true)] : []), der(0x04, value)),
  )
  const body = sequence(
    ...(version === 0 ? [] : [der(0xa0, integer(version))]),
    integer(serial),
    algorithms[algorithm].id,
    issuer.subject,
    sequence(...(plan.times ?? [time(from), time(to)])),
    subject,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    ...(version === 0 ? [] : [der(0xa3, sequence(...extensions))]),
  )
  const whole = sequence(body, algorithms[outerAlgorithm].id, bits(signed(algorithm, body, issuer.keys.privateKey)))
  return { der: whole, pem: pemOf(whole), subject, keys }
}

export function pemOf(bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

export function buildCa(cn: string, plan: Plan = {}): Built {
  return buildCertificate({ cn, ca: true, keyUsage: [5, 6], ...plan })
}

export function buildClient(cn: string | readonly string[], issuer: Plan['issuer'] & object, plan: Plan = {}): Built {
  return buildCertificate({ cn, issuer, ca: false, keyUsage: [0], purposes: [purposes.client], ...plan })
}
