import { Secret } from '../../core/secret.ts'
import type { Credentials } from '../../identity/provider.ts'
import { BadBody, bearerOf, looksLikeToken, type Members, readMembers, textOf } from '../bodies.ts'
import {
  type Answer,
  type Dialect,
  type DialectSettings,
  type HookAnswer,
  type HookRequest,
  JSON_TYPE,
  type Malformed,
  type Question,
  type Subject,
  TEXT_TYPE,
  type Want,
} from '../dialect.ts'

/** Bits of `acc`, in the order in which they are judged. */
const bits = [
  { bit: 4, action: 'subscribe' },
  { bit: 2, action: 'publish' },
  { bit: 1, action: 'receive' },
] as const
const ALL_BITS = 7

type Outcome = { readonly status: number; readonly ok: boolean; readonly reason: string }

const outcome = (status: number, reason: string): Outcome => ({ status, ok: status === 200, reason })
const authenticated = outcome(200, 'authenticated')
const authorized = outcome(200, 'authorized')
const superuser = outcome(200, 'superuser')
const notSuperuser = outcome(403, 'not superuser')
const missing = outcome(403, 'missing credentials')
/** One answer for whatever was wrong with them, so that nobody learns which names there are. */
const invalid = outcome(403, 'invalid credentials')
const denied = outcome(403, 'denied')
const badMask = outcome(403, 'invalid acc mask')

/** go-auth takes any 4xx for a refusal, which it may cache, and 5xx for an error, which it never does. */
function outcomeOf(answer: Answer): Outcome {
  switch (answer.kind) {
    case 'accepted':
      return authenticated
    case 'refused':
      if (answer.reason === 'unavailable') return outcome(503, 'unavailable')
      return answer.reason === 'no-credentials' ? missing : invalid
    case 'access':
      if (answer.session === 'none') return invalid
      return answer.verdicts.length > 0 && answer.verdicts.every(({ allowed }) => allowed) ? authorized : denied
    case 'superuser':
      return answer.isSuperuser ? superuser : notSuperuser
    case 'malformed':
      return outcome(answer.route === 'path' ? 404 : answer.route === 'method' ? 405 : 400, answer.what)
    case 'too-large':
      return outcome(413, 'too large')
    case 'stranger':
      return outcome(401, 'not a broker of this hook')
    case 'unavailable':
      return outcome(503, 'unavailable')
    case 'late':
      return outcome(503, 'not known in time')
    case 'known':
      return denied
  }
}

/** `acc` as a number or its digits; `undefined` for a mask that has no bit, or one that is none. */
function maskOf(members: Members): number | undefined {
  const value = Object.hasOwn(members.values, 'acc') ? members.values['acc'] : undefined
  if (value === undefined || value === null) throw new BadBody('acc is missing')
  const isNumber =
    typeof value === 'number' ? Number.isInteger(value) : typeof value === 'string' && /^\d{1,9}$/.test(value)
  if (!isNumber) throw new BadBody('acc must be a whole number, or its digits')
  const mask = Number(value)
  return mask >= 1 && mask <= ALL_BITS ? mask : undefined
}

/**
 * The HTTP backend and the remote JWT mode of mosquitto-go-auth: `/user`, `/acl`, `/superuser` by POST, PUT or GET, in JSON
 * or as a form. `acc` is a mask of which every bit must pass; the broker asks before each delivery (`acc` 1).
 */
export function createGoAuth({ answers, tokenFrom }: DialectSettings): Dialect {
  const takes = { header: tokenFrom.includes('authorization'), username: tokenFrom.includes('username') }
  const rendered = new Map<Outcome, HookAnswer>()

  function write({ status, ok, reason }: Outcome): HookAnswer {
    if (answers === 'text') return { status, headers: TEXT_TYPE, body: ok ? 'ok' : reason }
    return { status, headers: JSON_TYPE, body: JSON.stringify({ ok, error: ok ? '' : reason, reason }) }
  }
  for (const one of [authenticated, authorized, superuser, notSuperuser, missing, invalid, denied, badMask]) {
    rendered.set(one, write(one))
  }
  const answerOf = (one: Outcome): HookAnswer => rendered.get(one) ?? write(one)

  function subjectOf(request: HookRequest, members: Members): Subject {
    const username = textOf(members, 'username') ?? ''
    const clientId = textOf(members, 'clientid') ?? ''
    const bearer = takes.header ? bearerOf(request.headers['authorization']) : undefined
    if (bearer !== undefined) {
      const named = username === '' ? {} : { username }
      return { username, clientId, proof: { clientId, ...named, bearer: new Secret(bearer) } }
    }
    if (takes.username && looksLikeToken(username)) return { username, clientId, proof: { clientId, username } }
    return { username, clientId }
  }

  function login(request: HookRequest, members: Members): Question {
    const username = textOf(members, 'username') ?? ''
    const password = members.bytesOf('password')
    const bearer = takes.header ? bearerOf(request.headers['authorization']) : undefined
    const credentials: Credentials = {
      clientId: textOf(members, 'clientid') ?? '',
      ...(username === '' ? {} : { username }),
      ...(password === undefined || password.length === 0 ? {} : { password: new Secret(password) }),
      ...(bearer === undefined ? {} : { bearer: new Secret(bearer) }),
    }
    return { kind: 'login', credentials }
  }

  function access(request: HookRequest, members: Members): Question {
    const topic = textOf(members, 'topic')
    if (topic === undefined) throw new BadBody('topic is missing')
    const mask = maskOf(members)
    const subject = subjectOf(request, members)
    if (mask === undefined) return { kind: 'reply', answer: answerOf(badMask) }
    const wants: Want[] = []
    for (const { bit, action } of bits) if ((mask & bit) !== 0) wants.push({ action, topic })
    return { kind: 'access', subject, wants, mode: 'all' }
  }

  function question(request: HookRequest): Question | Malformed {
    const { method, path, headers, body } = request
    if (path !== '/user' && path !== '/acl' && path !== '/superuser')
      return { kind: 'malformed', what: 'no such path', route: 'path' }
    if (method !== 'POST' && method !== 'GET' && method !== 'PUT')
      return { kind: 'malformed', what: 'takes POST, PUT and GET', route: 'method' }
    const members = readMembers(headers['content-type'], body)
    if (path === '/acl') return access(request, members)
    if (path === '/user') return login(request, members)
    return { kind: 'superuser', subject: subjectOf(request, members) }
  }

  return {
    name: 'go-auth',
    delivery: true,
    parse(request) {
      try {
        return question(request)
      } catch (err) {
        if (err instanceof BadBody) return { kind: 'malformed', what: err.message }
        throw err
      }
    },
    render: (answer) => answerOf(outcomeOf(answer)),
  }
}
