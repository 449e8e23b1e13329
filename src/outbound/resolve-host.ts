import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type AddressClass, canonicalAddress, classifyAddress, createAddressSet } from './classify-address.ts'
import { notAllowed } from './destination.ts'
import { unreachable } from './dial-errors.ts'
import type { LookupOptions, Resolve } from './resolver.ts'

/** Something this host listens on; without an address, on every one of its own. */
export interface Listener {
  readonly address?: string
  readonly port: number
}

/** Of so many answers every one is judged, of more none: the name is refused. */
const MAX_ANSWERS = 1_024
/** So many of them are dialled. */
const MAX_DIALLED = 4

/** Asks the system, as the libraries do that connect to the services behind this process; tenants' names go another way. */
export async function systemResolve(hostname: string): Promise<readonly string[]> {
  return (await lookup(hostname, { all: true })).map(({ address }) => address)
}

function localAddresses(): ReadonlySet<string> {
  const entries = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return new Set(entries.map(({ address }) => canonicalAddress(address)))
}

/** Makes the judgement whether one of our own listeners answers at an address and that port. */
function ownOn(port: number, listeners: readonly Listener[], here: ReadonlySet<string>): (address: string) => boolean {
  const own = listeners.filter((listener) => listener.port === port)
  if (own.length === 0) return () => false
  const isHere = (address: string) => here.has(address) || address.startsWith('127.') || address === '::1'
  return (address) =>
    own.some((listener) =>
      listener.address === undefined || listener.address === '0.0.0.0' || listener.address === '::'
        ? isHere(address)
        : listener.address === address,
    )
}

/** Reports whether an address, in whatever spelling, may be dialled at a port. */
export type IsDialable = (address: string, port: number) => boolean

export interface AddressJudge {
  /**
   * Resolves a host once and returns the addresses that may be dialled, canonical, at most 4. Every answer is judged: one
   * that is forbidden refuses the whole name; private ones count only when the operator allows their network.
   *
   * @throws {AppError} `destination.not_allowed`; `broker.unreachable` when the name has no address; what the resolver throws
   */
  addressesOf(hostname: string, port: number, options: LookupOptions): Promise<readonly string[]>
  readonly isDialable: IsDialable
}

export interface AddressRules {
  /** CIDRs of the operator: private networks that may be dialled. */
  readonly allow: readonly string[]
  readonly ownListeners: () => readonly Listener[]
  /** Addresses of this host, canonical; absent: as the system says. */
  readonly here?: () => ReadonlySet<string>
}

type JudgeFor = (port: number) => (address: string, kind: AddressClass) => boolean

/**
 * By class, by the operator's list, and by what we listen on ourselves. An address of this host is private even where it is
 * a public one: from here it leads around the firewall before it.
 */
function createJudgeFor({ allow, ownListeners, here: addressesHere = localAddresses }: AddressRules): JudgeFor {
  const isAllowed = createAddressSet(allow)
  return (port) => {
    const here = addressesHere()
    const isOwn = ownOn(port, ownListeners(), here)
    return (address, kind) =>
      kind !== 'forbidden' && ((kind === 'public' && !here.has(address)) || isAllowed(address)) && !isOwn(address)
  }
}

function dialable(judgeFor: JudgeFor): IsDialable {
  return (address, port) => judgeFor(port)(canonicalAddress(address), classifyAddress(address))
}

/** Makes the judgement of single addresses. */
export function createIsDialable(rules: AddressRules): IsDialable {
  return dialable(createJudgeFor(rules))
}

/** Makes the judgement of hosts and of all that their names lead to. */
export function createAddressJudge({ resolve, ...rules }: AddressRules & { resolve: Resolve }): AddressJudge {
  const judgeFor = createJudgeFor(rules)
  return {
    isDialable: dialable(judgeFor),
    async addressesOf(hostname, port, lookupOptions) {
      const answers = isIP(hostname) === 0 ? await resolve(hostname, lookupOptions) : [hostname]
      if (answers.length === 0) throw unreachable()
      if (answers.length > MAX_ANSWERS) throw notAllowed()
      const isAcceptable = judgeFor(port)
      const dialable = new Set<string>()
      for (const answer of answers) {
        const [address, kind] = [canonicalAddress(answer), classifyAddress(answer)]
        if (kind === 'forbidden') throw notAllowed()
        if (isAcceptable(address, kind)) dialable.add(address)
      }
      if (dialable.size === 0) throw notAllowed()
      return [...dialable].slice(0, MAX_DIALLED)
    },
  }
}
