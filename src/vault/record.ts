import { type Bytes, concatBytes, equalBytes, labelled, lengthPrefixed, u32, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider, KemPrivateKey, KemPublicKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'

const LABEL = 'sealwire/vault/v1'
const DIGEST_LABEL = 'sealwire/vault/v1/record'

/** Bytes of the random share that the key wrapper guards, and of the one that a customer holds. */
export const SHARE_BYTES = 32

const NO_BYTES = new Uint8Array(0)

/** How the plaintext is written: 1 is the JSON text of the values. */
export const VALUES_SCHEMA = 1

/** What a record is bound to; authenticated, stored beside it. */
export interface RecordContext {
  readonly tenantId: string
  readonly entryId: string
  /** 1, 2, 3 … */
  readonly version: number
  readonly credentialType: string
  readonly schema: number
  /** 1: a further share is with the customer, and nothing opens without it. */
  readonly custody: 0 | 1
}

export interface SealedRecord {
  /** 1088 bytes. */
  readonly kemCiphertext: Bytes
  /** 32 bytes: ties the ciphertext to one key. */
  readonly commitment: Bytes
  /** `nonce[12] || ciphertext || tag[16]` */
  readonly sealed: Bytes
}

/** A record as it is stored: with its share wrapped, and the keys that it needs. */
export interface StoredRecord extends SealedRecord {
  readonly vaultKeyId: string
  readonly shareKmsKeyId: string
  readonly wrappedShare: Bytes
}

/** `LP(tenant_id) || LP(entry_id) || u32(version) || LP(credential_type) || u32(schema) || custody`. */
export function encodeContext(context: RecordContext): Bytes {
  const { tenantId, entryId, version, credentialType, schema, custody } = context
  return concatBytes(
    lengthPrefixed(tenantId),
    lengthPrefixed(entryId),
    u32(version),
    lengthPrefixed(credentialType),
    u32(schema),
    new Uint8Array([custody]),
  )
}

/** What is mixed beside the KEM secret, 32 bytes each. */
export interface Shares {
  /** Guarded by the key wrapper. */
  readonly share: Uint8Array
  /** Held by the customer; there exactly where the context says `custody: 1`. */
  readonly custodyShare?: Uint8Array | undefined
}

interface KeyParts extends Shares {
  sharedSecret: Bytes
  kemCiphertext: Uint8Array
  ek: Uint8Array
  context: Bytes
}

/** Derives from the KEM secret and the shares together, so that none opens alone. */
function deriveKeys(provider: CryptoProvider, parts: KeyParts): { aesKey: Bytes; commitment: Bytes; wipe: () => void } {
  const ikm = concatBytes(parts.sharedSecret, parts.share, parts.custodyShare ?? NO_BYTES)
  const salt = provider.sha512(concatBytes(parts.kemCiphertext, parts.ek))
  const okm = provider.hkdfSha512(ikm, salt, labelled(LABEL, lengthPrefixed(parts.context)), 64)
  return {
    aesKey: okm.subarray(0, sizes.aesKey),
    commitment: okm.slice(sizes.aesKey),
    wipe: () => wipe(ikm, okm, parts.sharedSecret),
  }
}

/** The custody byte and the shares say the same: a record in split custody never derives without its third part. */
function isComplete({ custody }: RecordContext, { share, custodyShare }: Shares): boolean {
  return share.length === SHARE_BYTES && custodyShare?.length === (custody === 1 ? SHARE_BYTES : undefined)
}

/**
 * Seals a plaintext under a fresh encapsulation to the tenant's vault key and shares of 32 random bytes.
 *
 * @throws {TypeError} unless a custody share is there exactly where the context says so: a mistake of the program
 */
export function sealRecord(
  provider: CryptoProvider,
  kem: KemPublicKey,
  shares: Shares,
  context: RecordContext,
  plaintext: Uint8Array,
): SealedRecord {
  if (!isComplete(context, shares)) throw new TypeError('vault record: the shares do not fit its custody')
  const { ciphertext: kemCiphertext, sharedSecret } = kem.encapsulate()
  const aad = encodeContext(context)
  const keys = deriveKeys(provider, { ...shares, sharedSecret, kemCiphertext, ek: kem.bytes, context: aad })
  const nonce = provider.randomBytes(sizes.gcmNonce)
  const sealed = concatBytes(nonce, provider.aesGcmSeal(keys.aesKey, nonce, plaintext, aad))
  keys.wipe()
  return { kemCiphertext, commitment: keys.commitment, sealed }
}

/**
 * Opens a record with the vault key's private half and its shares.
 *
 * @throws {AppError} `vault.unavailable`, the same for every reason: other bytes, another row, version, tenant or type,
 * another custody share, or none
 */
export function openRecord(
  provider: CryptoProvider,
  kem: KemPrivateKey,
  shares: Shares,
  context: RecordContext,
  { kemCiphertext, commitment, sealed }: SealedRecord,
): Bytes {
  const isSized = kemCiphertext.length === sizes.kemCiphertext && isComplete(context, shares)
  if (!isSized || sealed.length < sizes.gcmNonce + sizes.gcmTag) throw notOpened()
  const aad = encodeContext(context)
  const sharedSecret = kem.decapsulate(kemCiphertext)
  const keys = deriveKeys(provider, { ...shares, sharedSecret, kemCiphertext, ek: kem.publicKey, context: aad })
  const isCommitted = equalBytes(keys.commitment, commitment)
  const [nonce, body] = [sealed.subarray(0, sizes.gcmNonce), sealed.subarray(sizes.gcmNonce)]
  const plaintext = provider.aesGcmOpen(keys.aesKey, nonce, body, aad)
  keys.wipe()
  if (!isCommitted || !plaintext) throw notOpened()
  return plaintext
}

/** SHA-384 over context and every stored byte of a record; its audit row holds it, so that a restored pair of rows shows. */
export function digestRecord(
  provider: Pick<CryptoProvider, 'sha384'>,
  context: RecordContext,
  record: StoredRecord,
): Bytes {
  const { vaultKeyId, shareKmsKeyId, kemCiphertext, wrappedShare, commitment, sealed } = record
  const parts = [encodeContext(context), vaultKeyId, shareKmsKeyId, kemCiphertext, wrappedShare, commitment, sealed]
  return provider.sha384(labelled(DIGEST_LABEL, ...parts.map((part) => lengthPrefixed(part))))
}

function notOpened(): AppError {
  return new AppError('vault.unavailable', 'The vault entry could not be opened.')
}
