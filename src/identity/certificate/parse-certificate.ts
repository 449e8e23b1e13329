import { X509Certificate } from 'node:crypto'
import {
  bitsOf,
  booleanOf,
  type DerElement,
  DerError,
  DerReader,
  directoryText,
  elementsOf,
  ia5Text,
  oidOf,
  smallNumberOf,
  tags,
  timeOf,
} from './der.ts'

/** Bytes of one certificate; with ML-DSA-87 it takes some 8 KiB. */
const MAX_CERTIFICATE_BYTES = 16_384
const MAX_NAMES = 256
/** Twenty octets and a zero in front of them (RFC 5280 §4.1.2.2). */
const MAX_SERIAL_BYTES = 21

const COMMON_NAME = '2.5.4.3'
const extensionIds = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
} as const

/** Extensions whose meaning is looked at. Of policies any is good, so that there is nothing to look at. */
const understood: ReadonlySet<string> = new Set([
  extensionIds.keyUsage,
  extensionIds.subjectAltName,
  extensionIds.basicConstraints,
  extensionIds.certificatePolicies,
  extensionIds.extendedKeyUsage,
])

export interface AltNames {
  /** In lower case. */
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly email: readonly string[]
}

export interface Certificate {
  /** For its key and its signature alone: names and extensions are read here. */
  readonly x509: X509Certificate
  /** Names in DER, which are compared octet by octet. */
  readonly subject: Uint8Array
  readonly issuer: Uint8Array
  readonly commonNames: readonly string[]
  readonly altNames: AltNames
  /** The last RDN first and escaped as in RFC 4514, with the names of types that OpenSSL has: `CN=ca,emailAddress=a@b`. */
  readonly issuerText: string
  /** Hexadecimal, in lower case, without separators: the serial number, and SHA-256 of all of it. */
  readonly serial: string
  readonly fingerprint: string
  /** Unix milliseconds; valid at both. */
  readonly notBefore: number
  readonly notAfter: number
  readonly isCa: boolean
  readonly pathLength: number | undefined
  /** `undefined`: for everything. */
  readonly keyUsage: ((bit: number) => boolean) | undefined
  readonly extendedKeyUsage: readonly string[] | undefined
  /** A reason why nothing can be said about who holds it, or what it vouches for. */
  readonly obstacle: string | undefined
  readonly signature: { readonly algorithm: string; readonly pssHash: string | undefined }
}

interface Extension {
  readonly critical: boolean
  readonly value: Uint8Array
}

function only(bytes: Uint8Array, tag: number): DerElement {
  const reader = new DerReader(bytes)
  const element = reader.expect(tag)
  reader.end()
  return element
}

function parseExtensions(element: DerElement | undefined): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>()
  if (!element) return found
  for (const one of elementsOf(only(element.content, tags.sequence))) {
    if (one.tag !== tags.sequence) throw new DerError('an extension that is none')
    const reader = new DerReader(one.content)
    const id = oidOf(reader.expect(tags.oid))
    const flag = reader.optional(tags.boolean)
    const { content } = reader.expect(tags.octetString)
    reader.end()
    if (found.has(id)) throw new DerError('an extension twice') // RFC 5280 §4.2
    found.set(id, { critical: flag ? booleanOf(flag) : false, value: content })
  }
  return found
}

function parseBasicConstraints(extension: Extension | undefined): { isCa: boolean; pathLength: number | undefined } {
  if (!extension) return { isCa: false, pathLength: undefined }
  const reader = new DerReader(only(extension.value, tags.sequence).content)
  const flag = reader.optional(tags.boolean)
  const length = reader.optional(tags.integer)
  reader.end()
  return { isCa: flag ? booleanOf(flag) : false, pathLength: length && smallNumberOf(length) }
}

function commonNamesOf(name: DerElement): string[] {
  const pairs = elementsOf(name).flatMap((rdn) => {
    if (rdn.tag !== tags.set) throw new DerError('a name that is none')
    return elementsOf(rdn)
  })
  return pairs.flatMap((pair) => {
    if (pair.tag !== tags.sequence) throw new DerError('an attribute that is none')
    const reader = new DerReader(pair.content)
    const type = oidOf(reader.expect(tags.oid))
    const value = reader.any()
    reader.end()
    return type === COMMON_NAME ? [directoryText(value)] : []
  })
}

/** Node writes an RDN a line, its attributes with ` + ` between them, and escapes both in values. */
function issuerTextOf({ issuer }: X509Certificate): string {
  return (issuer ?? '').split('\n').toReversed().join(',').replaceAll(' + ', '+')
}

/** Tags of GeneralName that are read: rfc822Name, dNSName, uniformResourceIdentifier (RFC 5280 §4.2.1.6). */
const altNameTags = { email: 0x81, dns: 0x82, uri: 0x86 } as const

