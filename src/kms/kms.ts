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
  | 'sign-mac-key'
  | 'object-key'
  | 'object-mac-key'
  | 'v1-key'
  | 'v1-sign-key'
  | 'v1-mac-key'
  | 'api-key-pepper'
  | 'cursor-key'
  | 'canary'

/**
 * The encryption context of a wrap: authenticated, not secret, and needed again to unwrap. Every wrap names `tenant_id`
 * (`-` for the deployment), `purpose` and the id of the key or entry.
 */
export type WrapContext = Readonly<{ tenant_id: string; purpose: KeyPurpose } & Record<string, string>>

/** The cause where `unwrap` was answered with a no: the wrap, its context or its key, and not that nobody answered. */
export class WrapRefusedError extends Error {}

/**
 * Wraps short secrets (at most 4,096 bytes) under keys that this process never sees, or, with `local`, under a key file.
 *
 * @throws {AppError} `kms.unavailable` from both methods for every reason; the reason is the cause, a
 * {@link WrapRefusedError} where asking again gives the same answer.
 */
export interface KeyWrapper {
  readonly provider: 'aws' | 'local'
  /** The key that new wraps use when the tenant has none of its own. */
  readonly defaultKeyId: string
  wrap(keyId: string, plaintext: Uint8Array, context: WrapContext): Promise<{ keyId: string; wrapped: Bytes }>
  /** `keyId` is the one that `wrap` returned; a wrap under another key is refused. */
  unwrap(keyId: string, wrapped: Uint8Array, context: WrapContext): Promise<Bytes>
  /** Where the keys are ours to make and to remove; absent with a KMS, which does that itself. */
  readonly ring?: KeyRingControl
}

/** Changes of a ring of keys. Call them one at a time in all processes, under a lock. */
export interface KeyRingControl {
  /** Learns what another process changed. @throws {AppError} `kms.unavailable`; what was known goes on working */
  refresh(): Promise<void>
  ids(): readonly string[]
  /** Makes a key where there is none with that id, and the one for new wraps if `primary` says so. */
  add(keyId: string, options: { primary: boolean }): Promise<void>
  /** Removes a key for good: what it still wraps opens never again. The one for new wraps stays. */
  remove(keyId: string): Promise<void>
}
