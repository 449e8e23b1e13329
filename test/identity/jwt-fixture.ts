import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { CompactSign, calculateJwkThumbprint, type JWK } from 'jose'
import { Secret } from '#src/core/secret.ts'
import { createJwtProvider, type JwtProviderDeps } from '#src/identity/jwt/jwt-provider.ts'
import { jwtProviderSchema } from '#src/identity/jwt/settings.ts'
import type { Credentials, Provider, Verdict } from '#src/identity/provider.ts'
import { createSecretReader } from '#src/identity/secret-source.ts'
import { createGuardedRequest } from '#src/outbound/guarded-request.ts'

/** Wall-clock and monotonic time that stand still until they are moved. */
export class Hands {
  #ms = 0
  readonly #start = 1_800_000_000_000
  now = (): number => this.#start + this.#ms
  monotonic = (): number => this.#ms
  advance(seconds: number): void {
    this.#ms += seconds * 1_000
  }
  /** The present in seconds, as tokens have it. */
  get seconds(): number {
    return this.now() / 1_000
  }
}

export interface Pair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

/** Keys of issuers; each is made when it is first asked for. */
const pairs = new Map<string, Pair>()
export function pairOf(kind: 'rsa' | 'rsa-2' | 'rsa-1024' | 'ec' | 'ec-384' | 'ed25519' | 'ed448'): Pair {
  const known = pairs.get(kind)
  if (known) return known
  const made: Pair = kind.startsWith('rsa')
    ? generateKeyPairSync('rsa', { modulusLength: kind === 'rsa-1024' ? 1_024 : 2_048 })
    : kind.startsWith('ec')
      ? generateKeyPairSync('ec', { namedCurve: kind === 'ec' ? 'P-256' : 'P-384' })
      : kind === 'ed448'
        ? generateKeyPairSync('ed448')
        : generateKeyPairSync('ed25519')
  pairs.set(kind, made)
  return made
}

export const pemOf = (pair: Pair): string => pair.publicKey.export({ type: 'spki', format: 'pem' }) as string

export function jwkOf(pair: Pair, more: JWK = {}): JWK {
  return { ...(pair.publicKey.export({ format: 'jwk' }) as JWK), ...more }
}

export const thumbprint = (pair: Pair): Promise<string> => calculateJwkThumbprint(jwkOf(pair))

export const SECRET = 'a secret of an issuer that is long enough for SHA-512: 64 bytes!!'

/** Signs a text as jose does. */
export async function sign(
  claims: Readonly<Record<string, unknown>> | string,
  key: KeyObject | Uint8Array,
  header: { alg: string } & Readonly<Record<string, unknown>>,
): Promise<string> {
  const text = typeof claims === 'string' ? claims : JSON.stringify(claims)
  return new CompactSign(new TextEncoder().encode(text)).setProtectedHeader(header).sign(key)
}

const base64url = (text: string) => Buffer.from(text).toString('base64url')

/** A token from the texts of its header and claims, with an HMAC of any key: what jose refuses to make. */
export function forge(header: string, claims: string, key: string | Uint8Array = SECRET): string {
  const input = `${base64url(header)}.${base64url(claims)}`
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}

export const unsigned = (header: string, claims: string): string => `${base64url(header)}.${base64url(claims)}.`

/** Lines that were written, by their words. */
export function collectingLog() {
  const lines: { level: string; fields: object; message: string }[] = []
  const at = (level: string) => (fields: object, message: string) => lines.push({ level, fields, message })
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export type GivenSettings = Readonly<Record<string, unknown>>

export interface ProviderOptions extends Partial<Omit<JwtProviderDeps, 'clock'>> {
  readonly clock?: Hands
  readonly env?: Readonly<Record<string, string>>
}

/** A provider from a section as it stands in a file, over real sockets. */
export async function openJwt(t: TestContext, given: GivenSettings, options: ProviderOptions = {}): Promise<Provider> {
  const settings = jwtProviderSchema.parse({ type: 'jwt', ...given })
  const request = options.request ?? createGuardedRequest({ allow: [] })
  const provider = await createJwtProvider(settings, {
    name: options.name ?? 'idp',
    clock: options.clock ?? new Hands(),
    log: options.log ?? collectingLog(),
    readSecret: createSecretReader({ JWT_SECRET: SECRET, ...options.env }),
    request,
  })
  t.after(async () => {
    await provider.close?.()
    request.close()
  })
  return provider
}

export const withSecret = { secret: { env: 'JWT_SECRET' }, audience: '*' } as const

export interface Shown {
  readonly clientId?: string
  readonly username?: string
  readonly password?: string
  readonly bearer?: string
}

export function credentialsOf({ clientId = 'c1', username, password, bearer }: Shown): Credentials {
  return {
    clientId,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: new Secret(new TextEncoder().encode(password)) }),
    ...(bearer === undefined ? {} : { bearer: new Secret(bearer) }),
    ip: '192.0.2.7',
    protocol: 5,
    tls: true,
  }
}

export function ask(provider: Provider, shown: Shown, signal?: AbortSignal): Promise<Verdict> {
  return provider.authenticate(credentialsOf(shown), signal ?? new AbortController().signal)
}

/** `success`, or the outcome and the reason. */
export async function outcome(provider: Provider, shown: Shown): Promise<string> {
  const verdict = await ask(provider, shown)
  return verdict.outcome === 'success' ? 'success' : `${verdict.outcome} ${verdict.reason}`
}

export interface Issuer {
  readonly url: string
  /** Answers by path; a path without one is 404. */
  readonly routes: Map<string, RequestListener>
  /** Requests so far of one path, or of all. */
  count(path?: string): number
  stop(): Promise<void>
}

export const json =
  (value: unknown, status = 200): RequestListener =>
  (_req, res) =>
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

/** Starts an identity provider that answers as the test says. */
export async function startIssuer(t: TestContext, tls?: { certificate: string; key: string }): Promise<Issuer> {
  const routes = new Map<string, RequestListener>()
  const asked: string[] = []
  const answer: RequestListener = (req, res) => {
    const path = req.url ?? ''
    asked.push(path)
    const route = routes.get(path)
    if (route) route(req, res)
    else res.writeHead(404).end()
  }
  const server = tls ? createTlsServer({ cert: tls.certificate, key: tls.key }, answer) : createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
    return stopped
  }
  t.after(stop)
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    routes,
    count: (path) => (path === undefined ? asked.length : asked.filter((one) => one === path).length),
    stop,
  }
}
