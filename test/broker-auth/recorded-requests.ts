// Requests as brokers sent them, byte for byte, in an order that one broker would ask in, with the bytes that they are answered with.
// Host names and ports are those of the recording; the paths of other brokers than Mosquitto are what an operator configures.

/** One request and its answer. */
export interface Recorded {
  readonly name: string
  /** The whole request. */
  readonly request: string
  readonly status: number
  readonly headers: readonly string[]
  readonly body: string
}

const bytesOf = (text: string) => new TextEncoder().encode(text).length

type Asked = readonly [name: string, path: string, body: string, answer: string, status?: number]

function recorded(
  asked: readonly Asked[],
  head: (path: string, body: string) => readonly string[],
  type: string,
  more: readonly string[] = [],
): Recorded[] {
  return asked.map(([name, path, body, answer, status = 200]) => ({
    name,
    request: [...head(path, body), '', body].join('\r\n'),
    status,
    headers: [`content-length: ${bytesOf(answer)}`, 'cache-control: no-store', `content-type: ${type}`, ...more],
    body: answer,
  }))
}

const json = 'application/json'
const said = (ok: boolean, reason: string) => JSON.stringify({ ok, error: ok ? '' : reason, reason })

/** What Go sends with a JSON body; keys are sorted, `<`, `>` and `&` escaped. */
const goJson = (path: string, body: string, authorization?: string) => [
  `POST ${path} HTTP/1.1`,
  'Host: 127.0.0.1:25900',
  'User-Agent: mosquitto-2.0.11',
  `Content-Length: ${bytesOf(body)}`,
  ...(authorization === undefined ? [] : [`Authorization: ${authorization}`]),
  'Content-Type: application/json',
  'Accept-Encoding: gzip',
]
const goForm = (path: string, body: string) => [
  `POST ${path} HTTP/1.1`,
  'Host: 127.0.0.1:25900',
  'User-Agent: Go-http-client/1.1',
  `Content-Length: ${bytesOf(body)}`,
  'Content-Type: application/x-www-form-urlencoded',
  'Accept-Encoding: gzip',
]

export const goAuthJson = recorded(
  [
    ['user', '/mqtt/user', '{"clientid":"a1","password":"good","username":"alice"}', said(true, 'authenticated')],
    [
      'acl, publish',
      '/mqtt/acl',
      '{"acc":2,"clientid":"a1","topic":"celine/ok/a","username":"alice"}',
      said(true, 'authorized'),
    ],
    [
      'acl, subscribe with a wildcard',
      '/mqtt/acl',
      '{"acc":4,"clientid":"a1","topic":"celine/ok/#","username":"alice"}',
      said(true, 'authorized'),
    ],
    [
      'acl, shared subscription',
      '/mqtt/acl',
      '{"acc":4,"clientid":"a1","topic":"$share/g/celine/ok/+","username":"alice"}',
      said(true, 'authorized'),
    ],
    [
      'acl, delivery',
      '/mqtt/acl',
      '{"acc":1,"clientid":"a1","topic":"celine/ok/a","username":"alice"}',
      said(true, 'authorized'),
    ],
    [
      'acl, a topic that no rule allows',
      '/mqtt/acl',
      '{"acc":2,"clientid":"a1","topic":"celine/no/\\u003ca\\u003e","username":"alice"}',
      said(false, 'denied'),
      403,
    ],
    [
      'acl, unsubscribe, which is no bit of its mask',
      '/mqtt/acl',
      '{"acc":8,"clientid":"a1","topic":"celine/ok/a","username":"alice"}',
      said(false, 'invalid acc mask'),
      403,
    ],
    ['superuser', '/mqtt/superuser', '{"username":"alice"}', said(false, 'not superuser'), 403],
    [
      'user, a wrong password',
      '/mqtt/user',
      '{"clientid":"a1","password":"bad","username":"alice"}',
      said(false, 'invalid credentials'),
      403,
    ],
  ],
  goJson,
  json,
)

