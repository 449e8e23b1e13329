import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { UNKNOWN_LIST } from '../identity/blocked/blocked-client.ts'
import type { Blocked } from '../identity/chain.ts'
import type { Credentials } from '../identity/provider.ts'
import type { CompiledPolicy } from '../policy/compile-policy.ts'
import { Deadline } from './deadline.ts'
import type { AccessVerdict, Answer, Question, Subject } from './dialect.ts'
import { createJudgeCredentials, createLogin, type LoginDeps } from './login.ts'
import type { Snapshot } from './policy-follower.ts'
import { isSuperuser, ownRulesOf, type Prepared, prepare, verdictOn } from './prepared.ts'
import { createProofs } from './proofs.ts'
import type { Session } from './session.ts'
import type { LiveSession } from './session-memory.ts'
import type { Sessions } from './sessions.ts'

export interface Hook {
  readonly settings: LoginDeps['settings']
  readonly dialect: LoginDeps['dialect']
  /** Answers at once where everything is at hand; never later than the hook's deadline, and never throws. */
  answer(question: Question): Answer | Promise<Answer>
  /** Whom a question would be answered for, and by what: for operators who want to see why. */
  look(subject: Subject): Promise<{ session: Session; policy: CompiledPolicy; ownRules?: CompiledPolicy } | undefined>
  sweep(): Promise<number>
  readonly sessions: Pick<Sessions, 'size'>
  close(): Promise<void>
}

export interface HookDeps extends LoginDeps {
  readonly blocked: Blocked
  readonly log: Log
  /** Told of every answer, for counters and the audit log; must return at once and not throw. */
  readonly tell: (question: Question, answer: Answer) => void
}

const UNAVAILABLE: Answer = { kind: 'unavailable' }
const LATE: Answer = { kind: 'late' }
const NOBODY: Answer = { kind: 'access', verdicts: [], session: 'none' }
const NO_SUPERUSER: Answer = { kind: 'superuser', isSuperuser: false }

const isPromise = <T>(value: T | Promise<T>): value is Promise<T> => value instanceof Promise

