import { Secret } from '../../core/secret.ts'
import type { Credentials } from '../../identity/provider.ts'
import { BadBody, looksLikeToken, type Members, textOf } from '../bodies.ts'
import type {
  AccessVerdict,
  Answer,
  DialectSettings,
  HookRequest,
  Malformed,
  Question,
  Subject,
  Want,
} from '../dialect.ts'

/** Characters of an address as a broker writes it. */
const MAX_ADDRESS_LENGTH = 64

/** What brokers write for a client that sent no such thing. */
function sentText(members: Members, name: string): string | undefined {
  const text = textOf(members, name)
  return text === '' ? undefined : text
}

/** A member that the question cannot do without; it may be empty text. @throws {BadBody} */
export function requiredText(members: Members, name: string): string {
  const text = textOf(members, name)
  if (text === undefined) throw new BadBody(`${name} is missing`)
  return text
}

/**
 * Refuses questions about another part of the broker than the hook's: names, client ids and topics mean others there.
 *
 * @throws {BadBody}
 */
export function requirePart(members: Members, name: string, own: string): void {
  if (requiredText(members, name) !== own) throw new BadBody(`${name} is not that of this hook`)
}

/** Names of the members that a dialect takes a client's credentials from; `null` where the broker has no such thing. */
export interface CredentialNames {
  readonly clientId: string
  readonly address: string | null
  readonly listener: string | null
}

/**
 * Reads what a client connects with. A member that is `null` or empty counts as not sent, because that is what brokers make of it.
 *
 * @throws {BadBody}
 */
export function readCredentials(members: Members, names: CredentialNames): Credentials {
  const username = sentText(members, 'username')
  const password = members.bytesOf('password')
  const ip = names.address === null ? undefined : sentText(members, names.address)
  const listener = names.listener === null ? undefined : sentText(members, names.listener)
  if (ip !== undefined && ip.length > MAX_ADDRESS_LENGTH) throw new BadBody(`${names.address} is no address`)
  return {
    clientId: requiredText(members, names.clientId),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined || password.length === 0 ? {} : { password: new Secret(password) }),
    ...(ip === undefined ? {} : { ip }),
    ...(listener === undefined ? {} : { listener }),
  }
}

/** Whom a question is about. Where tokens may be user names, one that is a token is judged again by itself. */
export function subjectOf(username: string, clientId: string, { tokenFrom }: DialectSettings): Subject {
  const isToken = tokenFrom.includes('username') && looksLikeToken(username)
  return isToken ? { username, clientId, proof: { clientId, username } } : { username, clientId }
}

/** Whether a want may go through just as it was asked: an answer that would have to change it is a refusal. */
export function passesUnchanged({ allowed, decision }: AccessVerdict, { qos, retain }: Want): boolean {
  if (!allowed || decision === undefined) return allowed
  const keepsQos = decision.qos === null || qos === undefined || decision.qos === qos
  return keepsQos && (decision.retain === null || retain === undefined || decision.retain === retain)
}

/** For brokers that take a yes or a no: whether all that was asked about may go through as it is. */
export function allPass(answer: Answer, question: Question | undefined): boolean {
  if (answer.kind !== 'access' || question?.kind !== 'access') return false
  const { verdicts } = answer
  return (
    question.wants.length > 0 &&
    verdicts.length === question.wants.length &&
    question.wants.every((want, i) => {
      const verdict = verdicts[i]
      return verdict !== undefined && passesUnchanged(verdict, want)
    })
  )
}

/** Turns what the reading of a body throws into the answer that says so. */
export function parseSafely(
  request: HookRequest,
  question: (request: HookRequest) => Question | Malformed,
): Question | Malformed {
  try {
    return question(request)
  } catch (err) {
    if (err instanceof BadBody) return { kind: 'malformed', what: err.message }
    throw err
  }
}

export const noSuchPath: Malformed = { kind: 'malformed', what: 'no such path', route: 'path' }

export function takesOnly(methods: string): Malformed {
  return { kind: 'malformed', what: `takes ${methods}`, route: 'method' }
}

/** A header that is there once. */
export function headerOf(headers: HookRequest['headers'], name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}
