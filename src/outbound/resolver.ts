import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { AppError } from '../core/errors.ts'
import { localhostAddresses } from './destination.ts'
import { systemResolve } from './resolve-host.ts'
import { addressesInHosts, parseSearchRules, searchNames } from './resolver-files.ts'

export interface LookupOptions {
  readonly tenantId: string
  /** Aborted when the caller waits no longer; the lookup ends with the last one who waits for it. */
  readonly signal: AbortSignal
}

/** Gives the addresses of a name, none when it has none; rejects when that cannot be known. */
export type Resolve = (hostname: string, options: LookupOptions) => Promise<readonly string[]>

export interface ResolverOptions {
  /** `address` or `address:port`; absent: those of the system, as they are when a name is asked for. */
  readonly servers?: readonly string[]
  readonly hostsFile?: string
  readonly resolvConf?: string
  /** Milliseconds that one lookup may take, search list and retries included. */
  readonly lookupMs?: number
  /** For names of multicast DNS that no server knows. */
  readonly system?: (hostname: string) => Promise<readonly string[]>
}

const LOOKUP_MS = 5_000
/** Milliseconds until a question is asked again, or of the next server; doubles with each try. */
const TRY_MS = 1_000
const TRIES = 3
/** Once one family has answered, the other one gets so long (RFC 8305 §3). */
const OTHER_FAMILY_MS = 500
/** Lookups under way: of the process, of one tenant. Beyond them a name is not asked for at all. */
const MAX_LOOKUPS = 64
const TENANT_LOOKUPS = 16
/** A name of multicast DNS, which the system knows how to ask for (RFC 6762 §3). */
const MULTICAST_NAME = /^[^.]+\.local$/

function isAbsent(err: unknown): boolean {
  const code = (err as { code?: unknown }).code
  return code === 'ENOTFOUND' || code === 'ENODATA'
}

/** Takes turns between the families, IPv4 first: a host without a way to one of them fails fast there. */
function interleave(v4: readonly string[], v6: readonly string[]): string[] {
  const turns = Array.from({ length: Math.max(v4.length, v6.length) }, (_, i) => [v4[i], v6[i]])
  return turns.flat().filter((address) => address !== undefined)
}

/** Asks DNS for both families of one name; no answer at all is an error, an empty one is not. */
async function ask(name: string, servers: readonly string[] | undefined, signal: AbortSignal): Promise<string[]> {
  signal.throwIfAborted()
  const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES }) // its own: it can be cancelled, and keeps nothing
  if (servers) resolver.setServers(servers)
  const cancel = () => resolver.cancel()
  signal.addEventListener('abort', cancel)
  let patience: NodeJS.Timeout | undefined
  const answered = (addresses: string[]) => {
    if (addresses.length > 0) patience ??= setTimeout(cancel, OTHER_FAMILY_MS)
    return addresses
  }
  const absent = (err: unknown): string[] => {
    if (isAbsent(err)) return []
    throw err
  }
  try {
    const questions = [resolver.resolve4(name), resolver.resolve6(name)]
    const [v4, v6] = await Promise.allSettled(questions.map((question) => question.then(answered, absent)))
    const found = interleave(v4?.status === 'fulfilled' ? v4.value : [], v6?.status === 'fulfilled' ? v6.value : [])
    const failed = [v4, v6].find((settled) => settled?.status === 'rejected')
    if (found.length === 0 && failed) throw failed.reason
    return found
  } finally {
    clearTimeout(patience)
    signal.removeEventListener('abort', cancel)
  }
}

interface Lookup {
  readonly answer: Promise<readonly string[]>
  waiting: number
  readonly stop: AbortController
}

/** A file that is there and cannot be read fails the lookup: another address might be meant than DNS would say. */
function readOrNothing(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return ''
    throw err
  })
}

/**
 * Makes the resolver of the dial path. It asks as the system would (hosts file, search list, the servers of resolv.conf), but
 * without `getaddrinfo`, which cannot be cancelled and holds a thread of the pool that also signs and reads files: a tenant
 * with a slow name server would hold up everybody. A lookup ends after 5 s, a tenant has 16 of the 64 that may be under way,
 * who asks for a name that is being asked for shares the answer, and nothing is remembered: each dial judges what is true then.
 *
 * @throws {AppError} `broker.busy` when too many lookups are under way
 */
export function createResolver(options: ResolverOptions = {}): Resolve {
  const { servers, hostsFile = '/etc/hosts', resolvConf = '/etc/resolv.conf' } = options
  const { lookupMs = LOOKUP_MS, system = systemResolve } = options
  const running = new Map<string, Lookup>()
  const counts = new Map<string, number>()
  let multicast = false

  /** `getaddrinfo`, for the one kind of name that needs it, and one at a time. */
  async function lookUpMulticast(hostname: string): Promise<readonly string[]> {
    if (multicast) return []
    multicast = true
    try {
      return await system(hostname)
    } catch (err) {
      if (isAbsent(err)) return []
      throw err
    } finally {
      multicast = false
    }
  }

  async function lookUp(hostname: string, signal: AbortSignal): Promise<readonly string[]> {
    const [hosts, conf] = await Promise.all([readOrNothing(hostsFile), readOrNothing(resolvConf)])
    const known = addressesInHosts(hosts, hostname)
    if (known.length > 0) return known
    for (const name of searchNames(hostname, parseSearchRules(conf))) {
      const found = await ask(name, servers, signal)
      if (found.length > 0) return found
    }
    return MULTICAST_NAME.test(hostname) ? lookUpMulticast(hostname) : []
  }

  function start(hostname: string, tenantId: string): Lookup {
    const own = counts.get(tenantId) ?? 0
    if (running.size >= MAX_LOOKUPS || own >= TENANT_LOOKUPS) {
      throw new AppError('broker.busy', 'Too many names of brokers are being looked up.', { retryAfterS: 1 })
    }
    counts.set(tenantId, own + 1)
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(new Error('no answer from DNS in time')), lookupMs)
    const stopped = once(stop.signal, 'abort').then(() => Promise.reject(stop.signal.reason as Error))
    const answer = Promise.race([lookUp(hostname, stop.signal), stopped]).finally(() => {
      clearTimeout(timer)
      if (running.get(hostname) === started) running.delete(hostname)
      const left = (counts.get(tenantId) ?? 1) - 1
      if (left === 0) counts.delete(tenantId)
      else counts.set(tenantId, left)
    })
    answer.catch(() => {}) // those who wait hear it; there may be none left
    const started: Lookup = { answer, stop, waiting: 0 }
    running.set(hostname, started)
    return started
  }

  return async function resolve(hostname, { tenantId, signal }) {
    const loopback = localhostAddresses(hostname)
    if (loopback.length > 0) return loopback
    signal.throwIfAborted()
    const shared = running.get(hostname) ?? start(hostname, tenantId)
    shared.waiting++
    const leave = () => {
      if (--shared.waiting > 0) return
      if (running.get(hostname) === shared) running.delete(hostname) // nobody may join what is about to end
      shared.stop.abort(new Error('nobody waits for it'))
    }
    signal.addEventListener('abort', leave)
    try {
      return await shared.answer
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }
}
