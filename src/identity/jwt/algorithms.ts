import type { AsymmetricKeyDetails, KeyObject } from 'node:crypto'

/** Signature algorithms of tokens that are verified. ML-DSA is none yet: Node's Web Crypto has it as an experiment only. */
export const jwtAlgorithms = [
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

export type JwtAlgorithm = (typeof jwtAlgorithms)[number]

/** With a shared secret; the first is what a secret stands for unless the configuration says otherwise. */
export const secretAlgorithms: readonly JwtAlgorithm[] = ['HS256', 'HS384', 'HS512']

/** With the public key of an issuer. */
export const publicKeyAlgorithms: readonly JwtAlgorithm[] = jwtAlgorithms.filter((one) => !one.startsWith('HS'))

const RSA = publicKeyAlgorithms.filter((one) => one.startsWith('RS') || one.startsWith('PS'))
const CURVES: Readonly<Record<string, JwtAlgorithm>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }
/** Bits of an RSA modulus: less is weak (RFC 7518 §3.3), more only costs time. */
const RSA_BITS = { min: 2_048, max: 8_192 }
/** Exponents of RSA: with 1 a signature is what is signed, so that anybody can make one, and a long one only costs time. */
const RSA_EXPONENT = { min: 3n, max: 2n ** 32n }

function isSoundRsa({ modulusLength = 0, publicExponent = 0n }: AsymmetricKeyDetails): boolean {
  const { min, max } = RSA_EXPONENT
  if (publicExponent < min || publicExponent > max || publicExponent % 2n === 0n) return false
  return modulusLength >= RSA_BITS.min && modulusLength <= RSA_BITS.max
}

/** Algorithms that a public key can be used with (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2); none for a key we do not use. */
export function algorithmsOf(key: KeyObject): readonly JwtAlgorithm[] {
  const details = key.asymmetricKeyDetails ?? {}
  const { namedCurve = '' } = details
  if (key.asymmetricKeyType === 'rsa') return isSoundRsa(details) ? RSA : []
  if (key.asymmetricKeyType === 'ed25519') return ['EdDSA', 'Ed25519']
  const curve = key.asymmetricKeyType === 'ec' && Object.hasOwn(CURVES, namedCurve) ? CURVES[namedCurve] : undefined
  return curve === undefined ? [] : [curve]
}

/** Shortest secret for an algorithm, in bytes: as long as its hash (RFC 7518 §3.2). */
export function minSecretBytes(algorithm: JwtAlgorithm): number {
  return Number(algorithm.slice(2)) / 8
}
