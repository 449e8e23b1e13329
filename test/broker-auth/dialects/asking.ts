import type { Answer, Dialect, HookRequest, LoggedIn, Question } from '#src/broker-auth/dialect.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'

export const settings = {
  answers: 'status',
  tokenFrom: ['authorization', 'username'],
  vhost: '/',
  mountpoint: '',
} as const

const encoder = new TextEncoder()

/** A request as a dialect gets it; `body` as text. */
export function requestOf(path: string, body: string, more: Partial<HookRequest> = {}): HookRequest {
  return { method: 'POST', path, query: '', headers: {}, body: encoder.encode(body), ...more }
}

const password = (bytes: Uint8Array | undefined) =>
  bytes === undefined ? {} : { password: new TextDecoder().decode(bytes) }

/** A question with its secrets in clear, to be compared. */
export function told(question: Question | { readonly kind: 'malformed' }): unknown {
  if (question.kind !== 'login') return question
  const { password: secret, ...shown } = question.credentials
  return { kind: 'login', credentials: { ...shown, ...password(secret?.reveal()) } }
}

/** Every answer that is no yes, or that is none to a question of this kind. */
export const refusals: readonly Answer[] = [
  { kind: 'refused', reason: 'unknown-user' },
  { kind: 'refused', reason: 'wrong-password' },
  { kind: 'refused', reason: 'blocked' },
  { kind: 'refused', reason: 'unavailable' },
  { kind: 'access', verdicts: [], session: 'none' },
  { kind: 'access', verdicts: [], session: 'found' },
  { kind: 'access', verdicts: [{ allowed: false }], session: 'found' },
  { kind: 'superuser', isSuperuser: false },
  { kind: 'known', isKnown: false },
  { kind: 'malformed', what: 'not JSON' },
  { kind: 'malformed', what: 'no such path', route: 'path' },
  { kind: 'malformed', what: 'takes POST', route: 'method' },
  { kind: 'too-large' },
  { kind: 'stranger' },
  { kind: 'unavailable' },
  { kind: 'late' },
]

export function loggedIn(more: Partial<LoggedIn> = {}, rules: readonly object[] = []): LoggedIn {
  const { policy } = parsePolicy({ schema: 'mqtt-policy/1', id: 'p', rules })
  if (!policy) throw new Error('not a policy')
  return {
    identity: { clientId: 'c', username: 'alice' },
    provider: 'devices',
    expiresAt: undefined,
    isSuperuser: false,
    policy: compilePolicy(policy),
    ownRules: undefined,
    mayTry: () => true,
    ...more,
  }
}

/** What a dialect says when its question comes to `answer`. */
export function answerTo(dialect: Dialect, request: HookRequest, answer: Answer): string {
  const question = dialect.parse(request)
  const asked = question.kind === 'malformed' ? undefined : question
  const { status, body } = dialect.render(answer, request, asked)
  return `${status} ${body}`
}