export const goAuthForm = recorded(
  [
    ['user', '/mqtt/user', 'clientid=cl+1&password=g%2Bd&username=al+ice', said(true, 'authenticated')],
    ['acl', '/mqtt/acl', 'acc=2&clientid=cl+1&topic=celine%2Fok%2F%C3%BC&username=al+ice', said(true, 'authorized')],
    [
      'acl, a topic that no rule allows',
      '/mqtt/acl',
      'acc=2&clientid=cl+1&topic=celine%2F%C3%BC&username=al+ice',
      said(false, 'denied'),
      403,
    ],
    ['superuser', '/mqtt/superuser', 'username=al+ice', said(false, 'not superuser'), 403],
  ],
  goForm,
  json,
)

/** The remote mode of its JWT backend: the user name is the token, the bodies of two questions are the word `null`. */
export function goAuthJwt(token: string): Recorded[] {
  return recorded(
    [
      ['user', '/mqtt/user', 'null', said(true, 'authenticated')],
      ['superuser', '/mqtt/superuser', 'null', said(false, 'not superuser'), 403],
      ['acl', '/mqtt/acl', '{"acc":2,"clientid":"j1","topic":"celine/ok/a"}', said(true, 'authorized')],
      ['acl, refused', '/mqtt/acl', '{"acc":2,"clientid":"j1","topic":"celine/no"}', said(false, 'denied'), 403],
    ],
    (path, body) => goJson(path, body, `Bearer ${token}`),
    json,
  )
}

const erlangPost = (path: string, body: string) => [
  `POST /mqtt/hooks/rmq${path} HTTP/1.1`,
  'content-type: application/x-www-form-urlencoded',
  `content-length: ${bytesOf(body)}`,
  'te: ',
  'host: 127.0.0.1:25900',
  'connection: keep-alive',
]
const erlangGet = (path: string, body: string) => [
  `GET /mqtt/hooks/rmq${path}?${body} HTTP/1.1`,
  'te: ',
  'host: 127.0.0.1:25900',
  'connection: keep-alive',
]

const variables = (client: string) =>
  `variable_map.client_id=${client}&variable_map.username=alice&variable_map.vhost=%2F`
const topic = (client: string, permission: string, key: string) =>
  `username=alice&vhost=%2F&resource=topic&name=amq.topic&permission=${permission}&tags=&routing_key=${key}&${variables(client)}`
const resource = (client: string, kind: string, name: string, permission: string) =>
  `username=alice&vhost=%2F&resource=${kind}&name=${name}&permission=${permission}&tags=&client_id=${client}`

const rabbitmqAsked: readonly Asked[] = [
  ['CONNECT: user', '/user', 'username=alice&password=good&vhost=%2F&client_id=c2', 'allow'],
  ['CONNECT: vhost', '/vhost', 'username=alice&vhost=%2F&ip=127.0.0.1&tags=&client_id=c2', 'allow'],
  ['PUBLISH: topic', '/topic', topic('c2', 'write', 'celine.ok.a'), 'allow'],
  ['PUBLISH: exchange', '/resource', resource('c2', 'exchange', 'amq.topic', 'write'), 'allow'],
  ['PUBLISH: topic, once more', '/topic', topic('c2', 'write', 'celine.ok.a'), 'allow'],
  ['PUBLISH: a topic that no rule allows', '/topic', topic('c2', 'write', 'celine.no.a'), 'deny'],
  ['CONNECT of another client: user', '/user', 'username=alice&password=good&vhost=%2F&client_id=c5', 'allow'],
  [
    'SUBSCRIBE: queue, configure',
    '/resource',
    resource('c5', 'queue', 'mqtt-subscription-c5qos1', 'configure'),
    'allow',
  ],
  ['SUBSCRIBE: queue, read', '/resource', resource('c5', 'queue', 'mqtt-subscription-c5qos1', 'read'), 'allow'],
  ['SUBSCRIBE: queue, write', '/resource', resource('c5', 'queue', 'mqtt-subscription-c5qos1', 'write'), 'allow'],
  ['SUBSCRIBE: exchange', '/resource', resource('c5', 'exchange', 'amq.topic', 'read'), 'allow'],
  ['SUBSCRIBE: topic with #', '/topic', topic('c5', 'read', 'celine.ok.%23'), 'allow'],
  ['SUBSCRIBE: topic with +', '/topic', topic('c5', 'read', 'celine.ok.%2A'), 'allow'],
  ['SUBSCRIBE: shared, which it does not have', '/topic', topic('c5', 'read', '%24share.g.celine.ok.%2A'), 'deny'],
  ['SUBSCRIBE: more than a rule covers', '/topic', topic('c5', 'read', 'celine.%23'), 'deny'],
  ['a dot in a topic', '/topic', topic('c2', 'write', 'celine.ok.a.b'), 'allow'],
  ['a slash at the front', '/topic', topic('c2', 'write', '.celine.ok'), 'deny'],
  ['a star, a space, an umlaut, a percent sign', '/topic', topic('c2', 'write', 'celine.ok.a%2Ab+%C3%BC%25'), 'allow'],
  ["another client's queue", '/resource', resource('c2', 'queue', 'mqtt-subscription-c5qos1', 'read'), 'deny'],
  ['nobody of that name', '/vhost', 'username=bob&vhost=%2F&ip=127.0.0.1&tags=&client_id=c2', 'deny'],
  ['CONNECT: a wrong password', '/user', 'username=alice&password=bad&vhost=%2F&client_id=c2', 'deny'],
]
const text = 'text/plain; charset=utf-8'

