import type { Bytes } from '../core/bytes.ts'

/** What a wrapped key is for; it is bound into the wrap, so that no wrap serves another purpose. */
export type KeyPurpose =
  | 'vault-share'
  | 'vault-key'
  | 'recipient-seed'
  | 'mac-key'
  | 'issuer-key'
  | 'root-key'
  | 'audit-key'
  | 'audit-head-key'
  | 'sign-key'
  | 'v1-key'
  | 'api-key-pepper'
  | 'cursor-key'
  | 'canary'

/**
 * The encryption context of a wrap: authenticated, not secret, and needed again to unwrap. Every wrap names `tenant_id`
 * (`-` for the deployment), `purpose` and the id of the key or entry.
 */
export type WrapContext = Readonly<{ tenant_id: string; purpose: KeyPurpose } & Record<string, string>>

/**
 * Wraps short secrets (at most 4,096 bytes) under keys that this process never sees, or, with `local`, under a key file.
 *
 * @throws {AppError} `kms.unavailable` from both methods for every reason; the reason is the cause.
 */
export interface KeyWrapper {
  readonly provider: 'aws' | 'local'
  /** The key that new wraps use when the tenant has none of its own. */
  readonly defaultKeyId: string
  wrap(keyId: string, plaintext: Uint8Array, context: WrapContext): Promise<{ keyId: string; wrapped: Bytes }>
  /** `keyId` is the one that `wrap` returned; a wrap under another key is refused. */
  unwrap(keyId: string, wrapped: Uint8Array, context: WrapContext): Promise<Bytes>
}
