import { STATUS_CODES } from 'node:http'
import { utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { Tried } from '../identity/chain.ts'
import type { Decision } from '../policy/access.ts'
import type { TraceStep } from '../policy/explain.ts'
import type { Identity } from '../policy/identity.ts'
import { simulate } from '../policy/simulate.ts'
import { type BrokerRequest, brokerRequests, type TriedClient } from './broker-requests.ts'
import type { AccessVerdict, Answer, HookAnswer, HookRequest, LoggedIn, Question, Subject, Want } from './dialect.ts'
import type { Hook } from './hook.ts'
import { outcomeOf } from './notes.ts'

export interface TrialInput {
  readonly client: TriedClient
  /** Whether the client connects first; else it is asked about as it may be connected already. */
  readonly login: boolean
  readonly superuser: boolean
  readonly wants: readonly Want[]
}

/** One question of the broker, with its bytes as text; what is secret in the request stands there as its name in capitals. */
export interface TriedQuestion {
  readonly request: string
  readonly answer: string
  /** What the answer comes to, in a word of ours: `accepted`, `refused:wrong-password`, `allowed`, `denied`, … */
  readonly outcome: string
  /** Of a login that is refused: what each provider found, in the order in which they were asked. */
  readonly tried?: readonly Tried[]
  /** Of a question about topics. Without a decision: a superuser, or somebody without the capability for it. */
  readonly verdicts?: readonly AccessVerdict[]
  /** Milliseconds that it took here. */
  readonly tookMs: number
}

/** What policies say of one want, with the reasons; brokers are told no more than the sum of it. */
export interface TriedDecision {
  readonly want: Want
  readonly by: 'policy' | 'session rules'
  readonly decision: Decision
  readonly trace: readonly TraceStep[]
}

export interface TrialResult {
  readonly hook: string
  readonly dialect: string
  readonly deadlineMs: number
  readonly questions: readonly TriedQuestion[]
  /** Who the client is found to be; absent without a session. */
  readonly identity?: Identity
  readonly provider?: string
  readonly expiresAt?: number
  readonly decisions: readonly TriedDecision[]
}

/** Stands in for the secrets of a client, and of the hook. */
const shownClient = (client: TriedClient): TriedClient => ({
  ...client,
  password: client.password === '' ? '' : 'PASSWORD',
  token: client.token && 'TOKEN',
})

function requestText(shown: BrokerRequest, { settings }: Hook): string {
  const { name, secret } = settings
  const root = name === 'default' ? '/mqtt' : `/mqtt/hooks/${name}`
  const headers = { ...shown.headers, 'content-length': `${utf8(shown.body).length}` } // not that of a secret
  const lines = Object.entries(headers).map(([header, value]) => `${header}: ${value}`)
  const line = `${shown.method} ${root}${secret === undefined ? '' : '/SECRET'}${shown.path} HTTP/1.1`
  return [line, ...lines, '', shown.body].join('\r\n')
}

function answerText({ status, headers, body }: HookAnswer): string {
  const added = headers['cache-control'] === undefined ? { 'cache-control': 'no-store' } : {} // as the server does
  const own = { 'content-length': `${utf8(body).length}`, ...added, ...headers }
  const lines = Object.entries(own).map(([header, value]) => `${header}: ${value}`)
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd(), ...lines, '', body].join('\r\n')
}

interface Asked {
  readonly answer: HookAnswer
  readonly outcome: string
  readonly verdicts?: readonly AccessVerdict[]
  /** Whether a broker goes on. */
  readonly isYes: boolean
  readonly question?: Question
  readonly login?: LoggedIn
  readonly tried?: readonly Tried[]
}

async function ask({ dialect, answer: judge }: Hook, request: BrokerRequest): Promise<Asked> {
  const asked: HookRequest = { ...request, query: '', body: utf8(request.body) }
  const question = dialect.parse(asked)
  if (question.kind === 'malformed') {
    const answer = dialect.render(question, asked, undefined)
    return { answer, outcome: `malformed: ${question.what}`, isYes: false }
  }
  if (question.kind === 'reply') return { answer: question.answer, outcome: 'reply', isYes: true, question }
  const judged: Answer = await judge(question)
  const isYes = judged.kind === 'accepted' || (judged.kind === 'known' && judged.isKnown)
  const verdicts = judged.kind === 'access' && judged.session === 'found' ? { verdicts: judged.verdicts } : {}
  const answer = dialect.render(judged, asked, question)
  const login = judged.kind === 'accepted' ? { login: judged.login } : {}
  const tried = judged.kind === 'refused' && judged.tried ? { tried: judged.tried } : {}
  return { answer, outcome: outcomeOf(judged), ...verdicts, ...login, ...tried, isYes, question }
}

