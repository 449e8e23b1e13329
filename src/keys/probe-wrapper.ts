import { equalBytes, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { type KeyWrapper, WrapRefusedError } from '../kms/kms.ts'
import { DEPLOYMENT } from './stored-key.ts'

const KNOWN = 'sealwire/probe'
const context = { tenant_id: DEPLOYMENT, purpose: 'canary', key_id: 'probe' } as const

/**
 * Wraps a known text under a KMS key and opens it again.
 *
 * @returns the id by which wraps name the key, also where an alias was asked for
 * @throws {AppError} `kms.unavailable`
 */
export async function probeWrapper(wrapper: KeyWrapper, kmsKeyId: string): Promise<string> {
  const { keyId, wrapped } = await wrapper.wrap(kmsKeyId, utf8(KNOWN), context)
  if (equalBytes(await wrapper.unwrap(keyId, wrapped, context), utf8(KNOWN))) return keyId
  throw new AppError('kms.unavailable', 'The key wrapper does not answer.', { cause: 'other bytes than were wrapped' })
}

/**
 * Reports whether `err` says that a wrap does not open, while others do: then a job goes on with the next one. A key wrapper
 * that is away, slow or asks for less says nothing about a wrap.
 */
export async function isWrapAtFault(err: unknown, wrapper: KeyWrapper): Promise<boolean> {
  if (!(err instanceof AppError && err.cause instanceof WrapRefusedError)) return false
  try {
    await probeWrapper(wrapper, wrapper.defaultKeyId)
    return true
  } catch {
    return false // and `err` is what is told
  }
}
