import { fromBase64, toBase64 } from '../core/base64.ts'
import { type Bytes, equalBytes, labelled, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { MacKey, SigningKey, VerifyKey } from '../crypto/provider.ts'
import { SIGNATURE_ALGORITHM } from './envelope.ts'

/** Sets signatures over callers' data apart from everything else: no envelope, key document or checkpoint verifies under it. */
export const SIGN_LABEL = 'sealwire/sign/v1'
/** The ML-DSA context; the message is the caller's bytes as they are (FIPS 204 §5.2, pure). */
export const SIGN_CONTEXT: Bytes = utf8(SIGN_LABEL)

/** What `/encryption/sign` answers and `/encryption/verify` takes. */
export interface DataSignature {
  readonly algorithm: typeof SIGNATURE_ALGORITHM
  readonly key_id: string
  readonly mac_key_id: string
  /** b64, 3309 bytes. */
  readonly pqc_signature: string
  /** b64, 64 bytes. */
  readonly hmac_signature: string
}

/** Keys of one tenant that sign its data and nothing else. */
export interface DataSigningKeys {
  readonly keyId: string
  readonly signing: SigningKey
  readonly verify: VerifyKey
  readonly macKeyId: string
  readonly mac: MacKey
}

/** HMAC-SHA-512 over `"sealwire/sign/v1" || 0x00 || data`, 64 bytes. */
function dataMac(mac: MacKey, data: Uint8Array): Bytes {
  return mac.mac(labelled(SIGN_LABEL, data))
}

/**
 * Signs data with ML-DSA-65 and HMAC-SHA-512, and verifies the signature: a fault of the machine while signing would otherwise
 * leak the key.
 *
 * @throws {AppError} `internal` when the key made no valid signature, twice
 */
export async function signData(keys: DataSigningKeys, data: Uint8Array): Promise<DataSignature> {
  for (const _attempt of ['first', 'second']) {
    const signature = await keys.signing.sign(data, SIGN_CONTEXT)
    if (!(await keys.verify.verifyAsync(data, SIGN_CONTEXT, signature))) continue
    return {
      algorithm: SIGNATURE_ALGORITHM,
      key_id: keys.keyId,
      mac_key_id: keys.macKeyId,
      pqc_signature: toBase64(signature),
      hmac_signature: toBase64(dataMac(keys.mac, data)),
    }
  }
  throw new AppError('internal', 'The signing key made no valid signature.')
}

/**
 * Judges a signature over data. Both halves are always checked; whatever is wrong with one, its spelling included, makes it
 * `false`.
 */
export async function verifyData(
  keys: { verify: VerifyKey; mac: MacKey },
  data: Uint8Array,
  signature: Pick<DataSignature, 'pqc_signature' | 'hmac_signature'>,
): Promise<{ pqcValid: boolean; hmacValid: boolean }> {
  const pqc = fromBase64(signature.pqc_signature) ?? new Uint8Array()
  const hmac = fromBase64(signature.hmac_signature) ?? new Uint8Array()
  return {
    pqcValid: await keys.verify.verifyAsync(data, SIGN_CONTEXT, pqc),
    hmacValid: equalBytes(dataMac(keys.mac, data), hmac),
  }
}