type FoundClient = Pick<LoggedIn, 'identity' | 'provider' | 'policy' | 'ownRules'> & { expiresAt?: number | undefined }

/** Who the client is: by the session, or by the answer to its login where the broker asks nothing more and there is none. */
async function findClient(
  { dialect, look }: Hook,
  subject: Subject,
  accepted?: LoggedIn,
): Promise<FoundClient | undefined> {
  if (dialect.asksLoginsOnly) return accepted
  const found = await look(subject)
  return found && { ...found.session, policy: found.policy, ownRules: found.ownRules }
}

function decisionsOf(wants: readonly Want[], found: FoundClient, delivery: boolean): TriedDecision[] {
  const rules = [
    { by: 'policy', compiled: found.policy },
    { by: 'session rules', compiled: found.ownRules },
  ] as const
  return wants.flatMap((want) =>
    rules.flatMap(({ by, compiled }) => {
      const [simulated] = compiled ? simulate(compiled, found.identity, [want], delivery) : []
      if (!simulated) return []
      const { trace, ...decision } = simulated
      return [{ want, by, decision, trace }]
    }),
  )
}

/**
 * Asks a hook what its broker would ask for one client, in the broker's own requests, and tells what it would be told. After a
 * login that is refused nothing more is asked, as the broker would not.
 *
 * @throws {AppError} `request.invalid` for what this broker never asks
 */
export async function tryHook(hook: Hook, { client, login, superuser, wants }: TrialInput): Promise<TrialResult> {
  const { settings, dialect } = hook
  if (!dialect.delivery && wants.some(({ action }) => action === 'receive'))
    throw new AppError('request.invalid', `A broker of the dialect ${dialect.name} does not ask before deliveries.`)
  if (superuser && dialect.name !== 'go-auth')
    throw new AppError('request.invalid', `A broker of the dialect ${dialect.name} does not ask for superusers.`)
  if (client.token !== undefined && dialect.name !== 'go-auth')
    throw new AppError('request.invalid', `With the dialect ${dialect.name} a token is the password of a client.`)
  if (client.certificate !== undefined && dialect.name !== 'vernemq')
    throw new AppError('request.invalid', `A broker of the dialect ${dialect.name} does not pass certificates on.`)
  const requests = brokerRequests[settings.dialect]
  const questions: TriedQuestion[] = []
  let accepted: LoggedIn | undefined
  let subject: Subject = { username: client.username, clientId: client.clientId }

  async function put(make: (client: TriedClient) => readonly BrokerRequest[]): Promise<boolean> {
    const placed = { ...client, vhost: settings.vhost, mountpoint: settings.mountpoint }
    const sent = make(placed)
    for (const [i, shown] of make(shownClient(placed)).entries()) {
      const request = sent[i]
      if (!request) throw new TypeError('a request that is shown and not sent')
      const startedMs = performance.now()
      const { answer, isYes, question, login: loggedIn, ...told } = await ask(hook, request)
      const tookMs = Math.round(performance.now() - startedMs)
      accepted ??= loggedIn
      questions.push({ request: requestText(shown, hook), answer: answerText(answer), ...told, tookMs })
      if (question?.kind === 'access') subject = question.subject
      if (question?.kind === 'login' && question.credentials.bearer)
        subject = { ...subject, proof: question.credentials }
      if (!isYes && make === requests.login) return false
    }
    return true
  }

  const isIn = !login || (await put(requests.login))
  if (isIn && superuser) await put(requests.superuser)
  for (const want of isIn ? wants : []) await put((one) => requests.access(one, want))
  const found = isIn ? await findClient(hook, subject, accepted) : undefined
  return {
    hook: settings.name,
    dialect: settings.dialect,
    deadlineMs: settings.deadline_ms,
    questions,
    ...(found && { identity: found.identity, provider: found.provider }),
    ...(found?.expiresAt !== undefined && { expiresAt: found.expiresAt }),
    decisions: found ? decisionsOf(wants, found, dialect.delivery) : [],
  }
}
