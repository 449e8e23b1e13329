import type { KeyObject } from 'node:crypto'
import type { Certificate } from './parse-certificate.ts'

const curves: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
const otherKeys: ReadonlySet<string> = new Set(['ed25519', 'ed448', 'ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87'])

/** Bits of RSA: below nobody should believe a signature, above checking one takes milliseconds. */
const RSA_BITS = { min: 2_048, max: 8_192 }
const MAX_RSA_EXPONENT = 2n ** 32n

const signatures: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.1.11', // sha256WithRSAEncryption
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2', // ecdsa-with-SHA256
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.3.101.112', // Ed25519
  '1.3.101.113', // Ed448
  '2.16.840.1.101.3.4.3.17', // ML-DSA-44 (RFC 9881)
  '2.16.840.1.101.3.4.3.18',
  '2.16.840.1.101.3.4.3.19',
])
const RSA_PSS = '1.2.840.113549.1.1.10'
const pssHashes: ReadonlySet<string> = new Set([
  '2.16.840.1.101.3.4.2.1', // SHA-256
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
])

function isStrongKey({ asymmetricKeyType: type, asymmetricKeyDetails: details = {} }: KeyObject): boolean {
  if (type === undefined) return false
  if (type === 'ec') return curves.has(details.namedCurve ?? '')
  if (type !== 'rsa' && type !== 'rsa-pss') return otherKeys.has(type)
  const { modulusLength = 0, publicExponent = 0n } = details
  return (
    modulusLength >= RSA_BITS.min &&
    modulusLength <= RSA_BITS.max &&
    publicExponent > 1n &&
    publicExponent <= MAX_RSA_EXPONENT
  )
}

/** The key of a certificate, where it is of a kind and a size that a signature with it can be believed. */
export function strongKeyOf({ x509 }: Certificate): KeyObject | undefined {
  let key: KeyObject
  try {
    key = x509.publicKey
  } catch {
    return undefined // of a kind that OpenSSL does not read
  }
  return isStrongKey(key) ? key : undefined
}

/** Whether a certificate is signed with an algorithm to be believed: no MD5, no SHA-1, no DSA. */
export function isStronglySigned({ signature: { algorithm, pssHash = '' } }: Certificate): boolean {
  return algorithm === RSA_PSS ? pssHashes.has(pssHash) : signatures.has(algorithm)
}
