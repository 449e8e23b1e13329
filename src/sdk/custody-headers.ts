import { fromBase64Url } from '../core/base64.ts'
import { SealwireError } from './sealwire-error.ts'

const CUSTODY_KEY_BYTES = 32

/**
 * Checks a custody key before it is sent.
 *
 * @throws {SealwireError} `request.invalid` unless 32 bytes in base64url; the message does not repeat it
 */
export function assertCustodyKey(key: string): void {
  if (fromBase64Url(key)?.length === CUSTODY_KEY_BYTES) return
  throw new SealwireError('request.invalid', 'Custody key: not 32 bytes in base64url, 43 characters.', {
    outcome: 'rejected',
  })
}

/** Writes the headers of split custody, those that are asked for. @throws {SealwireError} as `assertCustodyKey` */
export function custodyHeaders(custody: {
  custodyKey?: string | undefined
  splitCustody?: boolean | undefined
}): Record<string, string> {
  const { custodyKey, splitCustody } = custody
  if (custodyKey !== undefined) assertCustodyKey(custodyKey)
  return {
    ...(custodyKey !== undefined && { 'X-Vault-Custody-Key': custodyKey }),
    ...(splitCustody && { 'X-Vault-Enable-MPC': 'true' }),
  }
}
