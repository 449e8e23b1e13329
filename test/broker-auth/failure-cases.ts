// What goes wrong, for each broker: what it is told then, and what it makes of it. The same table stands in openapi/broker-hooks.md.

export const failures = ['down', 'slow', 'malformed', 'oversize', 'unknown user', 'revoked', 'stranger'] as const
export type Failure = (typeof failures)[number]

export interface Told {
  readonly status: number
  readonly body: string
}

interface Who {
  readonly username: string
  readonly password: string
  readonly clientId: string
}

export interface BrokerCase {
  readonly dialect: string
  /** A request of this broker: path behind the hook's name, headers beside the usual ones, body. */
  login(who: Who): BrokerRequest
  /** A question about a publish to `ok/a`; absent where the broker asks at CONNECT only. */
  readonly publish?: (who: Omit<Who, 'password'>) => BrokerRequest
  readonly accepted: RegExp
  readonly allowed: RegExp
  readonly told: Readonly<Record<Failure, Told>>
  /** What the broker does with its client then. */
  readonly means: Readonly<Record<Failure, string>>
}

export interface BrokerRequest {
  readonly path: string
  readonly headers: readonly string[]
  readonly body: string
}

const json = 'content-type: application/json'
const form = 'content-type: application/x-www-form-urlencoded'
const same = <T>(one: T): Record<Failure, T> => ({
  down: one,
  slow: one,
  malformed: one,
  oversize: one,
  'unknown user': one,
  revoked: one,
  stranger: one,
})
const goAuth = (status: number, reason: string): Told => ({
  status,
  body: JSON.stringify({ ok: false, error: reason, reason }),
})

export const brokers: readonly BrokerCase[] = [
  {
    dialect: 'go-auth',
    login: ({ username, password, clientId }) => ({
      path: '/user',
      headers: [json],
      body: JSON.stringify({ clientid: clientId, password, username }),
    }),
    publish: ({ username, clientId }) => ({
      path: '/acl',
      headers: [json],
      body: JSON.stringify({ acc: 2, clientid: clientId, topic: 'ok/a', username }),
    }),
    accepted: /^200 \{"ok":true,"error":"","reason":"authenticated"\}$/,
    allowed: /^200 \{"ok":true,"error":"","reason":"authorized"\}$/,
    told: {
      down: goAuth(503, 'unavailable'),
      slow: goAuth(503, 'not known in time'),
      malformed: goAuth(400, 'Body: not JSON.'),
      oversize: goAuth(413, 'too large'),
      'unknown user': goAuth(403, 'invalid credentials'),
      revoked: goAuth(403, 'invalid credentials'),
      stranger: goAuth(401, 'not a broker of this hook'),
    },
    means: {
      down: 'an error, which is not remembered: the connection is closed without CONNACK',
      slow: 'an error, as when down; the broker stood still for the deadline and no longer',
      malformed: 'a refusal: CONNACK 5, or 0x87 in MQTT 5',
      oversize: 'a refusal: CONNACK 5, or 0x87 in MQTT 5',
      'unknown user': 'a refusal: CONNACK 5, or 0x87 in MQTT 5',
      revoked: 'a refusal: the publish is dropped, in MQTT 5 with 0x87; deliveries end',
      stranger: 'a refusal of everybody, until the secret is right',
    },
  },
  {
    dialect: 'emqx',
    login: ({ username, password, clientId }) => ({
      path: '/authn',
      headers: [json],
      body: JSON.stringify({ username, password, clientid: clientId }),
    }),
    publish: ({ username, clientId }) => ({
      path: '/authz',
      headers: [json],
      body: JSON.stringify({
        username,
        clientid: clientId,
        topic: 'ok/a',
        action: 'publish',
        qos: '1',
        retain: 'false',
      }),
    }),
    accepted: /^200 \{"result":"allow","is_superuser":false/,
    allowed: /^200 \{"result":"allow"\}$/,
    told: same({ status: 200, body: '{"result":"deny"}' }),
    means: {
      ...same('denied; nobody else in the chain is asked'),
      revoked: 'denied: the publish is ignored, or the client disconnected, as deny_action says',
    },
  },
  {
    dialect: 'rabbitmq',
    login: ({ username, password, clientId }) => ({
      path: '/user',
      headers: [form],
      body: `username=${username}&password=${password}&vhost=%2F&client_id=${clientId}`,
    }),
    publish: ({ username, clientId }) => ({
      path: '/topic',
      headers: [form],
      body: `username=${username}&vhost=%2F&resource=topic&name=amq.topic&permission=write&tags=&routing_key=ok.a&variable_map.client_id=${clientId}`,
    }),
    accepted: /^200 allow$/,
    allowed: /^200 allow$/,
    told: same({ status: 200, body: 'deny' }),
    means: { ...same('CONNACK 4'), revoked: 'the connection is closed' },
  },
  {
    dialect: 'tbmq',
    login: ({ username, password, clientId }) => ({
      path: '/authenticate',
      headers: [json],
      body: JSON.stringify({ clientId, username, password }),
    }),
    accepted:
      /^200 \{"result":"success","clientType":"DEVICE","authRules":\{"pubAuthRulePatterns":\[.+\],"subAuthRulePatterns":\[\]\}\}$/,
    allowed: /^$/,
    told: same({ status: 200, body: '{"result":"failure"}' }),
    means: {
      ...same('rejected at once, CONNACK 5 or 0x87; no other provider is asked'),
      revoked: 'rejected when it connects again; until then the client keeps what it was given',
    },
  },
  {
    dialect: 'vernemq',
    login: ({ username, password, clientId }) => ({
      path: '/auth_on_register',
      headers: [json, 'vernemq-hook: auth_on_register'],
      body: JSON.stringify({
        peer_addr: '192.0.2.1',
        peer_port: 1,
        username,
        password,
        mountpoint: '',
        client_id: clientId,
        clean_session: true,
      }),
    }),
    publish: ({ username, clientId }) => ({
      path: '/auth_on_publish',
      headers: [json, 'vernemq-hook: auth_on_publish'],
      body: JSON.stringify({
        username,
        client_id: clientId,
        mountpoint: '',
        qos: 1,
        topic: 'ok/a',
        payload: '',
        retain: false,
      }),
    }),
    accepted: /^200 \{"result":"ok"\}$/,
    allowed: /^200 \{"result":"ok"\}$/,
    told: same({ status: 200, body: '{"result":{"error":"not_allowed"}}' }),
    means: {
      ...same('refused; no other plugin is asked'),
      revoked: 'refused: the next publish is not accepted, because nothing is cached',
    },
  },
]
