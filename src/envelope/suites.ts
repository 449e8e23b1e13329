import { sizes } from '../crypto/sizes.ts'

export interface Suite {
  /** As it stands in the protected header. */
  readonly name: string
  /** As it stands in `encrypted.algorithm`. */
  readonly algorithm: string
  readonly publicKeyBytes: number
  readonly ciphertextBytes: number
}

/** FIPS 203 ML-KEM-768, AES-256-GCM, FIPS 204 ML-DSA-65, HMAC-SHA-512. */
export const ML_KEM_SUITE = 'ML-KEM-768+AES-256-GCM+ML-DSA-65+HMAC-SHA-512'

const suites: ReadonlyMap<string, Suite> = new Map(
  [
    {
      name: ML_KEM_SUITE,
      algorithm: 'ML-KEM-768',
      publicKeyBytes: sizes.kemPublicKey,
      ciphertextBytes: sizes.kemCiphertext,
    },
  ].map((suite) => [suite.name, suite]),
)

/** Finds a suite by its name in the header. A suite belongs to a recipient key from enrolment to its end. */
export function findSuite(name: string): Suite | undefined {
  return suites.get(name)
}
