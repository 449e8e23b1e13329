import { AppError } from '../core/errors.ts'
import { type Authenticator, type RefusalLog, shownName, type Tried } from '../identity/chain.ts'
import type { Credentials, RefusalReason } from '../identity/provider.ts'
import type { CompiledPolicy } from '../policy/compile-policy.ts'
import type { HookSettings } from './config.ts'
import type { Deadline } from './deadline.ts'
import type { Answer, Dialect, LoggedIn } from './dialect.ts'
import { createFailedLogins } from './failed-logins.ts'
import type { PolicyFollower } from './policy-follower.ts'
import { mayTry, ownRulesOf, type Prepared, prepare, verdictOn } from './prepared.ts'
import type { Session } from './session.ts'
import type { Sessions } from './sessions.ts'

export interface LoginDeps {
  readonly settings: HookSettings
  readonly dialect: Dialect
  readonly authenticator: Authenticator
  readonly refusals: RefusalLog
  readonly policy: PolicyFollower
  readonly sessions: Sessions
  readonly clock: { now(): number; monotonic(): number }
}

export type Judged =
  | { readonly session: Session }
  | { readonly session?: never; readonly reason: RefusalReason; readonly tried?: readonly Tried[] }

/**
 * Creates what finds out whom credentials show.
 *
 * @throws {AppError} `server.busy` where whoever judges them is out of reach: nobody knows, which is no refusal
 */
export function createJudgeCredentials({ authenticator, clock }: Pick<LoginDeps, 'authenticator' | 'clock'>) {
  return async (credentials: Credentials, username: string, { signal }: Deadline): Promise<Judged> => {
    const authentication = await authenticator.authenticate(credentials, signal)
    if ('refused' in authentication) {
      const { reason, tried } = authentication.refused
      if (reason === 'unavailable')
        throw new AppError('server.busy', 'Whoever judges these credentials is out of reach.')
      return { reason, tried }
    }
    const { identity, rules, expiresAt, provider, grant } = authentication.accepted
    const session: Session = {
      username,
      clientId: credentials.clientId,
      identity,
      ...(rules === undefined ? {} : { rules }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      provider,
      grant,
    }
    if (expiresAt !== undefined && expiresAt <= clock.now()) return { reason: 'token-expired' }
    if (rules !== undefined && ownRulesOf(session) === undefined) return { reason: 'rules-invalid' }
    return { session }
  }
}

function loggedIn(
  { identity, provider, expiresAt }: Session,
  prepared: Prepared,
  policy: CompiledPolicy,
  delivery: boolean,
): LoggedIn {
  return {
    identity,
    provider,
    expiresAt,
    isSuperuser: prepared.isSuperuser,
    policy,
    ownRules: prepared.ownRules,
    mayTry: (action) => mayTry(prepared, action, delivery),
  }
}

/** Creates the judgement of a login: guesses, credentials, the policy's CONNECT; who gets in is remembered. */
export function createLogin(deps: LoginDeps, judgeCredentials: ReturnType<typeof createJudgeCredentials>) {
  const { settings, dialect, refusals, policy, sessions, clock } = deps
  const failures = createFailedLogins(settings.failures_per_minute, () => clock.monotonic())

  /** Refuses behind the providers, or before them, and tells the log of unauthorised clients. */
  function refuse(credentials: Credentials, reason: RefusalReason, provider?: string): Answer {
    const { clientId, username, ip, password, bearer } = credentials
    refusals.note({
      clientId: shownName(clientId),
      ...(username === undefined ? {} : { username: shownName(username) }),
      ...(ip === undefined ? {} : { ip }),
      passwordProvided: password !== undefined || bearer !== undefined,
      reason,
      ...(provider === undefined ? {} : { provider }),
    })
    return { kind: 'refused', reason }
  }

  return async (credentials: Credentials, deadline: Deadline): Promise<Answer> => {
    const { username = '', clientId } = credentials
    const startedMs = clock.monotonic()
    const isKnown = sessions.isAtHand(username, clientId)
    if (!failures.mayTry(username, clientId, isKnown)) return refuse(credentials, 'too-many-failures')
    const judged = await judgeCredentials(credentials, username, deadline)
    const { session } = judged
    if (session === undefined) {
      const { reason, tried = [] } = judged
      failures.refused(username, clientId, isKnown, reason)
      return { kind: 'refused', reason, tried }
    }
    const snapshot = await policy.current()
    if (snapshot === undefined) return { kind: 'unavailable' }
    if (deadline.isLate) return { kind: 'late' } // the broker has been told no: there is no session
    const prepared = prepare(session, snapshot.policy?.compiled, settings)
    const connect = verdictOn(prepared, { action: 'connect', topic: '' }, dialect.delivery)
    const { compiled } = prepared
    if (compiled === undefined || !connect.allowed) return refuse(credentials, 'policy-denied', session.provider)
    // Who shows a token in a header shows it with every question; and a session needs a name to be found by.
    const isFindable = credentials.bearer === undefined && (username !== '' || clientId !== '')
    if (isFindable && !dialect.asksLoginsOnly) {
      const leftMs = settings.deadline_ms - (clock.monotonic() - startedMs)
      await sessions.put(session, leftMs / 2) // the answer has to be in time: a slow table is no reason to refuse
    }
    refusals.letIn?.(shownName(clientId))
    return { kind: 'accepted', login: loggedIn(session, prepared, compiled, dialect.delivery) }
  }
}
