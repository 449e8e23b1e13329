import { fromBase64, toBase64 } from '../core/base64.ts'
import { type Bytes, utf8 } from '../core/bytes.ts'
import type { HybridCryptoEnvelope } from '../envelope/envelope.ts'
import type { ProtectedHeader } from '../envelope/header.ts'
import type { EncryptionContext } from '../envelope/stored-object.ts'
import type { CallOptions, Connection } from './connection.ts'
import { SealwireError } from './sealwire-error.ts'
import { fromWire, toWire } from './wire-names.ts'

export interface ContextOptions extends CallOptions {
  /** What the object is about: at most 16 names with texts. Whoever decrypts must say the same. */
  encryptionContext?: EncryptionContext
}

export interface DecryptedObject {
  data: Bytes
  header: ProtectedHeader
  /** `false`: its issuer key was revoked after it was made; the server vouches for it with its HMAC alone. */
  signatureValid: boolean
}

/** Two signatures over data of the caller, base64. */
export interface DataSignature {
  algorithm: 'ML-DSA-65+HMAC-SHA-512'
  keyId: string
  macKeyId: string
  pqcSignature: string
  hmacSignature: string
}

export interface VerifiedData {
  /** Both are valid. */
  valid: boolean
  pqcValid: boolean
  hmacValid: boolean
  /** `null`: the tenant has no such keys. */
  keyState: 'active' | 'retired' | null
}

export interface DataVerificationKey {
  keyId: string
  macKeyId: string
  algorithm: 'ML-DSA-65'
  /** base64. */
  publicKey: string
  state: 'next' | 'active' | 'retired' | 'revoked' | 'destroyed'
  createdAt: string
}

const PATH = '/api/v2/encryption'

function bodyOf(data: Uint8Array | string): { data: string; encoding: 'base64' } {
  return { data: toBase64(typeof data === 'string' ? utf8(data) : data), encoding: 'base64' }
}

/** Encryption and signatures that the server makes, with keys of the tenant. Text is taken as UTF-8. */
export function createDataEncryption({ call }: Pick<Connection, 'call'>) {
  const post = (path: string, body: unknown, options: CallOptions) =>
    call({ method: 'POST', path: `${PATH}/${path}`, body, repeatable: true }, options)

  return {
    /** Seals at most 512 KiB to the object key of the tenant; what comes back is kept by the caller and does not expire. */
    async encrypt(data: Uint8Array | string, options: ContextOptions = {}): Promise<HybridCryptoEnvelope> {
      const { encryptionContext, ...rest } = options
      const context = encryptionContext && { encryption_context: encryptionContext }
      const answer = await post('encrypt', { ...bodyOf(data), ...context }, rest)
      return (answer as { envelope: HybridCryptoEnvelope }).envelope
    },

    /**
     * Has the server open what `encrypt` made, for any API key of the tenant.
     *
     * @throws {SealwireError} `envelope.rejected`, the same for another context, another tenant and a changed byte
     */
    async decryptObject(envelope: unknown, options: ContextOptions = {}): Promise<DecryptedObject> {
      const { encryptionContext, ...rest } = options
      const context = encryptionContext && { encryption_context: encryptionContext }
      const answer = (await post('decrypt', { envelope, ...context }, rest)) as {
        plaintext: { data?: unknown }
        header: ProtectedHeader
        signature_valid: boolean
      }
      const data = typeof answer.plaintext.data === 'string' ? fromBase64(answer.plaintext.data) : undefined
      if (!data) throw new SealwireError('answer.invalid', 'The server opened no object.', { outcome: 'rejected' })
      return { data, header: answer.header, signatureValid: answer.signature_valid }
    },

    /** Signs data as it is, with keys that the tenant has for this and nothing else. */
    async sign(data: Uint8Array | string, options: CallOptions = {}): Promise<DataSignature> {
      return fromWire(await post('sign', bodyOf(data), options)) as DataSignature
    },

    /** Verifies what `sign` made; whatever is wrong with a signature is `valid: false`. */
    async verify(
      data: Uint8Array | string,
      signature: DataSignature,
      options: CallOptions = {},
    ): Promise<VerifiedData> {
      const body = { ...bodyOf(data), ...(toWire(signature) as object) }
      return fromWire(await post('verify', body, options)) as VerifiedData
    },

    /** Lists the public keys of `sign`, newest first: with them the ML-DSA signature verifies without the server. */
    async verificationKeys(options: CallOptions = {}): Promise<DataVerificationKey[]> {
      return fromWire(await call({ method: 'GET', path: `${PATH}/keys` }, options)) as DataVerificationKey[]
    },
  }
}