function parseAltNames(extension: Extension | undefined): AltNames {
  const names = extension ? elementsOf(only(extension.value, tags.sequence)) : []
  if (names.length > MAX_NAMES) throw new DerError('too many names')
  const of = (tag: number) => names.filter((one) => one.tag === tag).map(ia5Text)
  return {
    dns: of(altNameTags.dns).map((name) => name.toLowerCase()),
    uri: of(altNameTags.uri),
    email: of(altNameTags.email),
  }
}

function parseSignature(algorithm: DerElement): Certificate['signature'] {
  const reader = new DerReader(algorithm.content)
  const id = oidOf(reader.expect(tags.oid))
  const parameters = reader.isAtEnd ? undefined : reader.any()
  reader.end()
  if (id !== '1.2.840.113549.1.1.10') return { algorithm: id, pssHash: undefined }
  if (parameters?.tag !== tags.sequence) throw new DerError('RSASSA-PSS without parameters')
  const hash = new DerReader(parameters.content).optional(0xa0) // without it, SHA-1 (RFC 4055 §3.1)
  const oid = hash && new DerReader(only(hash.content, tags.sequence).content).expect(tags.oid)
  return { algorithm: id, pssHash: oid && oidOf(oid) }
}

const CONTROL = /\p{Cc}/u

/** What keeps a certificate from being judged, or the first extension that nobody here understands (RFC 5280 §4.2). */
function obstacleOf(extensions: ReadonlyMap<string, Extension>, names: readonly string[]): string | undefined {
  if (extensions.has(extensionIds.nameConstraints)) return 'name constraints, which are not supported'
  const unknown = [...extensions].find(([id, { critical }]) => critical && !understood.has(id))
  if (unknown) return `a critical extension that is not understood: ${unknown[0]}`
  return names.some((name) => CONTROL.test(name)) ? 'a name with control characters' : undefined
}

function parse(der: Uint8Array): Certificate {
  const [outer, outerAlgorithm, ...more] = elementsOf(only(der, tags.sequence))
  if (outer?.tag !== tags.sequence || outerAlgorithm?.tag !== tags.sequence || more.length !== 1)
    throw new DerError('no certificate')
  const body = new DerReader(outer.content)
  const version = body.optional(0xa0)
  const serial = body.expect(tags.integer)
  const algorithm = body.expect(tags.sequence)
  const issuer = body.expect(tags.sequence)
  const [notBefore, notAfter, ...later] = elementsOf(body.expect(tags.sequence)).map(timeOf)
  const subject = body.expect(tags.sequence)
  body.expect(tags.sequence) // key
  body.optional(0x81)
  body.optional(0x82)
  const extensions = parseExtensions(body.optional(0xa3))
  body.end()
  if (!version || smallNumberOf(only(version.content, tags.integer)) !== 2) throw new DerError('not of version 3')
  if (Buffer.compare(algorithm.whole, outerAlgorithm.whole) !== 0) throw new DerError('two signature algorithms')
  if (serial.content.length > MAX_SERIAL_BYTES) throw new DerError('a serial number that is too long')
  const commonNames = commonNamesOf(subject)
  const altNames = parseAltNames(extensions.get(extensionIds.subjectAltName))
  const usage = extensions.get(extensionIds.keyUsage)
  const purposes = extensions.get(extensionIds.extendedKeyUsage)
  const x509 = new X509Certificate(der)
  // Node looks for PEM first, anywhere in the bytes: a forged certificate may carry a good one, whose signature it would show.
  if (Buffer.compare(x509.raw, der) !== 0) throw new DerError('a certificate that OpenSSL reads as another')
  if (notBefore === undefined || notAfter === undefined || later.length > 0) throw new DerError('no validity')
  return {
    x509,
    subject: subject.whole,
    issuer: issuer.whole,
    commonNames,
    altNames,
    issuerText: issuerTextOf(x509),
    serial: x509.serialNumber.toLowerCase(),
    fingerprint: x509.fingerprint256.replaceAll(':', '').toLowerCase(),
    notBefore,
    notAfter,
    ...parseBasicConstraints(extensions.get(extensionIds.basicConstraints)),
    keyUsage: usage && bitsOf(only(usage.value, tags.bitString)),
    extendedKeyUsage: purposes && elementsOf(only(purposes.value, tags.sequence)).map(oidOf),
    obstacle: obstacleOf(extensions, [...commonNames, ...altNames.dns, ...altNames.uri, ...altNames.email]),
    signature: parseSignature(outerAlgorithm),
  }
}

/**
 * Reads a certificate of X.509 version 3 in strict DER, with nothing before or behind it (RFC 5280 §4.1); `undefined` for
 * anything else. Whether anybody should believe it is not looked at.
 */
export function parseCertificate(der: Uint8Array): Certificate | undefined {
  if (der.length > MAX_CERTIFICATE_BYTES) return undefined
  try {
    return parse(der)
  } catch (err) {
    // OpenSSL reports what it does not read as an error with a code; whatever else is thrown is a fault of ours.
    if (err instanceof DerError || (err instanceof Error && 'code' in err)) return undefined
    throw err
  }
}
