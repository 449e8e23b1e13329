import { errors, jwtVerify } from 'jose'
import type { RefusalReason } from '../provider.ts'
import type { JwtAlgorithm } from './algorithms.ts'
import type { VerifyKey } from './keys.ts'
import type { JwtSettings } from './settings.ts'

export interface VerifiedTimes {
  /** Unix milliseconds after which the token is good for nothing, the skew of clocks included. */
  readonly expiresAt: number
  /** Unix milliseconds before which it is not, the same. */
  readonly notBefore: number
}

/** Latest moment that a date can be (ECMA-262 §21.4.1.1), in seconds: `1e999` is no time. */
const MAX_SECONDS = 8.64e12

/** What a failure of jose means; the order matters, an expired token is a failed claim too. */
function reasonOf(err: unknown): RefusalReason {
  if (err instanceof errors.JWTExpired) return 'token-expired'
  if (err instanceof errors.JWTClaimValidationFailed) {
    if (err.claim === 'nbf' && err.reason === 'check_failed') return 'token-not-yet-valid'
    if (err.claim === 'iss') return 'token-issuer'
    return err.claim === 'aud' ? 'token-audience' : 'token-claim'
  }
  if (err instanceof errors.JWTInvalid || err instanceof errors.JWSInvalid) return 'token-malformed'
  return 'token-signature'
}

/**
 * Verifies a token with one key and one algorithm, both chosen by us: signature, `iss`, `aud`, `exp`, which must be there, and
 * `nbf` (RFC 7519 §4.1, RFC 8725 §3).
 *
 * @param nowMs Unix milliseconds
 */
export async function verifyToken(
  text: string,
  alg: JwtAlgorithm,
  { key }: Pick<VerifyKey, 'key'>,
  { issuer, audience, clock_skew_s: skewS }: Pick<JwtSettings, 'issuer' | 'audience' | 'clock_skew_s'>,
  nowMs: number,
): Promise<VerifiedTimes | RefusalReason> {
  try {
    const { payload } = await jwtVerify(text, key, {
      algorithms: [alg],
      ...(issuer !== undefined && { issuer }),
      ...(!audience.includes('*') && { audience: [...audience] }),
      clockTolerance: skewS,
      currentDate: new Date(nowMs),
      requiredClaims: ['exp'],
    })
    const { exp = Number.NaN, nbf = 0 } = payload
    if (!(exp <= MAX_SECONDS) || !(Math.abs(nbf) <= MAX_SECONDS)) return 'token-claim'
    return { expiresAt: Math.floor((exp + skewS) * 1_000), notBefore: Math.floor((nbf - skewS) * 1_000) }
  } catch (err) {
    return reasonOf(err)
  }
}
