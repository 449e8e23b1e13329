import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { GuardedRequest } from '../../outbound/guarded-request.ts'
import type { PolicyDocument } from '../../policy/document.ts'
import type { JsonObject } from '../../policy/problems.ts'
import { connectionFacts } from '../connection-facts.ts'
import type { Credentials, Provider, RefusalReason, Verdict } from '../provider.ts'
import type { ProviderDeps } from '../provider-deps.ts'
import { type JwtAlgorithm, publicKeyAlgorithms } from './algorithms.ts'
import { ClaimFault, type MappedClaims, mapClaims, meetsExpectations } from './claims.ts'
import { type FoundToken, findTokens } from './find-tokens.ts'
import { createPemSource, createSecretSource, type KeySource } from './keys.ts'
import { createRemoteKeys } from './remote-keys.ts'
import { claimedRules } from './rule-claims.ts'
import type { JwtSettings } from './settings.ts'
import { type VerifiedTimes, verifyToken } from './verify-token.ts'

export interface JwtProviderDeps extends ProviderDeps {
  readonly request: GuardedRequest
}

/** A token that was verified, and all that follows from it alone. */
interface KnownToken extends VerifiedTimes, MappedClaims {
  readonly claims: JsonObject
  readonly keyId: string
  readonly rules: PolicyDocument | undefined
}

type Judged = KnownToken | Extract<Verdict, { outcome: 'skip' | 'refuse' }>

/** Tokens that are remembered, what they may take together, and the longest that one is before it is verified again. */
const MAX_KNOWN = 10_000
const MAX_KNOWN_BYTES = 64 * 1024 * 1024
const KNOWN_MS = 60_000
const COMPLAINT_MS = 10_000

const skip = (reason: RefusalReason) => ({ outcome: 'skip', reason }) as const
const refuse = (reason: RefusalReason) => ({ outcome: 'refuse', reason }) as const

function digestOf(text: string): string {
  return hash('sha256', text, 'base64url')
}

/** Bytes that what was made of a token may take, about. */
function sizeOf(text: string): number {
  return 4 * text.length + 2_000
}

/** Whether two tokens of one client are of one subject; those that are left to others count as one. */
function isOfSameSubject(a: Judged, b: Judged): boolean {
  if ('outcome' in a || 'outcome' in b) return 'outcome' in a && 'outcome' in b
  return a.claims['sub'] === b.claims['sub'] && a.claims['iss'] === b.claims['iss']
}

function openKeys(settings: JwtSettings, deps: JwtProviderDeps): KeySource | Promise<KeySource> {
  const { secret, public_key_file: pemFile, algorithms } = settings
  if (secret !== undefined) return createSecretSource(deps.readSecret(secret), algorithms ?? ['HS256'])
  if (pemFile !== undefined) return createPemSource(pemFile, algorithms)
  return createRemoteKeys(settings, algorithms ?? publicKeyAlgorithms, deps)
}

/**
 * Creates the provider that knows clients by the tokens of one issuer. Settings are part of every grant, so that what was
 * accepted under other ones does not outlive them.
 *
 * @throws {KeyFault} for a key of the configuration that cannot be used
 * @throws {SecretUnavailable}
 * @see RFC 7519, RFC 8725
 */
export async function createJwtProvider(settings: JwtSettings, deps: JwtProviderDeps): Promise<Provider> {
  const { name, clock, log } = deps
  const keys = await openKeys(settings, deps)
  const allowed: readonly string[] =
    settings.algorithms ?? (settings.secret === undefined ? publicKeyAlgorithms : ['HS256'])
  const version = digestOf(JSON.stringify(settings)).slice(0, 16)
  const known = new LRUCache<string, KnownToken>({
    max: MAX_KNOWN,
    maxSize: MAX_KNOWN_BYTES,
    ttl: KNOWN_MS,
    ttlResolution: 0,
    perf: { now: () => clock.monotonic() },
  })

  let complainedAt = Number.NEGATIVE_INFINITY
  const isOfTime = ({ expiresAt, notBefore }: VerifiedTimes) => clock.now() < expiresAt && clock.now() >= notBefore

  function recall(text: string): KnownToken | undefined {
    const one = known.get(digestOf(text))
    return one && isOfTime(one) && keys.has(one.keyId) ? one : undefined
  }

  async function judge({ text, token }: FoundToken<KnownToken>, signal: AbortSignal): Promise<Judged> {
    if (token === 'malformed') return refuse('token-malformed')
    if ('known' in token) return token.known
    const { claims, kid } = token
    if (settings.issuer !== undefined && claims['iss'] !== settings.issuer) return skip('token-issuer')
    if (!allowed.includes(token.alg)) return refuse('token-signature')
    const alg = token.alg as JwtAlgorithm
    const key = await keys.find(alg, kid, signal)
    if (typeof key === 'string') return refuse(key === 'unknown' ? 'token-signature' : 'unavailable')
    const times = await verifyToken(text, alg, key, settings, clock.now())
    if (typeof times === 'string') return refuse(times)
    const mapped = map(claims)
    if ('outcome' in mapped) return mapped
    const one = { ...times, ...mapped, claims, keyId: key.id }
    known.set(digestOf(text), one, { size: sizeOf(text) })
    return one
  }

  /** One line in ten seconds: whoever holds such a token can come as often as it likes. */
  function complain(fields: object, message: string): void {
    if (clock.monotonic() - complainedAt < COMPLAINT_MS) return
    complainedAt = clock.monotonic()
    log.warn({ provider: name, ...fields }, message)
  }

  function map(claims: JsonObject): (MappedClaims & Pick<KnownToken, 'rules'>) | ReturnType<typeof refuse> {
    try {
      const mapped = mapClaims(claims, settings.claims, settings.client_type)
      const claimed = claimedRules(claims, settings.claims.rules)
      if ('rules' in claimed) return { ...mapped, rules: claimed.rules }
      complain({ problems: claimed.problems.slice(0, 3) }, 'a token brings rules that are none')
      return refuse('rules-invalid')
    } catch (err) {
      if (!(err instanceof ClaimFault)) throw err
      complain({ problem: err.message }, 'a token lacks a claim, or has it in another form')
      return refuse('token-claim')
    }
  }

  /** What a verified token is worth to whoever shows it. */
  function accept(token: KnownToken, credentials: Credentials, username: string | undefined): Verdict {
    const { names, claims, expiresAt, rules, keyId } = token
    const isMismatch = username !== undefined && !names.has(username)
    if (isMismatch && settings.connect_username === 'must-match') return refuse('username-mismatch')
    const connect = { username, clientId: credentials.clientId }
    if (!meetsExpectations(claims, settings.claims.expect, connect)) return refuse('token-claim')
    return {
      outcome: 'success',
      identity: { ...connectionFacts(credentials), ...token.identity, auth: 'jwt' },
      ...(rules && { rules }),
      expiresAt,
      grant: `${version}.${keyId}`,
    }
  }

  return {
    name,
    async authenticate(credentials, signal) {
      const { tokens, username } = findTokens(credentials, settings, recall)
      const judged = await Promise.all(tokens.map((token) => judge(token, signal)))
      const refused = judged.find((one) => 'outcome' in one && one.outcome === 'refuse')
      if (refused && 'outcome' in refused) return refused
      const [first = skip('no-credentials'), ...others] = judged
      if (!others.every((other) => isOfSameSubject(first, other))) return refuse('username-mismatch')
      return 'outcome' in first ? first : accept(first, credentials, username)
    },
    holds: (grant) => grant.startsWith(`${version}.`) && keys.has(grant.slice(version.length + 1)),
    close: () => keys.close(),
  }
}
