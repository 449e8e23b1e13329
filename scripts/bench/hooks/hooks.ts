// The hooks part of the benchmark: decisions a second over HTTP beside an empty route of Express in the same run, JWTs
// verified and recognised, and how long it takes to be refused.
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { runStep } from '../../step.ts'
import { processorSeconds, startProgram } from '../process.ts'
import { median } from '../report.ts'
import { createLoadGenerator, type Load, type Request } from '../wrk.ts'
import { CLIENTS, type HookedServer, ISSUER, PASSWORD, startHookedServer } from './deployment.ts'
import { benchJwt, type JwtFigures } from './jwt.ts'
import { aclBody, askAcl } from './questions.ts'
import { benchTiming, type TimingFigures } from './timing.ts'
import { hmacToken } from './tokens.ts'

export interface HooksOptions {
  readonly rounds: number
  /** Of one measurement. */
  readonly seconds: number
  /** Refusals of each kind, for each kind of hash. */
  readonly samples: number
}

/** Medians of the rounds. */
export interface LoadFigures {
  readonly name: string
  readonly perS: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of the empty route in the same round; 1 for that one. */
  readonly ratio: number
  /** Microseconds of the server's processor time for each answer; `null` where the system does not say. */
  readonly cpuUs: number | null
}

export interface HooksResults {
  readonly rounds: number
  readonly loads: readonly LoadFigures[]
  readonly jwt: readonly JwtFigures[]
  readonly timing: readonly TimingFigures[]
}

const CONNECTIONS = 64
/** Distinct questions that are allowed, and that are refused. */
const ALLOWED = 4_096
const REFUSED = 1_024
/** Until the compiler has seen the hot path. */
const WARM_SECONDS = 6

/** Logs every client in, as the broker does before it asks about topics. */
async function logIn(url: string, bodies: readonly string[]): Promise<void> {
  for (const body of bodies) {
    const res = await fetch(`${url}/user`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    if (res.status !== 200) throw new Error(`a login was answered ${res.status} ${await res.text()}`)
  }
}

/** What is sent to the server, each beside the same to the empty route. */
async function makeLoads({ running, pathOf, tokenSecret }: HookedServer): Promise<(Request & { name: string })[]> {
  const url = `${running.url}${pathOf('default')}`
  const { allowed, refused } = askAcl(ALLOWED, REFUSED)
  const clients = Array.from({ length: CLIENTS }, (_, i) => i)
  const now = Math.floor(Date.now() / 1000)
  const tokens = clients.map((i) =>
    hmacToken(tokenSecret, {
      iss: ISSUER,
      aud: 'mqtt',
      sub: `user-${i}`,
      groups: [`group-${i % 50}`],
      iat: now,
      exp: now + 86_400,
    }),
  )
  const tokenOf = (i: number) => tokens[i] ?? ''
  await logIn(
    url,
    clients.map((i) => JSON.stringify({ clientid: `client-${i}`, username: `user-${i}`, password: PASSWORD })),
  )
  const acl = (name: string, bodies: readonly string[], more: Partial<Request> = {}) => ({
    name,
    url: `${url}/acl`,
    headers: { 'Content-Type': 'application/json' },
    body: bodies[0] ?? '',
    bodies,
    ...more,
  })
  return [
    acl(
      'allowed, by session',
      allowed.map((question) => aclBody(question)),
    ),
    acl(
      'refused, by session',
      refused.map((question) => aclBody(question)),
      { isRefused: true },
    ),
    acl(
      'allowed, with a JWT as username (HS256)',
      allowed.map((question) => aclBody(question, tokenOf)),
    ),
  ]
}

export async function benchHooks({ rounds, seconds, samples }: HooksOptions): Promise<HooksResults> {
  await using stack = new AsyncDisposableStack()
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-hooks-'))
  stack.defer(() => fs.rm(scratch, { recursive: true, force: true }))
  const jwt = await runStep('JWTs', () => benchJwt(scratch, rounds))
  const generator = stack.use(await createLoadGenerator())
  const server = await runStep('Start', () => startHookedServer(scratch, samples))
  stack.defer(() => server.running.stop())
  const timing: TimingFigures[] = []
  for (const hash of ['argon2', 'bcrypt'] as const) {
    const url = `${server.running.url}${server.pathOf(hash)}/user`
    timing.push(await runStep(`Refusals, ${hash}`, () => benchTiming(url, hash, samples)))
  }

  const empty = stack.adopt(await startProgram('scripts/bench/hooks/empty-route.ts', {}), (one) => one.stop())
  const made = await runStep('Logins', () => makeLoads(server))
  const [first] = made
  if (!first) throw new RangeError('nothing to ask')
  const loads = [
    { ...first, name: 'an empty route of Express 5', url: `${empty.url}/mqtt/acl`, pid: empty.pid },
    ...made.map((load) => ({ ...load, pid: server.running.pid })),
  ]
  for (const load of loads)
    await runStep(`Warm: ${load.name}`, () => generator.load(load, CONNECTIONS, Math.min(WARM_SECONDS, seconds)))
  const measured: (Load & { cpuUs: number | null })[][] = []
  for (let round = 1; round <= rounds; round++) {
    await runStep(`Round ${round} of ${rounds}`, async () => {
      const all = []
      for (const load of loads) {
        const before = processorSeconds(load.pid)
        const one = await generator.load(load, CONNECTIONS, seconds)
        const after = processorSeconds(load.pid)
        all.push({ ...one, cpuUs: before === null || after === null ? null : ((after - before) * 1e6) / one.requests })
      }
      measured.push(all)
    })
  }
  const figures = loads.map(({ name }, i) => {
    const of = (figure: (one: Load, base: Load) => number) =>
      median(measured.map((all) => figure(all[i] as Load, all[0] as Load)))
    const cpus = measured.flatMap((all) => all[i]?.cpuUs ?? [])
    return {
      name,
      cpuUs: cpus.length > 0 ? median(cpus) : null,
      perS: of(({ perS }) => perS),
      p50Ms: of(({ p50Ms }) => p50Ms),
      p99Ms: of(({ p99Ms }) => p99Ms),
      ratio: of(({ perS }, base) => perS / base.perS),
    }
  })
  return { rounds, loads: figures, jwt, timing }
}
