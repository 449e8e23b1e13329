import type { Log } from '../core/log.ts'
import { UNKNOWN_LIST } from './blocked/blocked-client.ts'
import type { Accepted, Credentials, Provider, RefusalReason, Verdict } from './provider.ts'

/** Clients that may not come in, whatever they show; answers from memory. */
export interface Blocked {
  /** The id of the entry that applies; `undefined` where none does. */
  judge(subject: { clientId: string; username?: string; ip?: string }): string | undefined
}

/** One client that was not let in. No secret is in it: a username that looks like a token is told as `[token]`. */
export interface Refusal {
  readonly clientId: string
  readonly username?: string
  readonly ip?: string
  readonly tls?: boolean
  readonly listener?: string
  readonly passwordProvided: boolean
  readonly reason: RefusalReason
  /** The provider that found the reason; absent where it was no provider. */
  readonly provider?: string
  /** For `blocked`: the id of the entry; `list-not-known` where none can be read. */
  readonly entryId?: string
}

/** Where operators see who was not let in. Returns at once and never throws; bounding it is its own affair. */
export interface RefusalLog {
  note(refusal: Refusal): void
  /** A client got in, by its id as a refusal of it would have it. */
  letIn?(clientId: string): void
}

export interface Tried {
  readonly provider: string
  readonly reason: RefusalReason
}

export type Authentication =
  | { readonly accepted: Accepted & { readonly provider: string } }
  | { readonly refused: { readonly reason: RefusalReason; readonly tried: readonly Tried[] } }

export interface Authenticator {
  /** Never throws for what a client sent. An aborted signal refuses with `unavailable`. */
  authenticate(credentials: Credentials, signal: AbortSignal): Promise<Authentication>
  /** Whether what a provider granted still holds, from memory; `false` for a provider that is not of this chain. */
  holds(granted: { readonly provider: string; readonly grant: string }): boolean
}

export interface AuthenticatorDeps {
  /** In the order in which they are asked. */
  readonly providers: readonly Provider[]
  readonly clientIds: (clientId: string) => boolean
  readonly blocked: Blocked
  readonly refusals: RefusalLog
  readonly log: Log
}

const UNAVAILABLE: Verdict = { outcome: 'refuse', reason: 'unavailable' }

/** A list that is not known says nothing of this client, and nobody can tell whether it may come in. */
const reasonOf = (entry: string): RefusalReason => (entry === UNKNOWN_LIST ? 'unavailable' : 'blocked')

/** What a JWT has before its claims, anywhere in a text: base64url of `{` and then a quotation mark or a blank; a dot. */
const TOKEN = /(?<![\w-])e(?:y[A-DI-L]|w[klop01])[\w-]{8,}\./

/** Text that a client put where a name belongs, made fit for logs: never a token, and no longer than an entry may be. */
export function shownName(name: string): string {
  const shown = name.slice(0, 256).toWellFormed()
  return TOKEN.test(shown) ? '[token]' : shown
}

/**
 * Of several providers that skipped: that nobody has the name, if one looked for it, or guesses at unknown names would be counted
 * otherwise than those at known ones, which are refused on the spot; else what the last one that looked at anything found.
 */
function skippedReason(tried: readonly Tried[]): RefusalReason {
  if (tried.some(({ reason }) => reason === 'unknown-user')) return 'unknown-user'
  return tried.findLast(({ reason }) => reason !== 'no-credentials')?.reason ?? 'no-credentials'
}

/** Asks one provider. One that throws has a fault, one that is too slow is of no use: neither lets the next one decide. */
async function ask(provider: Provider, credentials: Credentials, signal: AbortSignal, log: Log): Promise<Verdict> {
  let onAbort: (() => void) | undefined
  try {
    const aborted = new Promise<Verdict>((resolve) => {
      onAbort = () => resolve(UNAVAILABLE)
      signal.addEventListener('abort', onAbort, { once: true })
    })
    return await Promise.race([provider.authenticate(credentials, signal), aborted])
  } catch (err) {
    log.error({ provider: provider.name, err }, 'a provider of identities failed; the client is refused')
    return UNAVAILABLE
  } finally {
    if (onAbort) signal.removeEventListener('abort', onAbort)
  }
}

/**
 * Creates what finds out who a client is: client-id rules, then blocked clients, then the providers in their order until one
 * accepts or refuses, then blocked clients again by the name that was verified. Whatever is missing refuses: no provider, none
 * that accepts, none that can tell.
 */
export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const { providers, clientIds, blocked, refusals, log } = deps
  const byName = new Map(providers.map((provider) => [provider.name, provider]))
  if (byName.size !== providers.length) throw new TypeError('two providers of one name')

  function refuse(credentials: Credentials, reason: RefusalReason, tried: readonly Tried[], entryId?: string) {
    const { clientId, username, password, bearer, ip, tls, listener } = credentials
    const found = tried.findLast((one) => one.reason === reason)
    refusals.note({
      clientId: shownName(clientId),
      ...(username === undefined ? {} : { username: shownName(username) }),
      ...(ip === undefined ? {} : { ip }),
      ...(tls === undefined ? {} : { tls }),
      ...(listener === undefined ? {} : { listener }),
      passwordProvided: password !== undefined || bearer !== undefined,
      reason,
      ...(found === undefined ? {} : { provider: found.provider }),
      ...(entryId === undefined ? {} : { entryId }),
    })
    return { refused: { reason, tried } }
  }

  return {
    async authenticate(credentials, signal) {
      const { clientId, username, ip } = credentials
      const place = { clientId, ...(ip === undefined ? {} : { ip }) }
      if (!clientIds(clientId)) return refuse(credentials, 'client-id-invalid', [])
      const entry = blocked.judge({ ...place, ...(username === undefined ? {} : { username }) })
      if (entry !== undefined) return refuse(credentials, reasonOf(entry), [], entry)
      if (providers.length === 0) return refuse(credentials, 'no-provider', [])

      const tried: Tried[] = []
      for (const provider of providers) {
        const verdict = signal.aborted ? UNAVAILABLE : await ask(provider, credentials, signal, log)
        if (verdict.outcome === 'success') {
          const verified = verdict.identity.username
          const later = blocked.judge({ ...place, ...(verified === undefined ? {} : { username: verified }) })
          if (later !== undefined) return refuse(credentials, reasonOf(later), tried, later)
          return { accepted: { ...verdict, provider: provider.name } }
        }
        tried.push({ provider: provider.name, reason: verdict.reason })
        if (verdict.outcome === 'refuse') return refuse(credentials, verdict.reason, tried)
      }
      return refuse(credentials, skippedReason(tried), tried)
    },
    holds: ({ provider, grant }) => byName.get(provider)?.holds(grant) ?? false,
  }
}
