import type { Qos } from '../policy/document.ts'
import type { DialectName, Want } from './dialect.ts'

/** A client as a broker sees it. */
export interface TriedClient {
  /** `''` where it sends none. */
  readonly username: string
  readonly clientId: string
  readonly password: string
  /** go-auth in its remote JWT mode: the token that the client sends as its user name. */
  readonly token: string | undefined
  /** VerneMQ, where it passes on what the client showed: base64 of DER. */
  readonly certificate: string | undefined
  readonly ip: string
  /** RabbitMQ: where it connects; `/` unless said. */
  readonly vhost?: string
  /** VerneMQ: of its listener; none unless said. */
  readonly mountpoint?: string
}

/** What a broker sends; the host and what depends on the connection aside. */
export interface BrokerRequest {
  readonly method: 'POST'
  /** Behind the name and the secret of the hook. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What one broker sends, recorded or as its documentation says with the templates that ours shows. */
interface Requests {
  login(client: TriedClient): readonly BrokerRequest[]
  access(client: TriedClient, want: Want): readonly BrokerRequest[]
  superuser(client: TriedClient): readonly BrokerRequest[]
}

const none = (): readonly BrokerRequest[] => []

function post(path: string, type: string, body: string, more: Readonly<Record<string, string>> = {}): BrokerRequest {
  return { method: 'POST', path, headers: { 'content-type': type, ...more }, body }
}

const JSON_TYPE = 'application/json'
const FORM_TYPE = 'application/x-www-form-urlencoded'

/** Go sorts members and escapes what HTML would take for its own. */
function goJson(members: Readonly<Record<string, unknown>>): string {
  const sorted = Object.fromEntries(Object.entries(members).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  return JSON.stringify(sorted).replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

const accBits: Readonly<Record<string, number>> = { receive: 1, publish: 2, subscribe: 4 }

function goAuthHeaders({ token }: TriedClient): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

const goAuth: Requests = {
  login(client) {
    const { username, clientId: clientid, password, token } = client
    const body = token === undefined ? goJson({ clientid, password, username }) : 'null'
    return [post('/user', JSON_TYPE, body, goAuthHeaders(client))]
  },
  access(client, { action, topic }) {
    const { username, clientId: clientid, token } = client
    const named = token === undefined ? { username } : {}
    const body = goJson({ acc: accBits[action] ?? 0, clientid, topic, ...named })
    return [post('/acl', JSON_TYPE, body, goAuthHeaders(client))]
  },
  superuser(client) {
    const body = client.token === undefined ? goJson({ username: client.username }) : 'null'
    return [post('/superuser', JSON_TYPE, body, goAuthHeaders(client))]
  },
}

/** The templates of our documentation; EMQX quotes what it puts there. */
const emqx: Requests = {
  login: ({ username, password, clientId: clientid, ip: peerhost }) => [
    post('/authn', JSON_TYPE, JSON.stringify({ username, password, clientid, peerhost })),
  ],
  access({ username, clientId: clientid }, { action, topic, qos = 0, retain = false }) {
    const members = {
      clientid,
      username,
      topic,
      action,
      qos: `${qos}`,
      retain: action === 'publish' ? `${retain}` : '',
    }
    return [post('/authz', JSON_TYPE, JSON.stringify(members))]
  },
  superuser: none,
}

const form = (members: readonly (readonly [string, string])[]): string =>
  new URLSearchParams(members.map(([name, value]) => [name, value])).toString()

const rabbitmq: Requests = {
  login: ({ username, password, clientId, ip, vhost = '/' }) => [
    post(
      '/user',
      FORM_TYPE,
      form([
        ['username', username],
        ['password', password],
        ['vhost', vhost],
        ['client_id', clientId],
      ]),
    ),
    post(
      '/vhost',
      FORM_TYPE,
      form([
        ['username', username],
        ['vhost', vhost],
        ['ip', ip],
        ['tags', ''],
        ['client_id', clientId],
      ]),
    ),
  ],
  access({ username, clientId, vhost = '/' }, { action, topic, qos = 0 }) {
    const about = (kind: string, name: string, permission: string, ...more: readonly (readonly [string, string])[]) =>
      form([
        ['username', username],
        ['vhost', vhost],
        ['resource', kind],
        ['name', name],
        ['permission', permission],
        ['tags', ''],
        ...more,
      ])
    const id = ['client_id', clientId] as const
    const isRead = action === 'subscribe'
    const permission = isRead ? 'read' : 'write'
    const key = topic.replaceAll('/', '.').replaceAll('+', isRead ? '*' : '+')
    const mapped = [
      ['routing_key', key],
      ['variable_map.client_id', clientId],
      ['variable_map.username', username],
      ['variable_map.vhost', vhost],
    ] as const
    const queue = `mqtt-subscription-${clientId}qos${Math.min(qos, 1)}`
    const ofQueue = isRead ? ['configure', 'read', 'write'].map((one) => about('queue', queue, one, id)) : []
    const resources = [...ofQueue, about('exchange', 'amq.topic', permission, id)].map((body) =>
      post('/resource', FORM_TYPE, body),
    )
    const asked = post('/topic', FORM_TYPE, about('topic', 'amq.topic', permission, ...mapped))
    return isRead ? [...resources, asked] : [asked, ...resources] // and once more, just the same
  },
  superuser: none,
}

/** TBMQ puts values into its template as they stand. */
const tbmq: Requests = {
  login: ({ username, password, clientId }) => [
    post('/authenticate', JSON_TYPE, `{"clientId":"${clientId}","username":"${username}","password":"${password}"}`),
  ],
  access: none,
  superuser: none,
}

function vernemqHook(name: string, body: object): BrokerRequest {
  return post(`/${name}`, JSON_TYPE, JSON.stringify(body), { 'vernemq-hook': name })
}

const absent = (text: string): string | null => (text === '' ? null : text)

const vernemq: Requests = {
  login: ({ username, password, clientId, ip, certificate, mountpoint = '' }) => [
    vernemqHook('auth_on_register', {
      peer_addr: ip,
      peer_port: 50_000,
      username: absent(username),
      password: absent(password),
      mountpoint,
      client_id: clientId,
      clean_session: true,
      ...(certificate === undefined ? {} : { client_cert: certificate }),
    }),
  ],
  access({ username, clientId: client_id, mountpoint = '' }, { action, topic, qos = 0 as Qos, retain = false }) {
    const client = { client_id, mountpoint, username: absent(username) }
    if (action === 'subscribe') return [vernemqHook('auth_on_subscribe', { ...client, topics: [{ topic, qos }] })]
    return [vernemqHook('auth_on_publish', { ...client, qos, topic, payload: '', retain })]
  },
  superuser: none,
}

/** The requests that each broker sends for a client that connects, and for what it does then. */
export const brokerRequests: Readonly<Record<DialectName, Requests>> = {
  'go-auth': goAuth,
  emqx,
  rabbitmq,
  tbmq,
  vernemq,
}