export const rabbitmqPost = recorded(rabbitmqAsked, erlangPost, text)
export const rabbitmqGet = recorded(rabbitmqAsked, erlangGet, text).map((one) => ({
  ...one,
  request: one.request.slice(0, one.request.indexOf('\r\n\r\n') + 4),
}))

/** An empty user name with a token for a password, and the token as the user name of all that follows. */
export function rabbitmqTokens(token: string): Recorded[] {
  const key = topic('c7', 'write', 'celine.ok.a')
  return recorded(
    [
      ['no name, a token', '/user', `username=&password=${token}&vhost=%2F&client_id=c6`, 'allow'],
      ['no name: vhost', '/vhost', 'username=&vhost=%2F&ip=127.0.0.1&tags=&client_id=c6', 'allow'],
      ['a token for a name', '/user', `username=${token}&password=x&vhost=%2F&client_id=c7`, 'allow'],
      ['a token for a name: topic', '/topic', key.replaceAll('alice', token), 'allow'],
      [
        'a token for a name: a topic that no rule allows',
        '/topic',
        key.replaceAll('alice', token).replace('ok', 'no'),
        'deny',
      ],
    ],
    erlangPost,
    text,
  )
}

const emqxPost = (path: string, body: string) => [
  `POST /mqtt/hooks/emqx${path} HTTP/1.1`,
  'host: 127.0.0.1:25900',
  `content-length: ${bytesOf(body)}`,
  'content-type: application/json',
  'accept: application/json',
  'cache-control: no-cache',
  'connection: keep-alive',
  'keep-alive: timeout=30, max=1000',
]
const authz = (action: string, name: string, qos: number, retain: boolean) =>
  JSON.stringify({ clientid: 'e1', username: 'alice', topic: name, action, qos: `${qos}`, retain: `${retain}` })

export const emqx = recorded(
  [
    [
      'authn',
      '/authn',
      '{"username":"alice","password":"good","clientid":"e1"}',
      '{"result":"allow","is_superuser":false}',
    ],
    ['authz, publish', '/authz', authz('publish', 'celine/ok/a', 1, false), '{"result":"allow"}'],
    ['authz, subscribe', '/authz', authz('subscribe', 'celine/ok/#', 2, false), '{"result":"allow"}'],
    [
      'authz, the body of its page',
      '/authz',
      '{"clientid":"e1","username":"alice","topic":"celine/ok/a","action":"publish"}',
      '{"result":"allow"}',
    ],
    ['authz, a topic that no rule allows', '/authz', authz('publish', 'celine/no', 0, true), '{"result":"deny"}'],
    ['authn, a wrong password', '/authn', '{"username":"alice","password":"bad","clientid":"e1"}', '{"result":"deny"}'],
  ],
  emqxPost,
  json,
)

