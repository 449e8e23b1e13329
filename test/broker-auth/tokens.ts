import { CompactSign } from 'jose'
import { TOKEN_SECRET } from './hook-harness.ts'

const encoder = new TextEncoder()

/** A token of the issuer whose secret the hooks of the tests know (HS256). */
export function tokenOf(claims: Readonly<Record<string, unknown>>, secret = TOKEN_SECRET): Promise<string> {
  const signing = new CompactSign(encoder.encode(JSON.stringify(claims)))
  return signing.setProtectedHeader({ alg: 'HS256' }).sign(encoder.encode(secret))
}
