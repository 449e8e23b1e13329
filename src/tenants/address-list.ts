import { BlockList, isIPv4, isIPv6 } from 'node:net'

/** IPv4 in IPv6 clothes, as a dual-stack listener reports it (RFC 4291 §2.5.5.2). */
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  if (isIPv4(address)) return 'ipv4'
  return isIPv6(address) && !address.includes('%') ? 'ipv6' : undefined
}

function addTo(list: BlockList, entry: string): boolean {
  const [network = '', bits, ...extra] = entry.split('/')
  const family = familyOf(network)
  if (!family || extra.length > 0) return false
  if (bits === undefined) {
    list.addAddress(network, family)
    return true
  }
  if (!/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > (family === 'ipv4' ? 32 : 128)) return false
  list.addSubnet(network, Number(bits), family)
  return true
}

/** Reports whether `entry` is an IP address or a CIDR block. */
export function isAddressEntry(entry: string): boolean {
  return addTo(new BlockList(), entry)
}

/**
 * Makes the test of a list of addresses and CIDR blocks. An empty list admits every address; an entry that is neither
 * admits nothing.
 */
export function createAddressTest(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => true
  const list = new BlockList()
  for (const entry of entries) addTo(list, entry)
  return (address) => {
    const plain = MAPPED.exec(address)?.[1] ?? address
    const family = familyOf(plain)
    return family !== undefined && list.check(plain, family)
  }
}
