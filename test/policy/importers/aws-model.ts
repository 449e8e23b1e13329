import type { Identity } from '#src/policy/identity.ts'

export interface Statement {
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: readonly string[]
  /** Without the ARN: `topic/…`, `topicfilter/…`, `client/…`, or `*`. */
  readonly Resource: readonly string[]
}

export const ARN = 'arn:aws:iot:eu-west-1:123456789012:'

export function document(statements: readonly Statement[]): unknown {
  const Statement = statements.map((one) => ({
    ...one,
    Resource: one.Resource.map((name) => (name === '*' ? name : ARN + name)),
  }))
  return { Version: '2012-10-17', Statement }
}

/** Whether a resource stands for a text: `*` is any text, `?` any character, whatever they are. */
function stands(resource: string, text: string, { clientId = '' }: Identity): boolean {
  const fits = (at: number, from: number): boolean => {
    if (at === resource.length) return from === text.length
    const rest = resource.slice(at)
    if (rest.startsWith('${iot:ClientId}'))
      return text.startsWith(clientId, from) && fits(at + 15, from + clientId.length)
    const escaped = /^\$\{([*?$])\}/.exec(rest)
    if (escaped) return text[from] === escaped[1] && fits(at + 4, from + 1)
    if (rest.startsWith('*')) return fits(at + 1, from) || (from < text.length && fits(at, from + 1))
    return from < text.length && (rest.startsWith('?') || rest[0] === text[from]) && fits(at + 1, from + 1)
  }
  return fits(0, 0)
}

function isStated(
  statements: readonly Statement[],
  effect: Statement['Effect'],
  action: string,
  name: string,
  who: Identity,
): boolean {
  return statements.some(
    (one) =>
      one.Effect === effect &&
      one.Action.includes(action) &&
      one.Resource.some((resource) => stands(resource, name, who)),
  )
}

/** An explicit deny wins, and nothing is allowed that no statement allows. */
export function awsAllows(statements: readonly Statement[], action: string, name: string, who: Identity): boolean {
  return isStated(statements, 'Allow', action, name, who) && !isStated(statements, 'Deny', action, name, who)
}
