import { toBase64 } from '../core/base64.ts'
import { type Bytes, concatBytes, equalBytes, wipe } from '../core/bytes.ts'
import { isUuid } from '../core/ids.ts'
import { checkLength } from '../crypto/check-length.ts'
import type { CryptoProvider, KemPrivateKey, KemPublicKey, MacKey, VerifyKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { MAX_PLAINTEXT_BYTES, SIGNATURE_ALGORITHM } from './envelope.ts'
import { VERSION_1_CONTEXT, VERSION_1_INFO } from './labels.ts'
import { decode, decodeCiphertext, exactly } from './members.ts'
import { rejected } from './rejected.ts'
import { type SigningPair, signVerified } from './sign-verified.ts'

/** Envelope version 1 as it travels; the published "QuantaSeal Hybrid PQC Envelope 1.0". */
export interface HybridCryptoEnvelopeV1 {
  readonly encrypted: {
    /** b64, 1088 bytes. */
    readonly ciphertext_kem: string
    /** b64 of `nonce[12] || ciphertext || tag[16]`. */
    readonly ciphertext_data: string
    /** UUID, 36 characters. */
    readonly tenant_id: string
    readonly algorithm: 'ML-KEM-768'
  }
  readonly signature: {
    /** b64, 3309 bytes. */
    readonly pqc_signature: string
    /** b64, 64 bytes. */
    readonly hmac_signature: string
    readonly tenant_id: string
    readonly algorithm: 'ML-DSA-65+HMAC-SHA-512'
  }
}

/** Keys that a tenant has for version 1 and nothing else. */
export interface Version1Keys extends SigningPair {
  readonly kem: KemPublicKey
  /** From {@link version1MacKey}. */
  readonly mac: MacKey
}

export interface Version1Reader {
  readonly kem: KemPrivateKey
  readonly verify: VerifyKey
  readonly mac: MacKey
  readonly tenantUuid: string
}

interface ParsedVersion1 {
  readonly tenantUuid: string
  readonly ciphertextKem: Bytes
  readonly ciphertextData: Bytes
  readonly signature: Bytes
  readonly hmac: Bytes
}

const KEM_ALGORITHM = 'ML-KEM-768'

/**
 * Makes the HMAC key of version 1 from the tenant's secret (64 bytes): its SHA-512, 64 bytes. Readers disagree about which
 * of the two is the key, so both are handed out.
 */
export function version1MacKey(provider: CryptoProvider, tenantSecret: Uint8Array): Bytes {
  checkLength('Tenant secret', tenantSecret, sizes.macKey)
  return provider.sha512(tenantSecret)
}

/** Derives the AES key of version 1 (32 bytes; wipe after use): HKDF-SHA-512 with an empty salt and a fixed `info`. */
export function deriveVersion1Key(provider: CryptoProvider, sharedSecret: Uint8Array): Bytes {
  return provider.hkdfSha512(sharedSecret, new Uint8Array(), VERSION_1_INFO, sizes.aesKey)
}

/**
 * Seals a plaintext (at most 16 MiB) in version 1, for decoders of the published format.
 *
 * What version 1 does not give: neither signature covers the KEM ciphertext, the tenant or the algorithms, and AES-GCM
 * commits to no key, so a sealer can make one signed body that opens to two plaintexts. Nothing in it names its request, its
 * reader or its time, so an old answer can be replayed, and no member names a key, so a rotated key leaves a reader to
 * try. The plaintext should therefore begin with its context, `{"ctx": {…}, "data": …}`; the caller writes and checks it.
 *
 * @throws {RangeError} a longer plaintext, a tenant id that is no UUID in lower case
 * @throws {AppError} `internal` when the key made no valid signature, twice
 */
export async function sealVersion1(
  provider: CryptoProvider,
  keys: Version1Keys,
  tenantUuid: string,
  plaintext: Uint8Array,
): Promise<HybridCryptoEnvelopeV1> {
  if (plaintext.length > MAX_PLAINTEXT_BYTES) throw new RangeError(`Plaintext over ${MAX_PLAINTEXT_BYTES} bytes`)
  if (!isUuid(tenantUuid)) throw new RangeError('Tenant id is not a UUID')

  const { ciphertext: ciphertextKem, sharedSecret } = keys.kem.encapsulate()
  const aesKey = deriveVersion1Key(provider, sharedSecret)
  const nonce = provider.randomBytes(sizes.gcmNonce)
  const ciphertextData = concatBytes(nonce, provider.aesGcmSeal(aesKey, nonce, plaintext, new Uint8Array()))
  wipe(sharedSecret, aesKey)

  const signature = await signVerified(keys, ciphertextData, VERSION_1_CONTEXT)
  return {
    encrypted: {
      ciphertext_kem: toBase64(ciphertextKem),
      ciphertext_data: toBase64(ciphertextData),
      tenant_id: tenantUuid,
      algorithm: KEM_ALGORITHM,
    },
    signature: {
      pqc_signature: toBase64(signature),
      hmac_signature: toBase64(keys.mac.mac(ciphertextData)),
      tenant_id: tenantUuid,
      algorithm: SIGNATURE_ALGORITHM,
    },
  }
}

/** Exact members, canonical base64, exact sizes, both algorithms, one tenant; `undefined` for every other reason alike. */
function parseVersion1(value: unknown): ParsedVersion1 | undefined {
  const outer = exactly(value, 'encrypted', 'signature')
  const encrypted = exactly(outer?.encrypted, 'ciphertext_kem', 'ciphertext_data', 'tenant_id', 'algorithm')
  const signed = exactly(outer?.signature, 'pqc_signature', 'hmac_signature', 'tenant_id', 'algorithm')
  if (encrypted?.algorithm !== KEM_ALGORITHM || signed?.algorithm !== SIGNATURE_ALGORITHM) return undefined
  const tenantUuid = encrypted.tenant_id
  if (typeof tenantUuid !== 'string' || tenantUuid !== signed.tenant_id) return undefined

  const ciphertextKem = decode(encrypted.ciphertext_kem, sizes.kemCiphertext)
  const ciphertextData = decodeCiphertext(encrypted.ciphertext_data)
  const signature = decode(signed.pqc_signature, sizes.dsaSignature)
  const hmac = decode(signed.hmac_signature, sizes.hmacTag)
  if (!ciphertextKem || !ciphertextData || !signature || !hmac) return undefined
  return { tenantUuid, ciphertextKem, ciphertextData, signature, hmac }
}

/**
 * Opens an envelope of version 1 (parsed JSON): form, tenant, both signatures, plaintext. That it is authentic says nothing
 * about which request it answers or when it was made ({@link sealVersion1}): judge the `ctx` inside.
 *
 * @throws {AppError} `envelope.rejected`, the same for every reason
 */
export function openVersion1(provider: CryptoProvider, envelope: unknown, reader: Version1Reader): Bytes {
  const parsed = parseVersion1(envelope)
  if (!parsed || parsed.tenantUuid !== reader.tenantUuid) throw rejected()
  const { ciphertextKem, ciphertextData, signature, hmac } = parsed

  const isSigned = reader.verify.verify(ciphertextData, VERSION_1_CONTEXT, signature)
  const isMac = equalBytes(reader.mac.mac(ciphertextData), hmac)
  if ((Number(isSigned) & Number(isMac)) !== 1) throw rejected() // both always ran; one decision

  const sharedSecret = reader.kem.decapsulate(ciphertextKem)
  const aesKey = deriveVersion1Key(provider, sharedSecret)
  const nonce = ciphertextData.subarray(0, sizes.gcmNonce)
  const plaintext = provider.aesGcmOpen(aesKey, nonce, ciphertextData.subarray(sizes.gcmNonce), new Uint8Array())
  wipe(sharedSecret, aesKey)
  if (!plaintext) throw rejected()
  return plaintext
}
