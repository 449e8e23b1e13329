import { isUtf8 } from 'node:buffer'
import { createHmac, randomBytes, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { LRUCache } from 'lru-cache'
import { Secret } from '../../core/secret.ts'
import type { GuardedRequest, RequestTls } from '../../outbound/guarded-request.ts'
import { RequestFailure } from '../../outbound/request-failure.ts'
import { readAnchors } from '../certificate/read-anchors.ts'
import { connectionFacts } from '../connection-facts.ts'
import type { Accepted, Credentials, Provider, Verdict } from '../provider.ts'
import type { ProviderDeps } from '../provider-deps.ts'
import { type SecretSource, SecretUnavailable } from '../secret-source.ts'
import { createSharedTurns, holderOf, untilAborted } from '../shared-turns.ts'
import { type ClientCertificate, verifyCertificate } from './client-certificate.ts'
import { factsOf, type Wanted } from './facts.ts'
import { readAnswer, type ServiceAnswer, type ServiceYes } from './read-answer.ts'
import { type Rendered, type RequestTemplate, renderRequest } from './render.ts'
import { type HttpServiceSettings, templatesOf } from './settings.ts'
import { slotsOf, type Template } from './template.ts'

export interface HttpProviderDeps extends ProviderDeps {
  readonly request: GuardedRequest
}

/** Answers that are remembered: how many, and what they may take together, about. */
const MAX_REMEMBERED = 10_000
const MAX_REMEMBERED_BYTES = 16 * 1024 * 1024
const WARN_EVERY_MS = 10_000
const GRANT = 'http'

type ReadText = (source: SecretSource) => string

function textReader({ readSecret }: ProviderDeps): ReadText {
  return (source) => {
    const bytes = readSecret(source).reveal()
    if (!isUtf8(bytes)) throw new SecretUnavailable('a secret for a header or for TLS is no text')
    return new TextDecoder().decode(bytes)
  }
}

function requestTemplate(settings: HttpServiceSettings, read: ReadText): RequestTemplate {
  const headers = Object.entries(settings.headers).map(([name, value]) => {
    return [name, Array.isArray(value) ? (value as Template) : new Secret(read(value as SecretSource))] as const
  })
  const { url, query, form, body, basic } = settings
  const login = basic && Buffer.from(`${basic.username}:${read(basic.password)}`).toString('base64')
  const own = login === undefined ? [] : [['authorization', new Secret(`Basic ${login}`)] as const]
  return { url, query, headers: [...headers, ...own], ...(form && { form }), ...(body && { body }) }
}

function tlsOf({ tls }: HttpServiceSettings, read: ReadText): RequestTls {
  if (!tls) return {}
  const ca = tls.ca && read(tls.ca)
  const [certificate, key] = [tls.certificate && read(tls.certificate), tls.key && read(tls.key)]
  try {
    if (ca !== undefined) new X509Certificate(ca) // the context below ignores what is no certificate
    createSecureContext({ ...(certificate !== undefined && { cert: certificate }), ...(key !== undefined && { key }) })
  } catch {
    throw new SecretUnavailable('`tls` holds something that is no usable PEM')
  }
  return {
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && key !== undefined && { client: { certificate, key: new Secret(key) } }),
  }
}

function anchorsOf({ client_ca: source }: HttpServiceSettings, read: ReadText) {
  const anchors = source ? readAnchors(read(source)) : { certificates: [] }
  if ('problem' in anchors) throw new SecretUnavailable(`\`client_ca\` ${anchors.problem}`)
  return anchors.certificates
}

function wantedBy(settings: HttpServiceSettings): Wanted {
  const slots = templatesOf(settings).flatMap(slotsOf)
  const required = slots.filter((slot) => !slot.optional)
  return { all: new Set(slots.map(({ name }) => name)), required: new Set(required.map(({ name }) => name)) }
}

/**
 * Creates the provider that asks a service of the operator. Whatever a client sent stays a value of the request that asks;
 * the service's yes must be said in so many words (`read-answer.ts`). A service that is down, slow, too busy or too wordy
 * refuses with `unavailable`, so that no weaker provider decides in its place.
 *
 * The same question asked again while it is under way shares the answer, and a yes serves it for `remember_s`: a broker whose
 * wait ended before the answer came finds it at its next try.
 *
 * @throws {SecretUnavailable}
 */
