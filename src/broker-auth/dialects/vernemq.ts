import type { Credentials } from '../../identity/provider.ts'
import type { Qos } from '../../policy/document.ts'
import { BadBody, type Members, readJsonMembers } from '../bodies.ts'
import type {
  AccessVerdict,
  Answer,
  Dialect,
  DialectSettings,
  HookAnswer,
  HookRequest,
  Malformed,
  Question,
  Want,
} from '../dialect.ts'
import {
  headerOf,
  noSuchPath,
  parseSafely,
  readCredentials,
  requiredText,
  requirePart,
  subjectOf,
  takesOnly,
} from './client.ts'

const hooks = ['auth_on_register', 'auth_on_publish', 'auth_on_subscribe'] as const
type Hook = (typeof hooks)[number]

/**
 * Always 200 and never `next`: another plugin would be asked then. Without `max-age` the broker remembers nothing, so that what is
 * withdrawn is withdrawn with the next question.
 */
function answerWith(body: object): HookAnswer {
  return {
    status: 200,
    headers: { 'cache-control': 'no-store', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
}

const ok = answerWith({ result: 'ok' })
const notAllowed = answerWith({ result: { error: 'not_allowed' } })

/** Reason codes that the broker puts into a SUBACK for a filter. */
const REFUSED = 128
const REFUSED_IN_MQTT_5 = 135

const credentialNames = { clientId: 'client_id', address: 'peer_addr', listener: null }

function memberOf(values: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(values, name) ? values[name] : undefined
}

function qosOf(values: Readonly<Record<string, unknown>>): Qos {
  const qos = memberOf(values, 'qos')
  if (qos !== 0 && qos !== 1 && qos !== 2) throw new BadBody('qos must be 0, 1 or 2')
  return qos
}

type Topic = Readonly<Record<string, unknown>> & { readonly topic: string; readonly qos: Qos }

/** The filters of a SUBSCRIBE with all that the broker says of them. @throws {BadBody} */
function topicsOf({ values }: Members): readonly Topic[] {
  const topics = memberOf(values, 'topics')
  if (!Array.isArray(topics) || topics.length === 0) throw new BadBody('topics must be a list with something in it')
  return topics.map((one: unknown): Topic => {
    if (typeof one !== 'object' || one === null) throw new BadBody('each of topics must be an object')
    const values = one as Readonly<Record<string, unknown>>
    const topic = memberOf(values, 'topic')
    if (typeof topic !== 'string' || !topic.isWellFormed()) throw new BadBody('topic must be text')
    return { ...values, topic, qos: qosOf(values) }
  })
}

function publishOf(members: Members): Want {
  const retain = memberOf(members.values, 'retain')
  if (typeof retain !== 'boolean') throw new BadBody('retain must be true or false')
  return { action: 'publish', topic: requiredText(members, 'topic'), qos: qosOf(members.values), retain }
}

/** The certificate that the broker saw, if it was told to pass it on: base64 of DER. */
function certificatesOf({ values }: Members): Pick<Credentials, 'certificates'> {
  const certificate = memberOf(values, 'client_cert')
  if (typeof certificate !== 'string' || certificate === '') return {}
  const bytes = Buffer.from(certificate, 'base64')
  if (bytes.length === 0 || bytes.toString('base64') !== certificate) throw new BadBody('client_cert must be base64')
  return { certificates: [new Uint8Array(bytes)] }
}

function hookOf(path: string): { readonly hook: Hook; readonly isMqtt5: boolean } | undefined {
  const name = path.slice(1)
  const isMqtt5 = name.endsWith('_m5')
  const hook = hooks.find((one) => one === (isMqtt5 ? name.slice(0, -3) : name))
  return hook && { hook, isMqtt5 }
}

/** What becomes of a publish that is allowed with another QoS or without its retain flag. */
function publishAnswer({ allowed, decision }: AccessVerdict, want: Want): HookAnswer {
  if (!allowed) return notAllowed
  const qos = decision?.qos ?? want.qos
  const retain = decision?.retain ?? want.retain
  const modifiers = { ...(qos === want.qos ? {} : { qos }), ...(retain === want.retain ? {} : { retain }) }
  return Object.keys(modifiers).length === 0 ? ok : answerWith({ result: 'ok', modifiers })
}

/** Options of an MQTT 5 subscription that the broker would set to their defaults if they did not come back. */
const subscriptionOptions = ['no_local', 'rap', 'retain_handling']

function subscribeAnswer(verdicts: readonly AccessVerdict[], topics: readonly Topic[], isMqtt5: boolean): HookAnswer {
  if (verdicts.length !== topics.length || !verdicts.some(({ allowed }) => allowed)) return notAllowed
  let isAsAsked = true
  const granted = topics.map((asked, i) => {
    const { allowed, decision } = verdicts[i] ?? { allowed: false }
    const qos = allowed ? (decision?.qos ?? asked.qos) : isMqtt5 ? REFUSED_IN_MQTT_5 : REFUSED
    if (qos !== asked.qos) isAsAsked = false
    const options = subscriptionOptions.flatMap((name) => {
      const value = isMqtt5 && allowed ? memberOf(asked, name) : undefined
      return value === undefined ? [] : [[name, value] as const]
    })
    return { topic: asked.topic, qos, ...Object.fromEntries(options) }
  })
  if (isAsAsked) return ok
  return answerWith(isMqtt5 ? { result: 'ok', modifiers: { topics: granted } } : { result: 'ok', topics: granted })
}

/**
 * The webhooks of VerneMQ, each at a path of its own name: `/auth_on_register`, `/auth_on_publish`, `/auth_on_subscribe`, and the
 * same with `_m5`. Filters are judged one by one. A delivery cannot be refused there.
 */
export function createVernemq(settings: DialectSettings): Dialect {
  function question(request: HookRequest): Question | Malformed {
    const { method, path, headers, body } = request
    const known = hookOf(path)
    if (!known) return noSuchPath
    if (method !== 'POST') return takesOnly('POST')
    if (headerOf(headers, 'vernemq-hook') !== path.slice(1))
      return { kind: 'malformed', what: 'the header vernemq-hook names another hook than the path' }
    const members = readJsonMembers(body)
    requirePart(members, 'mountpoint', settings.mountpoint)
    const credentials = readCredentials(members, credentialNames)
    if (known.hook === 'auth_on_register') {
      const protocol = known.isMqtt5 ? ({ protocol: 5 } as const) : {}
      return { kind: 'login', credentials: { ...credentials, ...protocol, ...certificatesOf(members) } }
    }
    const subject = subjectOf(credentials.username ?? '', credentials.clientId, settings)
    if (known.hook === 'auth_on_publish') return { kind: 'access', subject, wants: [publishOf(members)], mode: 'all' }
    const wants = topicsOf(members).map(({ topic, qos }): Want => ({ action: 'subscribe', topic, qos }))
    return { kind: 'access', subject, wants, mode: 'each' }
  }

  function render(answer: Answer, { path, body }: HookRequest, asked: Question | undefined): HookAnswer {
    if (answer.kind === 'accepted') return asked?.kind === 'login' ? ok : notAllowed
    if (answer.kind !== 'access' || asked?.kind !== 'access') return notAllowed
    const [want] = asked.wants
    const [verdict] = answer.verdicts
    if (want === undefined || verdict === undefined) return notAllowed
    if (want.action === 'publish') return publishAnswer(verdict, want)
    return subscribeAnswer(answer.verdicts, topicsOf(readJsonMembers(body)), hookOf(path)?.isMqtt5 ?? false)
  }

  return { name: 'vernemq', delivery: false, parse: (request) => parseSafely(request, question), render }
}
