import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { canonicalAddress, classifyAddress, createAddressSet } from './classify-address.ts'
import { notAllowed } from './destination.ts'
import { unreachable } from './dial-errors.ts'

export type Resolve = (hostname: string) => Promise<readonly string[]>

/** Something this host listens on; without an address, on every one of its own. */
export interface Listener {
  readonly address?: string
  readonly port: number
}

/** More answers than that are judged, and not dialled. */
const MAX_DIALLED = 4

/** Asks the system; `localhost` and what is below it are loopback whatever a server says (RFC 6761 §6.3). */
export const systemResolve: Resolve = async (hostname) => {
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return ['127.0.0.1', '::1']
  const answers = await lookup(hostname, { all: true })
  return answers.map(({ address }) => address)
}

function isHere(address: string): boolean {
  const local = Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
  return local.some((entry) => entry.address === address) || address.startsWith('127.') || address === '::1'
}

/** Reports whether one of our own listeners answers at that address and port. */
function isOwn(listeners: readonly Listener[], address: string, port: number): boolean {
  return listeners.some((own) => {
    if (own.port !== port) return false
    const everywhere = own.address === undefined || own.address === '0.0.0.0' || own.address === '::'
    return everywhere ? isHere(address) : own.address === address
  })
}

export interface AddressJudge {
  /**
   * Resolves a host once and returns the addresses that may be dialled, canonical, at most 4. One forbidden answer
   * refuses the whole name; private answers count only when the operator allows their network.
   *
   * @throws {AppError} `destination.not_allowed`, or `broker.unreachable` when the name has no address
   */
  addressesOf(hostname: string, port: number): Promise<readonly string[]>
  isDialable(address: string, port: number): boolean
}

/** Judges addresses by class, by the operator's CIDR list, and by what we listen on ourselves. */
export function createAddressJudge(options: {
  allow: readonly string[]
  ownListeners: () => readonly Listener[]
  resolve: Resolve
}): AddressJudge {
  const isAllowed = createAddressSet(options.allow)

  function isDialable(address: string, port: number): boolean {
    const kind = classifyAddress(address)
    if (kind === 'forbidden' || isOwn(options.ownListeners(), address, port)) return false
    return kind === 'public' || isAllowed(address)
  }

  return {
    isDialable,
    async addressesOf(hostname, port) {
      const answers = isIP(hostname) === 0 ? await options.resolve(hostname) : [hostname]
      if (answers.length === 0) throw unreachable()
      if (answers.some((answer) => classifyAddress(answer) === 'forbidden')) throw notAllowed()
      const dialable = answers.map(canonicalAddress).filter((address) => isDialable(address, port))
      if (dialable.length === 0) throw notAllowed()
      return dialable.slice(0, MAX_DIALLED)
    },
  }
}
