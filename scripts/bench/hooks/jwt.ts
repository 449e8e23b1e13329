import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { systemClock } from '#src/core/clock.ts'
import { silentLog } from '#src/core/log.ts'
import { Secret } from '#src/core/secret.ts'
import { createJwtProvider } from '#src/identity/jwt/jwt-provider.ts'
import { jwtProviderSchema } from '#src/identity/jwt/settings.ts'
import type { Provider } from '#src/identity/provider.ts'
import { createSecretReader } from '#src/identity/secret-source.ts'
import { median } from '../report.ts'
import { quantile } from './quantile.ts'
import { hmacToken, tokenOf } from './tokens.ts'

export interface JwtFigures {
  readonly algorithm: string
  /** `first`: a token that was not seen before, with its signature verified; `again`: one that was, within a minute. */
  readonly kind: 'first' | 'again'
  readonly perS: number
  readonly p50Us: number
  readonly p99Us: number
}

/** Fewer than a provider remembers. */
const TOKENS = 2_000
const IN_FLIGHT = 16
const ISSUER = 'https://idp.example'

interface Kind {
  readonly algorithm: string
  readonly settings: object
  readonly makeToken: (i: number) => string
}

const claimsOf = (i: number) => {
  const now = Math.floor(Date.now() / 1000)
  const own = { sub: `user-${i}`, jti: `${i}`, groups: ['/operators', '/plant'], scope: 'mqtt.read mqtt.write' }
  return { iss: ISSUER, aud: 'mqtt', iat: now, exp: now + 3600, ...own }
}

async function makeKinds(folder: string): Promise<readonly Kind[]> {
  const secret = randomBytes(32)
  await fs.writeFile(path.join(folder, 'secret'), secret, { mode: 0o600 })
  const signed = async (
    algorithm: string,
    pair: { publicKey: KeyObject; privateKey: KeyObject },
    digest: string | null,
  ) => {
    const file = path.join(folder, `${algorithm}.pem`)
    await fs.writeFile(file, pair.publicKey.export({ type: 'spki', format: 'pem' }))
    const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const
    return {
      algorithm,
      settings: { public_key_file: file, algorithms: [algorithm] },
      makeToken: (i: number) => tokenOf(algorithm, claimsOf(i), (input) => sign(digest, input, key)),
    }
  }
  return [
    {
      algorithm: 'HS256',
      settings: { secret: { file: path.join(folder, 'secret') }, algorithms: ['HS256'] },
      makeToken: (i) => hmacToken(secret, claimsOf(i)),
    },
    await signed('RS256', generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha256'),
    await signed('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256'),
    await signed('EdDSA', generateKeyPairSync('ed25519'), null),
  ]
}

function createProvider(settings: object): Promise<Provider> {
  const parsed = jwtProviderSchema.parse({ type: 'jwt', issuer: ISSUER, audience: 'mqtt', ...settings })
  const request = Object.assign(() => Promise.reject(new Error('this needs no network')), { close() {} })
  const deps = { name: 'idp', clock: systemClock, log: silentLog, readSecret: createSecretReader({}), request }
  return createJwtProvider(parsed, deps)
}

/** Shows every token once, some at a time, and returns how long that took and each of them did. */
async function showAll(provider: Provider, tokens: readonly Uint8Array[]): Promise<{ ms: number; eachMs: number[] }> {
  const { signal } = new AbortController()
  const eachMs: number[] = []
  let next = 0
  const showSome = async () => {
    while (next < tokens.length) {
      const i = next++
      const password = new Secret(tokens[i] as Uint8Array)
      const beganMs = performance.now()
      const { outcome } = await provider.authenticate({ clientId: `c-${i}`, username: `user-${i}`, password }, signal)
      eachMs.push(performance.now() - beganMs)
      if (outcome !== 'success') throw new Error(`token ${i} was not accepted`)
    }
  }
  const startedMs = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, showSome))
  return { ms: performance.now() - startedMs, eachMs }
}

function figuresOf(algorithm: string, kind: JwtFigures['kind'], passes: readonly { ms: number; eachMs: number[] }[]) {
  const all = passes.flatMap(({ eachMs }) => eachMs).map((ms) => ms * 1000)
  const perS = median(passes.map(({ ms }) => (TOKENS / ms) * 1000))
  return { algorithm, kind, perS, p50Us: quantile(all, 0.5), p99Us: quantile(all, 0.99) }
}

/** Measures the provider in this process, with sixteen tokens under way. */
export async function benchJwt(folder: string, rounds: number): Promise<readonly JwtFigures[]> {
  const figures: JwtFigures[] = []
  for (const { algorithm, settings, makeToken } of await makeKinds(folder)) {
    const tokens = Array.from({ length: TOKENS }, (_, i) => Buffer.from(makeToken(i)))
    const first = []
    const again = []
    for (let round = 0; round <= rounds; round++) {
      const provider = await createProvider(settings)
      const passes = [await showAll(provider, tokens), await showAll(provider, tokens)] as const
      await provider.close?.()
      if (round === 0) continue // warms up
      first.push(passes[0])
      again.push(passes[1])
    }
    figures.push(figuresOf(algorithm, 'first', first), figuresOf(algorithm, 'again', again))
  }
  return figures
}