const reactor = (path: string, body: string) => [
  `POST /mqtt/hooks/tbmq${path} HTTP/1.1`,
  'accept-encoding: gzip',
  'user-agent: ReactorNetty/1.2.6',
  'host: 127.0.0.1:25900',
  'Content-Type: application/json',
  'accept: */*',
  `content-length: ${bytesOf(body)}`,
]
const patterns = '["(?!(?:[^/]*/){128})celine/ok(?:/\\\\P{Cc}*)?"]'

export const tbmq = recorded(
  [
    [
      'its template',
      '/authenticate',
      '{"clientId":"t1","username":"alice","password":"good"}',
      `{"result":"success","clientType":"DEVICE","authRules":{"pubAuthRulePatterns":${patterns},"subAuthRulePatterns":${patterns}}}`,
    ],
    [
      'a wrong password',
      '/authenticate',
      '{"clientId":"t1","username":"alice","password":"bad"}',
      '{"result":"failure"}',
    ],
    [
      'a name with quotes, not escaped',
      '/authenticate',
      '{"clientId":"t1","username":"x","username":"alice","password":"good"}',
      '{"result":"failure"}',
    ],
  ],
  reactor,
  json,
)

const hackney = (path: string, body: string) => [
  `POST /mqtt/hooks/vmq${path} HTTP/1.1`,
  'Host: 127.0.0.1:25900',
  'User-Agent: hackney/1.18.2',
  'Content-Type: application/json',
  `vernemq-hook: ${path.slice(1)}`,
  `Content-Length: ${bytesOf(body)}`,
]
const asUser = '"username":"username","client_id":"clientid","mountpoint":""'

export const vernemq = recorded(
  [
    [
      'auth_on_register',
      '/auth_on_register',
      '{"peer_addr":"127.0.0.1","peer_port":8888,"username":"username","password":"password","mountpoint":"","client_id":"clientid","clean_session":false}',
      '{"result":"ok"}',
    ],
    [
      'auth_on_publish',
      '/auth_on_publish',
      `{${asUser},"qos":1,"topic":"a/b","payload":"aGVsbG8=","retain":false}`,
      '{"result":"ok"}',
    ],
    [
      'auth_on_subscribe, one filter refused',
      '/auth_on_subscribe',
      '{"client_id":"clientid","mountpoint":"","username":"username","topics":[{"topic":"a/b","qos":1},{"topic":"c/d","qos":2}]}',
      '{"result":"ok","topics":[{"topic":"a/b","qos":1},{"topic":"c/d","qos":128}]}',
    ],
    [
      'auth_on_register_m5',
      '/auth_on_register_m5',
      '{"peer_addr":"127.0.0.1","peer_port":8888,"mountpoint":"","client_id":"client-id","username":"username","password":"password","clean_start":true,"properties":{}}',
      '{"result":"ok"}',
    ],
    [
      'auth_on_subscribe_m5',
      '/auth_on_subscribe_m5',
      '{"username":"username","mountpoint":"","client_id":"client-id","topics":[{"topic":"a/b","qos":1,"no_local":false,"rap":false,"retain_handling":"send_retain"},{"topic":"forbidden/topic","qos":1}],"properties":{}}',
      '{"result":"ok","modifiers":{"topics":[{"topic":"a/b","qos":1,"no_local":false,"rap":false,"retain_handling":"send_retain"},{"topic":"forbidden/topic","qos":135}]}}',
    ],
    [
      'auth_on_publish_m5, refused',
      '/auth_on_publish_m5',
      '{"username":"username","mountpoint":"","client_id":"client-id","qos":1,"topic":"some/topic","payload":"","retain":false,"properties":{}}',
      '{"result":{"error":"not_allowed"}}',
    ],
    [
      'auth_on_register, a wrong password',
      '/auth_on_register',
      '{"peer_addr":"127.0.0.1","peer_port":8888,"username":"username","password":"bad","mountpoint":"","client_id":"clientid","clean_session":true}',
      '{"result":{"error":"not_allowed"}}',
    ],
  ],
  hackney,
  json,
)
