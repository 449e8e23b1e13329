import { BadBody, type Members, readFormMembers, readMembers } from '../bodies.ts'
import {
  type Answer,
  type Dialect,
  type DialectSettings,
  type HookAnswer,
  type HookRequest,
  JSON_TYPE,
  type Malformed,
  type Question,
  type Want,
} from '../dialect.ts'
import { allPass, noSuchPath, parseSafely, readCredentials, requiredText, subjectOf, takesOnly } from './client.ts'

/**
 * Always 200: EMQX takes any other status but 204 for `ignore`, goes on to whoever is next in its chain, and allows what nobody
 * decides unless it was told otherwise. 204 would be a yes.
 */
function answerWith(body: object): HookAnswer {
  return { status: 200, headers: JSON_TYPE, body: JSON.stringify(body) }
}

const allow = answerWith({ result: 'allow' })
const deny = answerWith({ result: 'deny' })

const encoder = new TextEncoder()
const credentialNames = { clientId: 'clientid', address: 'peerhost', listener: 'listener' }

function memberOf({ values }: Members, name: string): unknown {
  return Object.hasOwn(values, name) ? values[name] : undefined
}

/** A template puts `${qos}` there as a number, or in quotes as its digit. */
function qosOf(members: Members): Pick<Want, 'qos'> {
  const value = memberOf(members, 'qos')
  if (value === undefined) return {}
  const qos = typeof value === 'string' && /^[0-2]$/.test(value) ? Number(value) : value
  if (qos !== 0 && qos !== 1 && qos !== 2) throw new BadBody('qos must be 0, 1 or 2')
  return { qos }
}

function retainOf(members: Members): Pick<Want, 'retain'> {
  const value = memberOf(members, 'retain')
  if (value === undefined) return {}
  if (value === true || value === 'true') return { retain: true }
  if (value === false || value === 'false') return { retain: false }
  throw new BadBody('retain must be true or false')
}

function wantOf(members: Members): Want {
  const topic = requiredText(members, 'topic')
  const action = requiredText(members, 'action')
  if (action === 'publish') return { action, topic, ...qosOf(members), ...retainOf(members) }
  if (action === 'subscribe') return { action, topic, ...qosOf(members) } // what stands for the flag there says nothing
  throw new BadBody('action must be publish or subscribe')
}

/**
 * The HTTP authenticator (`/authn`) and the HTTP authorizer (`/authz`) of EMQX 5 and 6, by POST in JSON or as a form, or by GET.
 * EMQX does not ask before deliveries.
 */
export function createEmqx(settings: DialectSettings): Dialect {
  function question({ method, path, headers, query, body }: HookRequest): Question | Malformed {
    if (path !== '/authn' && path !== '/authz') return noSuchPath
    if (method !== 'POST' && method !== 'GET') return takesOnly('POST and GET')
    const members =
      method === 'GET' ? readFormMembers(encoder.encode(query)) : readMembers(headers['content-type'], body)
    if (path === '/authn') return { kind: 'login', credentials: readCredentials(members, credentialNames) }
    const { clientId, username = '' } = readCredentials(members, credentialNames)
    return { kind: 'access', subject: subjectOf(username, clientId, settings), wants: [wantOf(members)], mode: 'all' }
  }

  function render(answer: Answer, _request: HookRequest, asked: Question | undefined): HookAnswer {
    if (answer.kind !== 'accepted' || asked?.kind !== 'login') return allPass(answer, asked) ? allow : deny
    const { isSuperuser, expiresAt } = answer.login
    return answerWith({
      result: 'allow',
      is_superuser: isSuperuser,
      ...(expiresAt === undefined ? {} : { expire_at: Math.floor(expiresAt / 1000) }),
    })
  }

  return { name: 'emqx', delivery: false, parse: (request) => parseSafely(request, question), render }
}
