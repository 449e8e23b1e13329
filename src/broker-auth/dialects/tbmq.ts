import { BadBody, type Members, readJsonMembers } from '../bodies.ts'
import {
  type Answer,
  type Dialect,
  type HookAnswer,
  type HookRequest,
  JSON_TYPE,
  type LoggedIn,
  type Malformed,
  type Question,
} from '../dialect.ts'
import { javaRules } from '../java-rules.ts'
import { noSuchPath, parseSafely, readCredentials, requiredText, takesOnly } from './client.ts'

/** What is left out is told in a header, which the broker does not read: a member that it does not know could spoil the answer. */
const LEFT_OUT = 'x-sealwire-left-out'
const MAX_HEADER_LENGTH = 1_000

/**
 * Always 200 and `failure`: TBMQ takes every other status, every word that it does not know and every answer that is late for
 * `skipped`, and asks its next provider.
 */
const failure: HookAnswer = { status: 200, headers: JSON_TYPE, body: JSON.stringify({ result: 'failure' }) }
/** For its test of the connection. */
const reachable: HookAnswer = { status: 200, headers: {}, body: '' }

const names = ['clientId', 'username', 'password'] as const

/**
 * TBMQ puts what a client sent into its template as it stands. With these members, each once and each text, nobody can be taken for
 * somebody else by quotes in a name: what a client adds is a duplicate, or a member that is not one of these.
 *
 * @throws {BadBody}
 */
function requireExactly(members: Members): void {
  for (const name of names) requiredText(members, name)
  const unknown = Object.keys(members.values).find((name) => !names.some((one) => one === name))
  if (unknown !== undefined) throw new BadBody('a member other than clientId, username and password')
}

function leftOutHeader(leftOut: readonly { readonly rule: string; readonly why: string }[]): Record<string, string> {
  if (leftOut.length === 0) return {}
  const text = leftOut.map(({ rule, why }) => `${encodeURIComponent(rule)} (${why})`).join(', ')
  return { [LEFT_OUT]: text.length > MAX_HEADER_LENGTH ? `${text.slice(0, MAX_HEADER_LENGTH - 3)}...` : text }
}

/** Both lists are always there: one that is missing allows everything. */
function success({ identity, policy, ownRules, isSuperuser, mayTry }: LoggedIn): HookAnswer {
  const everything = { publish: ['[\\s\\S]*'], subscribe: ['[\\s\\S]*'], leftOut: [] }
  const rules = isSuperuser ? everything : javaRules(identity, policy, ownRules)
  const body = {
    result: 'success',
    clientType: identity.type === 'application' ? 'APPLICATION' : 'DEVICE',
    authRules: {
      pubAuthRulePatterns: isSuperuser || mayTry('publish') ? rules.publish : [],
      subAuthRulePatterns: isSuperuser || mayTry('subscribe') ? rules.subscribe : [],
    },
  }
  return { status: 200, headers: { ...JSON_TYPE, ...leftOutHeader(rules.leftOut) }, body: JSON.stringify(body) }
}

function question({ method, path, body }: HookRequest): Question | Malformed {
  if (path !== '/authenticate') return noSuchPath
  if (method === 'HEAD') return { kind: 'reply', answer: reachable }
  // A query made of its template would hide duplicates from us.
  if (method !== 'POST') return takesOnly('POST')
  const members = readJsonMembers(body)
  requireExactly(members)
  return {
    kind: 'login',
    credentials: readCredentials(members, { clientId: 'clientId', address: null, listener: null }),
  }
}

/**
 * The HTTP service provider of TBMQ: one question for each CONNECT, at `/authenticate`, answered with all that the client may
 * publish and subscribe. What is withdrawn later reaches the client when it connects again.
 */
export function createTbmq(): Dialect {
  return {
    name: 'tbmq',
    delivery: false,
    asksLoginsOnly: true,
    parse: (request) => parseSafely(request, question),
    render(answer: Answer, _request, asked) {
      return answer.kind === 'accepted' && asked?.kind === 'login' ? success(answer.login) : failure
    },
  }
}
