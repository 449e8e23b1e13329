import type { Secret } from '../core/secret.ts'
import type { PolicyDocument } from '../policy/document.ts'
import type { Identity } from '../policy/identity.ts'

/** What an MQTT client shows of itself when it connects, by whatever surface it came. Nothing of it is verified. */
export interface Credentials {
  readonly clientId: string
  readonly username?: string
  /** As sent: MQTT passwords are bytes. */
  readonly password?: Secret<Uint8Array>
  /** The token of an `Authorization: Bearer` header, where the surface has headers. */
  readonly bearer?: Secret<string>
  /** DER, leaf first, as they were presented. */
  readonly certificates?: readonly Uint8Array[]
  readonly ip?: string
  readonly protocol?: 3 | 4 | 5
  readonly listener?: string
  readonly tls?: boolean
}

/** Why nobody was let in: a closed list, because it is audited, counted and shown to operators, never to the client. */
export const refusalReasons = [
  'no-credentials',
  'unknown-user',
  'wrong-password',
  'disabled',
  'token-malformed',
  'token-signature',
  'token-expired',
  'token-not-yet-valid',
  'token-issuer',
  'token-audience',
  'token-claim',
  'certificate-untrusted',
  'certificate-expired',
  'certificate-not-yet-valid',
  'certificate-unmatched',
  'exchange-invalid',
  'service-refused',
  'rules-invalid',
  'username-mismatch',
  'client-id-invalid',
  /** By a surface, behind the providers: the policy refuses the CONNECT of whom they accepted. */
  'policy-denied',
  /** By a surface, before the providers: too many wrong guesses of this name in a minute. */
  'too-many-failures',
  'blocked',
  'no-provider',
  'unavailable',
] as const
export type RefusalReason = (typeof refusalReasons)[number]

export interface Accepted {
  readonly outcome: 'success'
  readonly identity: Identity
  /** Rules that came with the credentials, beside the stored policy; checked like a stored document. */
  readonly rules?: PolicyDocument
  /** Unix milliseconds after which nothing of it holds. */
  readonly expiresAt?: number
  /** What {@link Provider.holds} is asked with as long as the client is connected: no secret, at most 256 characters. */
  readonly grant: string
}

/**
 * `skip`: these credentials are not this provider's to judge, so the next one is asked. `refuse`: they are, and are not good;
 * nobody else is asked. A provider that cannot tell (its keys or its service are out of reach) refuses with `unavailable`, so
 * that an outage never lets a weaker one decide.
 */
export type Verdict =
  | Accepted
  | { readonly outcome: 'skip'; readonly reason: RefusalReason }
  | { readonly outcome: 'refuse'; readonly reason: RefusalReason }

export interface Provider {
  /** As configured; unique in its file. */
  readonly name: string
  /** Never throws for what a client sent. The signal ends the wait; what was begun may go on to fill a cache. */
  authenticate(credentials: Credentials, signal: AbortSignal): Promise<Verdict>
  /** Whether what was accepted with this grant still is, from memory alone: no user deleted or disabled, no key withdrawn. */
  holds(grant: string): boolean
  close?(): Promise<void> | void
}
