import { toBase64Url } from '../core/base64.ts'
import { type Bytes, labelled, lengthPrefixed } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { checkLength } from '../crypto/check-length.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { REQUEST_LABEL } from './labels.ts'

const API_ROOT = '/api/v2/'
/** Length of `Envelope-Nonce` in bytes, before base64url. */
export const NONCE_BYTES = 32

export interface RequestToHash {
  /** 32 random bytes, new for every attempt. */
  nonce: Bytes
  /** As sent: upper case. */
  method: string
  /** From {@link apiTarget}. */
  target: string
  /** As sent; empty when there is none. */
  body: Uint8Array
}

/**
 * Cuts path and query, as sent, to what a proxy in between may not change: everything from the first `/api/v2/` on.
 *
 * @throws {AppError} `request.invalid` when it has no such part
 */
export function apiTarget(url: string): string {
  const start = url.indexOf(API_ROOT)
  if (start < 0) throw new AppError('request.invalid', `The request target has no ${API_ROOT}.`)
  return url.slice(start)
}

/** Hashes a request to the `rqh` of its answer: 64 characters of base64url (SHA-384). */
export function requestHash(provider: CryptoProvider, { nonce, method, target, body }: RequestToHash): string {
  checkLength('Envelope-Nonce', nonce, NONCE_BYTES)
  const parts = [nonce, method, target, body].map(lengthPrefixed)
  return toBase64Url(provider.sha384(labelled(REQUEST_LABEL, ...parts)))
}