export function createHttpProvider(settings: HttpServiceSettings, deps: HttpProviderDeps): Provider {
  const { name, clock, log, request } = deps
  const read = textReader(deps)
  const template = requestTemplate(settings, read)
  const tls = tlsOf(settings, read)
  const wanted = wantedBy(settings)
  const anchors = anchorsOf(settings, read)
  const isNamed = wanted.all.has('commonName')
  const isNameAsked = wanted.all.has('username')
  const turns = createSharedTurns(settings)
  const closing = new AbortController()
  const digestKey = randomBytes(32)
  const underWay = new Map<string, Promise<ServiceAnswer>>()
  const remembered = new LRUCache<string, { readonly yes: ServiceYes; readonly atMs: number }>({
    max: MAX_REMEMBERED,
    maxSize: MAX_REMEMBERED_BYTES,
    sizeCalculation: ({ yes }) => 4 * JSON.stringify(yes).length + 500,
  })
  let warnedMs = Number.NEGATIVE_INFINITY

  const unavailable = (why: string): ServiceAnswer => ({ outcome: 'refuse', reason: 'unavailable', why })

  async function send({ url, headers, body }: Rendered, holder: string): Promise<ServiceAnswer> {
    const { method, timeout_ms: timeoutMs, max_answer_bytes: maxBytes } = settings
    const startedMs = clock.monotonic()
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)])
    const ask = () => {
      const leftMs = Math.max(1, Math.ceil(timeoutMs - (clock.monotonic() - startedMs)))
      const limits = { timeoutMs: leftMs, maxBytes, signal: closing.signal }
      return request({ method, url, headers, ...limits, trusted: true, repeatable: true, tls, ...(body && { body }) })
    }
    try {
      const reply = await turns.run(holder, ask, signal)
      return reply ? readAnswer(reply) : unavailable('too many clients wait for an answer')
    } catch (err) {
      if (err instanceof RequestFailure) return unavailable(err.message)
      throw err
    }
  }

  function digestOf({ url, headers, body }: Rendered): string {
    const hmac = createHmac('sha256', digestKey)
      .update(JSON.stringify([url, headers]))
      .update('\0')
    return hmac.update(body ?? '').digest('base64')
  }

  /** The answer of the service, or one that is known already. `holder`: whose share of the places it takes. */
  function answerTo(rendered: Rendered, holder: string): Promise<ServiceAnswer> {
    const key = digestOf(rendered)
    const known = remembered.get(key)
    if (known && clock.monotonic() - known.atMs < settings.remember_s * 1_000) return Promise.resolve(known.yes)
    const shared = underWay.get(key)
    if (shared) return shared
    const answer = send(rendered, holder)
      .then((said) => {
        if (said.outcome === 'success') remembered.set(key, { yes: said, atMs: clock.monotonic() })
        return said
      })
      .finally(() => underWay.delete(key))
    answer.catch(() => {}) // those who wait hear it; there may be none left
    underWay.set(key, answer)
    return answer
  }

  /** Says that a service does not do what it should, and not for every client. */
  function warn(why: string): void {
    if (clock.monotonic() - warnedMs < WARN_EVERY_MS) return
    warnedMs = clock.monotonic()
    log.warn({ provider: name, why }, 'a service that judges clients gave no usable answer; its clients are refused')
  }

  function accept(credentials: Credentials, yes: ServiceYes, { expiresAt }: ClientCertificate): Verdict {
    const called = credentials.username === '' ? undefined : credentials.username
    const shown = isNameAsked ? called : undefined
    const isOther = yes.username !== undefined && called !== undefined && called !== yes.username
    if (isOther) return { outcome: 'refuse', reason: 'username-mismatch' }
    const username = yes.username ?? shown
    const { org, sub, groups, roles, scopes } = yes
    const lifeS = Math.min(settings.session_s, yes.expiresInS ?? settings.session_s)
    const accepted: Accepted = {
      outcome: 'success',
      identity: {
        ...connectionFacts(credentials),
        type: yes.type ?? settings.client_type,
        auth: 'http',
        ...(username !== undefined && { username }),
        ...(org !== undefined && { org }),
        ...(sub !== undefined && { sub }),
        groups: groups ?? [],
        roles: roles ?? [],
        scopes: scopes ?? [],
      },
      ...(yes.rules && { rules: yes.rules }),
      expiresAt: Math.min(clock.now() + lifeS * 1_000, expiresAt ?? Number.POSITIVE_INFINITY),
      grant: GRANT,
    }
    return accepted
  }

  return {
    name,
    async authenticate(credentials, signal) {
      const certificate = isNamed ? verifyCertificate(credentials, anchors, clock.now()) : {}
      if ('outcome' in certificate) return certificate
      const found = factsOf(credentials, wanted, certificate)
      if ('outcome' in found) return found
      const rendered = renderRequest(template, found.facts)
      if ('unfit' in rendered) {
        warn(`header ${rendered.unfit}: a value that no header can carry`)
        return { outcome: 'refuse', reason: 'service-refused' }
      }
      const said = await untilAborted(answerTo(rendered, holderOf(credentials)), signal)
      if (said === undefined) return { outcome: 'refuse', reason: 'unavailable' }
      if (said.outcome === 'success') return accept(credentials, said, certificate)
      if (said.outcome === 'skip') return { outcome: 'skip', reason: 'unknown-user' }
      if (said.why !== undefined) warn(said.why)
      return { outcome: 'refuse', reason: said.reason }
    },
    holds: (grant) => grant === GRANT && !closing.signal.aborted,
    close() {
      closing.abort()
      remembered.clear()
    },
  }
}
