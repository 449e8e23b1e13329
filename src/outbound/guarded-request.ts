import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { AppError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'
import { type HttpTarget, parseHttpTarget } from './http-target.ts'
import { RequestFailure } from './request-failure.ts'
import { type AddressJudge, createAddressJudge, type Listener } from './resolve-host.ts'
import { createResolver, type Resolve } from './resolver.ts'

/** PEM; a certificate that does not verify always ends the request. */
export interface RequestTls {
  /** Replaces the public authorities. */
  readonly ca?: string
  readonly client?: { readonly certificate: string; readonly key: Secret<string> }
}

export interface RequestSpec {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'HEAD'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** For all of it: name, connection, TLS, question and the whole answer. */
  readonly timeoutMs: number
  /** Of the body of the answer; the head has at most 16 KiB. */
  readonly maxBytes: number
  readonly signal?: AbortSignal
  /**
   * The operator's own file names this URL, so that it may lead to a private network and be plain `http`. Never for what was
   * learned from a document or from a client, unless its scheme, host and port are those of such a URL.
   */
  readonly trusted: boolean
  readonly tls?: RequestTls
  /**
   * It changes nothing at the service, so that a POST or a PATCH too may be sent once more where a kept connection was closed
   * before the answer. GET, HEAD and PUT always may (RFC 9110 §9.2.2).
   */
  readonly repeatable?: boolean
}

export interface Reply {
  readonly status: number
  /** Names in lower case; values of one name joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export interface GuardedRequest {
  /** @throws {RequestFailure} for every reason for which there is no answer; an answer of any status is an answer */
  (spec: RequestSpec): Promise<Reply>
  /** Ends the connections that are kept; a later request opens new ones. */
  close(): void
}

export interface GuardedRequestDeps {
  /** CIDRs of private networks that URLs of others may lead to. */
  readonly allow: readonly string[]
  /** What this process and its database listen on; never asked, whoever says so. */
  readonly ownListeners?: () => readonly Listener[]
  readonly resolve?: Resolve
}

/** Under way at once; one more is `busy`. */
const MAX_RUNNING = 512
const MAX_HEAD_BYTES = 16_384
/** Connections to one host, those of them that are kept while unused, and for how long. */
const SOCKETS = { keepAlive: true, maxSockets: 128, maxFreeSockets: 16, timeout: 30_000, scheduling: 'lifo' } as const
/** Everywhere: what an operator may name, all but what `classify-address.ts` forbids and our own listeners. */
const EVERYWHERE = ['0.0.0.0/0', '::/0']
/** Lookups of services count together. */
const LOOKUPS_OF = 'services'

/** Made here, so that no caller can split one request into two. */
const OWN_HEADERS = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'expect',
  'te',
  'trailer',
])

interface Lane {
  readonly judge: AddressJudge
  /** Ends lookups when the lane is closed. */
  readonly closing: AbortController
  readonly http: HttpAgent
  readonly https: HttpsAgent
}

function toFailure(err: unknown): RequestFailure {
  if (err instanceof RequestFailure) return err
  if (err instanceof AppError) {
    if (err.code === 'destination.not_allowed') return new RequestFailure('not-allowed', 'an address of the host', err)
    return new RequestFailure(err.code === 'broker.busy' ? 'busy' : 'unreachable', 'the name of the host', err)
  }
  const code = (err as { code?: unknown } | null)?.code
  if (code === 'HPE_HEADER_OVERFLOW')
    return new RequestFailure('too-large', `a head of more than ${MAX_HEAD_BYTES} bytes`)
  return new RequestFailure('unreachable', typeof code === 'string' ? code : 'no answer', err)
}

/**
 * The addresses of a new connection: each one judged, and the socket goes to one of these. A lookup does not end with the
 * request that began it: an agent opens connections for whoever waits with what it was given by another one.
 */
function pinned({ judge, closing }: Lane, port: number): LookupFunction {
  return (hostname, options, answer) => {
    judge.addressesOf(hostname, port, { tenantId: LOOKUPS_OF, signal: closing.signal }).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }))
        const [first] = found
        if (options.all === true) answer(null, found)
        else if (first) answer(null, first.address, first.family)
      },
      (err: unknown) => answer(toFailure(err), []),
    )
  }
}

function headersOf(spec: RequestSpec): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': 'sealwire', 'accept-encoding': 'identity' }
  for (const [name, value] of Object.entries(spec.headers ?? {})) {
    const lower = name.toLowerCase()
    if (OWN_HEADERS.has(lower)) throw new RequestFailure('invalid', `header ${JSON.stringify(lower)} is made here`)
    headers[lower] = value
  }
  return headers
}

