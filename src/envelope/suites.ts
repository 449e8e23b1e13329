import type { CryptoProvider, KemPrivateKey, KemPublicKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { splitPublicKey } from '../crypto/x-wing.ts'
import { rejected } from './rejected.ts'

/** What a recipient key is of, from enrolment to its end; the rest of the format is the same for all. */
export interface Suite {
  /** As it stands in the protected header. */
  readonly name: string
  /** As it stands in `encrypted.algorithm`. */
  readonly algorithm: string
  readonly publicKeyBytes: number
  readonly ciphertextBytes: number
  readonly seedBytes: number
  /**
   * Imports an encapsulation key; `undefined` for a wrong length, a coefficient over the modulus (FIPS 203 §7.2), ML-KEM
   * polynomials that are all zero, an X25519 part of low order (RFC 7748 §6.1).
   */
  publicKey(provider: CryptoProvider, bytes: Uint8Array): KemPublicKey | undefined
  /**
   * Makes a decapsulation key from its seed. `decapsulate` throws `envelope.rejected` for a ciphertext whose X25519 part has
   * low order.
   */
  privateKey(provider: CryptoProvider, seed: Uint8Array): KemPrivateKey
  /** The parts of an encapsulation key, none of which may be enrolled twice; views, the ML-KEM part first. */
  halves(publicKey: Uint8Array): readonly Uint8Array[]
}

/** FIPS 203 ML-KEM-768, AES-256-GCM, FIPS 204 ML-DSA-65, HMAC-SHA-512. */
export const ML_KEM_SUITE = 'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512'
/** The same with X-Wing (draft-connolly-cfrg-xwing-kem since -05) as KEM: ML-KEM-768 and X25519 together. */
export const X_WING_SUITE = 'X-Wing+AES-256-GCM+ML-DSA-65+HMAC-SHA-512'

/** Bytes of an ML-KEM encapsulation key that encode its polynomials; the rest is the seed of the matrix (FIPS 203 §5.1). */
const POLYNOMIAL_BYTES = 1152

/** The libraries encapsulate to zero polynomials, but anybody can open what is sealed to them. */
function hasZeroPolynomials(bytes: Uint8Array): boolean {
  return bytes.subarray(0, POLYNOMIAL_BYTES).every((byte) => byte === 0)
}

const mlKem: Suite = {
  name: ML_KEM_SUITE,
  algorithm: 'ML-KEM-768',
  publicKeyBytes: sizes.kemPublicKey,
  ciphertextBytes: sizes.kemCiphertext,
  seedBytes: sizes.kemSeed,
  publicKey: (provider, bytes) => (hasZeroPolynomials(bytes) ? undefined : provider.kemPublicKey(bytes)),
  privateKey: (provider, seed) => provider.kemPrivateKey(seed),
  halves: (publicKey) => [publicKey],
}

const xWing: Suite = {
  name: X_WING_SUITE,
  algorithm: 'X-Wing',
  publicKeyBytes: sizes.xWingPublicKey,
  ciphertextBytes: sizes.xWingCiphertext,
  seedBytes: sizes.xWingSeed,
  publicKey: (provider, bytes) => (hasZeroPolynomials(bytes) ? undefined : provider.xWingPublicKey(bytes)),
  privateKey(provider, seed) {
    const key = provider.xWingPrivateKey(seed)
    return {
      publicKey: key.publicKey,
      decapsulate(ciphertext) {
        const sharedSecret = key.decapsulate(ciphertext)
        if (!sharedSecret) throw rejected()
        return sharedSecret
      },
    }
  },
  halves(publicKey) {
    const { mlKem, x25519 } = splitPublicKey(publicKey)
    return [mlKem, x25519]
  },
}

const suites: ReadonlyMap<string, Suite> = new Map([mlKem, xWing].map((suite) => [suite.name, suite]))

/** Finds a suite by its name in the header. A suite belongs to a recipient key from enrolment to its end. */
export function findSuite(name: string): Suite | undefined {
  return suites.get(name)
}

/** The names of all suites, the default first. */
export const SUITE_NAMES = [ML_KEM_SUITE, X_WING_SUITE] as const
