import { BadBody, type Members, readFormMembers, textOf } from '../bodies.ts'
import {
  type Answer,
  type Dialect,
  type DialectSettings,
  type HookAnswer,
  type HookRequest,
  type Malformed,
  type Question,
  type Subject,
  TEXT_TYPE,
  type Want,
} from '../dialect.ts'
import {
  allPass,
  noSuchPath,
  parseSafely,
  readCredentials,
  requiredText,
  requirePart,
  subjectOf,
  takesOnly,
} from './client.ts'

/**
 * 200 and one word, without a line break: one would become a tag of the user, or a word that the broker does not know. A yes
 * never brings tags, because tags of RabbitMQ open its management interface.
 */
const allow: HookAnswer = { status: 200, headers: TEXT_TYPE, body: 'allow' }
const deny: HookAnswer = { status: 200, headers: TEXT_TYPE, body: 'deny' }

const encoder = new TextEncoder()
/** The exchange of MQTT; `mqtt.exchange` of the broker must not say otherwise. */
const EXCHANGE = 'amq.topic'
const credentialNames = { clientId: 'client_id', address: 'ip', listener: null }

/** Undoes what the broker does to topics: `/` became `.` and, in filters, `+` became `*`. */
function topicOf(routingKey: string, isFilter: boolean): string {
  const topic = routingKey.replaceAll('.', '/')
  return isFilter ? topic.replaceAll('*', '+') : topic
}

/** The broker tells neither QoS nor retain flag. @throws {BadBody} */
function wantOf(permission: string, routingKey: string): Want {
  if (permission === 'read') return { action: 'subscribe', topic: topicOf(routingKey, true) }
  if (permission === 'write') return { action: 'publish', topic: topicOf(routingKey, false) }
  throw new BadBody('permission must be read or write')
}

/** Whether an MQTT client needs a resource for itself: the exchange of all topics, or a queue of its own. */
function isOwnResource(members: Members, clientId: string): boolean {
  const kind = requiredText(members, 'resource')
  const name = requiredText(members, 'name')
  const permission = requiredText(members, 'permission')
  if (kind === 'exchange') return name === EXCHANGE && (permission === 'read' || permission === 'write')
  if (kind !== 'queue' || !['configure', 'read', 'write'].includes(permission)) return false
  const queues = [`mqtt-subscription-${clientId}qos0`, `mqtt-subscription-${clientId}qos1`, `mqtt-will-${clientId}`]
  return clientId !== '' && queues.includes(name)
}

/**
 * The HTTP backend of RabbitMQ for its MQTT plugin: `/user`, `/vhost`, `/resource`, `/topic` by POST as a form, or by GET. The
 * virtual host of the hook, the topic exchange and a client's own queues need a session and nothing else; every other host and
 * resource is refused. The broker does not ask before deliveries.
 */
export function createRabbitmq(settings: DialectSettings): Dialect {
  function subject(members: Members): Subject {
    const own = textOf(members, 'client_id')
    const mapped = textOf(members, 'variable_map.client_id')
    if (own !== undefined && mapped !== undefined && own !== mapped) throw new BadBody('two different client ids')
    return subjectOf(requiredText(members, 'username'), own ?? mapped ?? '', settings)
  }

  function topicQuestion(members: Members): Question {
    const asking = subject(members)
    if (requiredText(members, 'resource') !== 'topic') throw new BadBody('resource must be topic')
    if (requiredText(members, 'name') !== EXCHANGE) return { kind: 'reply', answer: deny }
    const want = wantOf(requiredText(members, 'permission'), requiredText(members, 'routing_key'))
    // RabbitMQ has no shared subscriptions: it would bind the queue to names that begin so, which no rule was asked about.
    if (want.action === 'subscribe' && want.topic.startsWith('$share/')) return { kind: 'reply', answer: deny }
    return { kind: 'access', subject: asking, wants: [want], mode: 'all' }
  }

  function question({ method, path, query, body }: HookRequest): Question | Malformed {
    if (!['/user', '/vhost', '/resource', '/topic'].includes(path)) return noSuchPath
    if (method !== 'POST' && method !== 'GET') return takesOnly('POST and GET')
    const members = readFormMembers(method === 'GET' ? encoder.encode(query) : body)
    requirePart(members, 'vhost', settings.vhost) // a client that connects as `other:name` asks for another
    if (path === '/topic') return topicQuestion(members)
    if (path === '/user') {
      return { kind: 'login', credentials: readCredentials(members, credentialNames) }
    }
    const asking = subject(members)
    if (path === '/resource' && !isOwnResource(members, asking.clientId)) return { kind: 'reply', answer: deny }
    return { kind: 'known', subject: asking }
  }

  function render(answer: Answer, _request: HookRequest, asked: Question | undefined): HookAnswer {
    if (answer.kind === 'accepted') return asked?.kind === 'login' ? allow : deny
    if (answer.kind === 'known') return answer.isKnown ? allow : deny
    return allPass(answer, asked) ? allow : deny
  }

  return { name: 'rabbitmq', delivery: false, parse: (request) => parseSafely(request, question), render }
}
