import { fromBase64, toBase64 } from '../core/base64.ts'
import { type Bytes, equalBytes, labelled } from '../core/bytes.ts'
import type { MacKey, VerifyKey } from '../crypto/provider.ts'
import { SIGNATURE_ALGORITHM } from './envelope.ts'
import { SIGN_CONTEXT, SIGN_LABEL } from './labels.ts'
import { type SigningPair, signVerified } from './sign-verified.ts'

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
export interface DataSigningKeys extends SigningPair {
  readonly keyId: string
  readonly macKeyId: string
  readonly mac: MacKey
}

/** HMAC-SHA-512 over `"sealwire/sign/v1" || 0x00 || data`, 64 bytes. */
function dataMac(mac: MacKey, data: Uint8Array): Bytes {
  return mac.mac(labelled(SIGN_LABEL, data))
}

/**
 * Signs data with ML-DSA-65 and HMAC-SHA-512.
 *
 * @throws {AppError} `internal` when the key made no valid signature, twice
 */
export async function signData(keys: DataSigningKeys, data: Bytes): Promise<DataSignature> {
  return {
    algorithm: SIGNATURE_ALGORITHM,
    key_id: keys.keyId,
    mac_key_id: keys.macKeyId,
    pqc_signature: toBase64(await signVerified(keys, data, SIGN_CONTEXT)),
    hmac_signature: toBase64(dataMac(keys.mac, data)),
  }
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