/** Judges the questions of one broker's hook. Nothing in here knows how the broker spells them. */
export function createHook(deps: HookDeps): Hook {
  const { settings, dialect, authenticator, blocked, policy, sessions, clock, log, tell } = deps
  const { delivery } = dialect
  const proofs = createProofs(() => clock.monotonic())
  const judgeCredentials = createJudgeCredentials(deps)
  const login = createLogin(deps, judgeCredentials)

  /** Whether what was found out when the client logged in still holds: from memory alone. */
  function stands({ identity, username, clientId, expiresAt, provider, grant }: Session): boolean {
    if (expiresAt !== undefined && expiresAt <= clock.now()) return false
    if (!authenticator.holds({ provider, grant })) return false
    const id = identity.clientId ?? clientId
    const place = identity.ip === undefined ? { clientId: id } : { clientId: id, ip: identity.ip }
    const name = identity.username ?? username
    if (isBlocked(name === '' ? place : { ...place, username: name })) return false
    return username === '' || username === name || !isBlocked({ ...place, username })
  }

  /** @throws {AppError} where nobody knows who is blocked: no refusal, but no answer either */
  function isBlocked(subject: Parameters<Blocked['judge']>[0]): boolean {
    const entry = blocked.judge(subject)
    if (entry === UNKNOWN_LIST) throw new AppError('database.unavailable', 'Who is blocked is not known.')
    return entry !== undefined
  }

  function preparedOf(live: LiveSession, snapshot: Snapshot): Prepared {
    const known = live.prepared as Prepared | undefined
    if (known !== undefined && known.compiled === snapshot.policy?.compiled) return known
    const prepared = prepare(live.session, snapshot.policy?.compiled, settings)
    live.prepared = prepared
    return prepared
  }

  function judgeAccess(question: Question & { kind: 'access' }, live: LiveSession, snapshot: Snapshot): Answer {
    const prepared = preparedOf(live, snapshot)
    const verdicts: AccessVerdict[] = []
    for (const want of question.wants) {
      const verdict = verdictOn(prepared, want, delivery)
      verdicts.push(verdict)
      if (!verdict.allowed && question.mode === 'all') break
    }
    const { policy: active } = snapshot
    const { identity } = live.session
    const about = active ? { identity, policy: { id: active.policyId, revision: active.revision } } : { identity }
    return { kind: 'access', verdicts, session: 'found', about }
  }

  async function prove(proof: Credentials, username: string, deadline: Deadline): Promise<LiveSession | undefined> {
    const known = proofs.find(proof, username) // judged while somebody waited for a session
    if (known !== undefined) return known
    const { session } = await judgeCredentials(proof, username, deadline)
    return session && proofs.keep(proof, username, session)
  }

  /** Who a question is about: by the token of its header, else by the session, else by a token that is the username. */
  function find(subject: Subject, deadline: Deadline): LiveSession | undefined | Promise<LiveSession | undefined> {
    const { username, clientId, proof } = subject
    if (proof?.bearer !== undefined) return proofs.find(proof, username) ?? prove(proof, username, deadline)
    const found = sessions.find(username, clientId)
    if (proof === undefined) return found
    if (!isPromise(found)) return found ?? proofs.find(proof, username) ?? prove(proof, username, deadline)
    return found.then((live) => live ?? prove(proof, username, deadline))
  }

  async function superuserByName(username: string): Promise<Answer> {
    const all = await sessions.ofUser(username)
    const standing = (all ?? []).filter(stands)
    const isOne = standing.length > 0 && standing.every(({ identity }) => isSuperuser(identity, settings.superuser))
    return { kind: 'superuser', isSuperuser: isOne }
  }

  function judgeFound(question: Question, live: LiveSession | undefined): Answer | Promise<Answer> {
    const session = live !== undefined && stands(live.session) ? live.session : undefined
    if (question.kind === 'known') return { kind: 'known', isKnown: session !== undefined }
    if (question.kind === 'superuser')
      return {
        kind: 'superuser',
        isSuperuser: session !== undefined && isSuperuser(session.identity, settings.superuser),
      }
    if (question.kind !== 'access') return UNAVAILABLE
    if (live === undefined || session === undefined) return NOBODY
    const snapshot = policy.current()
    const judgeBy = (now: Snapshot | undefined) => (now === undefined ? UNAVAILABLE : judgeAccess(question, live, now))
    return isPromise(snapshot) ? snapshot.then(judgeBy) : judgeBy(snapshot)
  }

  function judge(question: Question, deadline: Deadline): Answer | Promise<Answer> {
    if (question.kind === 'login') return login(question.credentials, deadline)
    if (question.kind === 'reply') return UNAVAILABLE
    if (question.kind === 'superuser') {
      if (settings.superuser === undefined) return NO_SUPERUSER
      const { username, clientId, proof } = question.subject
      if (proof === undefined && clientId === '') return superuserByName(username)
    }
    const found = find(question.subject, deadline)
    return isPromise(found) ? found.then((live) => judgeFound(question, live)) : judgeFound(question, found)
  }

  /** Whatever goes wrong in here refuses; a fault of ours is told to the log. */
  function failed(err: unknown): Answer {
    if (!(err instanceof AppError))
      log.error({ hook: settings.name, err }, 'a question of a broker failed; it is refused')
    return UNAVAILABLE
  }

  return {
    settings,
    dialect,
    sessions,
    answer(question) {
      const deadline = new Deadline()
      const told = (answer: Answer) => {
        tell(question, answer)
        return answer
      }
      let answer: Answer | Promise<Answer>
      try {
        answer = judge(question, deadline)
      } catch (err) {
        answer = failed(err)
      }
      if (!isPromise(answer)) return told(answer)
      const late = Promise.withResolvers<Answer>()
      const timer = setTimeout(() => {
        late.resolve(LATE) // before those who wait learn of it
        deadline.pass()
      }, settings.deadline_ms)
      return Promise.race([answer.catch(failed), late.promise]).then((first) => {
        clearTimeout(timer)
        return told(first)
      })
    },
    async look(subject) {
      const live = await find(subject, new Deadline())
      const snapshot = await policy.current()
      if (live === undefined || !stands(live.session) || snapshot?.policy === undefined) return undefined
      const own = ownRulesOf(live.session)
      return { session: live.session, policy: snapshot.policy.compiled, ...(own && { ownRules: own }) }
    },
    sweep: () => sessions.sweep(),
    close: () => sessions.close(),
  }
}
