import { judgeChain } from '../certificate/judge-chain.ts'
import { usernameOf } from '../certificate/match-names.ts'
import { type Certificate, parseCertificate } from '../certificate/parse-certificate.ts'
import type { Credentials, Verdict } from '../provider.ts'

/** What a certificate tells a service: nothing where the client showed none, or one of somebody else's CA. */
export interface ClientCertificate {
  readonly commonName?: string
  /** Unix milliseconds. */
  readonly expiresAt?: number
}

const MAX_PRESENTED = 10

/**
 * Verifies what a client presented, before a service is told its common name: a certificate that nobody has verified says
 * whatever its maker liked. It has exactly one common name.
 *
 * @param now Unix milliseconds
 */
export function verifyCertificate(
  { certificates: presented = [] }: Credentials,
  anchors: readonly Certificate[],
  now: number,
): ClientCertificate | Verdict {
  if (presented.length === 0) return {}
  const untrusted = { outcome: 'refuse', reason: 'certificate-untrusted' } as const
  if (presented.length > MAX_PRESENTED) return untrusted
  const chain = presented.map(parseCertificate)
  if (!chain.every((one) => one !== undefined)) return untrusted
  const verdict = judgeChain(chain, anchors, now)
  if (verdict.outcome === 'foreign') return {}
  if (verdict.outcome === 'refused') return { outcome: 'refuse', reason: verdict.reason }
  const commonName = usernameOf(verdict.leaf, 'cn')
  if (commonName === undefined) return { outcome: 'refuse', reason: 'certificate-unmatched' }
  return { commonName, expiresAt: verdict.expiresAt }
}
