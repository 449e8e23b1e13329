import type { Bytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { SigningKey, VerifyKey } from '../crypto/provider.ts'

/** Both halves of an ML-DSA-65 key. */
export interface SigningPair {
  readonly signing: SigningKey
  readonly verify: VerifyKey
}

/**
 * Signs with ML-DSA-65 and verifies the signature (3309 bytes): a fault of the machine while signing would otherwise leak the
 * key. A signature that does not verify is made once more.
 *
 * @throws {AppError} `internal` when the key made no valid signature, twice
 */
export async function signVerified({ signing, verify }: SigningPair, message: Bytes, context: Bytes): Promise<Bytes> {
  for (const _attempt of ['first', 'second']) {
    const signature = await signing.sign(message, context)
    if (await verify.verifyAsync(message, context, signature)) return signature
  }
  throw new AppError('internal', 'A signing key made no valid signature.')
}
