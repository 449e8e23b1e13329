import type { CryptoProvider } from '../crypto/provider.ts'
import type { ProtectedHeader } from './header.ts'
import { type IssuerKey, isInKeyWindow, issuerOf } from './issuer-key.ts'
import { parseEnvelope } from './parse-envelope.ts'
import { rejected } from './rejected.ts'
import { verifyLeaf } from './verify-leaf.ts'

/**
 * Verifies who made an envelope, without any key of its recipient, and returns its header; for auditors. It judges neither
 * age nor addressee, and never gives a plaintext.
 *
 * @throws {AppError} `envelope.rejected`, `envelope.issuer_unknown`
 */
export function verifyOrigin(
  provider: CryptoProvider,
  envelope: unknown,
  issuers: ReadonlyMap<string, IssuerKey>,
): ProtectedHeader {
  const parsed = parseEnvelope(envelope)
  if (!parsed) throw rejected()
  const issuer = issuerOf(parsed.header, issuers)
  if (!verifyLeaf(provider, parsed, issuer).isSigned || !isInKeyWindow(parsed.header, issuer)) throw rejected()
  return parsed.header
}
