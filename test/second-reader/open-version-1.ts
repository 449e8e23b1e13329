import { hkdfSync } from 'node:crypto'
import { bytesOf, must, objectWith } from './decode.ts'
import type { Decapsulator } from './kem.ts'
import { openGcm } from './open-version-2.ts'
import { isMacOf, isSignedBy } from './signatures.ts'

/** Section 13 of the page. */
export function openVersion1(
  value: unknown,
  reader: { decapsulator: Decapsulator; pub: Buffer; macKey: Buffer; tenantUuid: string },
): Buffer {
  const outer = objectWith(value, 'encrypted signature')
  const sealed = objectWith(outer['encrypted'], 'ciphertext_kem ciphertext_data tenant_id algorithm')
  const signed = objectWith(outer['signature'], 'pqc_signature hmac_signature tenant_id algorithm')
  must(sealed['algorithm'] === 'ML-KEM-768' && signed['algorithm'] === 'ML-DSA-65+HMAC-SHA-512')
  must(sealed['tenant_id'] === reader.tenantUuid && signed['tenant_id'] === reader.tenantUuid)
  const ctKem = bytesOf(sealed['ciphertext_kem'], 'base64', 1088)
  const data = bytesOf(sealed['ciphertext_data'], 'base64', 28, 16 * 1024 * 1024 + 28)
  const signature = bytesOf(signed['pqc_signature'], 'base64', 3309)
  const hmac = bytesOf(signed['hmac_signature'], 'base64', 64)
  const results = [isSignedBy(reader.pub, data, '', signature), isMacOf(reader.macKey, data, hmac)]
  must(results.every(Boolean))
  const secret = reader.decapsulator.decapsulate(ctKem)
  const key = Buffer.from(hkdfSync('sha512', secret, '', 'quantaseal-aes-key', 32))
  return openGcm(key, data, Buffer.alloc(0))
}
