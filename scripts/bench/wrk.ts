import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { isDebian, unpackDebianPackages } from '../test/debian-packages.ts'
import { findCommand } from '../test/run-command.ts'

/** One request, sent again and again. */
export interface Request {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** These in turn, over all connections, instead of `body`. At most some ten thousand. */
  readonly bodies?: readonly string[]
  /** Each answer is to be a refusal: a status from 400. */
  readonly isRefused?: boolean
}

export interface Load {
  readonly perS: number
  /** Milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly requests: number
}

/** What came of asking for more than can be served. */
export interface Flood {
  /** Answers, whatever they say, and those of them that were no refusal. */
  readonly perS: number
  readonly goodPerS: number
}

/** A load generator that takes little of the processor that it shares with what it measures. */
export interface LoadGenerator {
  /**
   * Sends POST requests over a number of connections, one at a time on each.
   *
   * @throws {Error} for a single lost answer, or one that is no 2xx, or a 2xx where refusals are meant
   */
  load(request: Request, connections: number, seconds: number): Promise<Load>
  /**
   * Sends about so many a second, however they are answered: each connection waits between an answer and its next request.
   *
   * @throws {Error} for a single lost answer
   */
  flood(request: Request, options: { connections: number; seconds: number; perS: number }): Promise<Flood>
}

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const CACHE = path.join(root, '.cache/wrk')

async function findLibraries(): Promise<string> {
  const library = path.join(CACHE, 'usr/lib')
  const folders = existsSync(library) ? await fs.readdir(library, { withFileTypes: true }) : []
  return folders
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => path.join(library, name))
    .join(':')
}

/** Finds wrk on the PATH or in the cache; on Debian it is unpacked there, with nothing installed. */
async function findWrk(): Promise<string> {
  const installed = findCommand(['wrk'])
  if (installed !== undefined) return installed
  const cached = path.join(CACHE, 'usr/bin/wrk')
  if (!existsSync(cached) && isDebian()) await unpackDebianPackages(['wrk'], CACHE)
  if (existsSync(cached)) return cached
  throw new Error('wrk is not installed: https://github.com/wg/wrk (brew install wrk)')
}

/** What wrk says at the end, as one line of JSON; its own report rounds. Times in microseconds. */
const REPORT = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%d,"us":%d,"p50":%d,"p99":%d,"lost":%d,"refused":%d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout, e.status))
end`

/** A wait before each request but the first; at random, so that connections do not go in step. */
const waiting = (meanMs: number) => `
math.randomseed(os.time())
delay = function() return math.random(0, ${Math.round(2 * meanMs)}) end`

/** All requests are made before the first is sent. */
const inTurn = (bodies: readonly string[]) => `
local bodies = {${bodies.map(luaText).join(',\n')}}
local requests, last = {}, 0
init = function() for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, nil, nil, body) end end
request = function() last = last % #requests + 1; return requests[last] end`

interface Said {
  requests: number
  us: number
  p50: number
  p99: number
  lost: number
  refused: number
}

function luaText(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}

export async function createLoadGenerator(): Promise<LoadGenerator & AsyncDisposable> {
  const wrk = await findWrk()
  const libraries = await findLibraries()
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-wrk-'))
  async function ask(
    { url, headers, body, bodies = [] }: Request,
    connections: number,
    seconds: number,
    more = '',
  ): Promise<Said & { stdout: string }> {
    const script = path.join(scratch, 'request.lua')
    const lines = Object.entries(headers).map(([name, value]) => `wrk.headers[${luaText(name)}] = ${luaText(value)}`)
    const varied = bodies.length > 0 ? inTurn(bodies) : ''
    const text = ['wrk.method = "POST"', `wrk.body = ${luaText(body)}`, ...lines, varied, more, REPORT].join('\n')
    await fs.writeFile(script, text, { mode: 0o600 })
    const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, url]
    const { stdout } = await run(wrk, args, { env: { ...process.env, LD_LIBRARY_PATH: libraries } })
    const said = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Said
    if (said.lost > 0 || said.requests === 0)
      throw new Error(`${url}: ${said.lost} lost calls, ${said.requests} in all\n${stdout}`)
    return { ...said, stdout }
  }

  return {
    async load(request, connections, seconds) {
      const { requests, us, p50, p99, refused, stdout } = await ask(request, connections, seconds)
      if (refused !== (request.isRefused ? requests : 0))
        throw new Error(`${request.url}: ${refused} refused calls, ${requests} in all\n${stdout}`)
      return { perS: (requests / us) * 1e6, p50Ms: p50 / 1000, p99Ms: p99 / 1000, requests }
    },
    async flood(request, { connections, seconds, perS }) {
      const { requests, us, refused } = await ask(request, connections, seconds, waiting((connections / perS) * 1000))
      return { perS: (requests / us) * 1e6, goodPerS: ((requests - refused) / us) * 1e6 }
    },
    [Symbol.asyncDispose]: () => fs.rm(scratch, { recursive: true, force: true }),
  }
}