function open(spec: RequestSpec, target: HttpTarget, lane: Lane, isAgain: boolean): ClientRequest {
  const { isEncrypted, hostname, port, path } = target
  const options = {
    method: spec.method,
    host: hostname,
    port,
    path,
    headers: headersOf(spec),
    agent: isAgain ? false : isEncrypted ? lane.https : lane.http,
    lookup: pinned(lane, port),
    maxHeaderSize: MAX_HEAD_BYTES,
    insecureHTTPParser: false,
  } as const
  try {
    if (!isEncrypted) return httpRequest(options)
    const { ca, client } = spec.tls ?? {}
    return httpsRequest({
      ...options,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(ca !== undefined && { ca }),
      ...(client && { cert: client.certificate, key: client.key.reveal() }),
    })
  } catch (err) {
    throw new RequestFailure('invalid', 'a header or another part of the request', err)
  }
}

async function readReply(res: IncomingMessage, { method, maxBytes }: RequestSpec): Promise<Reply> {
  const tooLarge = () => new RequestFailure('too-large', `a body of more than ${maxBytes} bytes`)
  if (Number(res.headers['content-length'] ?? 0) > maxBytes && method !== 'HEAD') throw tooLarge()
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of res as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  if (!res.complete) throw new RequestFailure('unreachable', 'the answer ended early')
  const headers = Object.entries(res.headersDistinct).map(([name, values]) => [name, (values ?? []).join(', ')])
  return {
    status: res.statusCode ?? 0,
    headers: Object.fromEntries(headers),
    body: new Uint8Array(Buffer.concat(chunks)),
  }
}

const mayRepeat = ({ method, repeatable = false }: RequestSpec) =>
  repeatable || method === 'GET' || method === 'HEAD' || method === 'PUT'

function exchange(
  spec: RequestSpec,
  target: HttpTarget,
  lane: Lane,
  signal: AbortSignal,
  isAgain = false,
): Promise<Reply> {
  return new Promise<Reply>((resolve, reject) => {
    const req = open(spec, target, lane, isAgain)
    let hasAnswer = false
    const stop = () => req.destroy(signal.reason as Error)
    const settle = (end: () => void) => {
      signal.removeEventListener('abort', stop)
      end()
    }
    const fail = (err: unknown) => {
      req.destroy()
      settle(() => reject(signal.aborted ? signal.reason : err))
    }
    req.on('response', (res) => {
      hasAnswer = true
      readReply(res, spec).then((reply) => settle(() => resolve(reply)), fail)
    })
    req.on('upgrade', () => fail(new RequestFailure('unreachable', 'the service changed the protocol')))
    req.on('error', (err: NodeJS.ErrnoException) => {
      // Most likely the service had closed a kept connection before it read the question (RFC 9112 §9.3.1).
      const isStale = req.reusedSocket && !hasAnswer && (err.code === 'ECONNRESET' || err.code === 'EPIPE')
      if (isStale && !isAgain && mayRepeat(spec) && !signal.aborted)
        settle(() => resolve(exchange(spec, target, lane, signal, true)))
      else fail(err)
    })
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    req.end(spec.body)
  })
}

/**
 * Makes the way out to HTTP services that the operator or an identity provider names. A host is resolved when a connection is
 * opened, every address of it is judged, and the socket goes to a judged one; connections of trusted and of other URLs are
 * kept apart. Redirects are answers, not followed. Everything is bounded: time, bytes, connections, requests under way.
 */
export function createGuardedRequest({
  allow,
  ownListeners = () => [],
  resolve = createResolver(),
}: GuardedRequestDeps): GuardedRequest {
  const createLane = (networks: readonly string[]): Lane => ({
    judge: createAddressJudge({ allow: networks, ownListeners, resolve }),
    closing: new AbortController(),
    http: new HttpAgent(SOCKETS),
    https: new HttpsAgent(SOCKETS),
  })
  const lanes = { trusted: createLane(EVERYWHERE), other: createLane(allow) }
  let running = 0

  async function request(spec: RequestSpec): Promise<Reply> {
    const target = parseHttpTarget(spec.url, spec.trusted)
    const lane = spec.trusted ? lanes.trusted : lanes.other
    if (isIP(target.hostname) !== 0 && !lane.judge.isDialable(target.hostname, target.port)) {
      throw new RequestFailure('not-allowed', 'the address of the URL')
    }
    if (running >= MAX_RUNNING) throw new RequestFailure('busy', `${MAX_RUNNING} requests are under way`)
    const ended = new AbortController()
    const giveUp = () => ended.abort(new RequestFailure('aborted', 'nobody waits for it'))
    const timer = setTimeout(
      () => ended.abort(new RequestFailure('timeout', `no answer within ${spec.timeoutMs} ms`)),
      spec.timeoutMs,
    )
    spec.signal?.addEventListener('abort', giveUp, { once: true })
    if (spec.signal?.aborted === true) giveUp()
    running++
    try {
      return await exchange(spec, target, lane, ended.signal)
    } catch (err) {
      throw toFailure(err)
    } finally {
      running--
      clearTimeout(timer)
      spec.signal?.removeEventListener('abort', giveUp)
    }
  }

  return Object.assign(request, {
    close() {
      for (const { closing, http, https } of Object.values(lanes)) {
        closing.abort()
        http.destroy()
        https.destroy()
      }
    },
  })
}
