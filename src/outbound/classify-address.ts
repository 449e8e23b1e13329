import { BlockList, isIP } from 'node:net'

/** `public` may be dialled, `private` only when the operator allows it, `forbidden` never. */
export type AddressClass = 'public' | 'private' | 'forbidden'

/**
 * The special-purpose registries of IANA (RFC 6890), also the ranges that are routed everywhere and never hold a broker, and
 * the metadata services of clouds that answer on public or private addresses.
 */
const FORBIDDEN = [
  '0.0.0.0/8', // this network
  '100.100.100.200/32', // metadata
  '168.63.129.16/32', // metadata
  '169.254.0.0/16', // link-local, metadata
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // multicast relays
  '192.88.99.0/24', // 6to4 relay
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
  '2001::/23', // protocol assignments, Teredo
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: an IPv4 address inside
  '2620:4f:8000::/48', // AS112
  '3fff::/20', // documentation
  'fd00:42::42/128', // metadata
  'fd00:ec2::/32', // metadata
  'fd20:ce::/32', // metadata
] as const

const PRIVATE = ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '::1/128', 'fc00::/7']

/** The only part of IPv6 that is global unicast; mapped, NAT64 and every other special range lie outside. */
const GLOBAL_UNICAST = ['2000::/3']

/** A set of addresses from CIDR texts such as `10.0.0.0/8` and `fd00::/8`, validated by the caller. */
export function createAddressSet(cidrs: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [net = '', prefix = ''] = cidr.split('/')
    list.addSubnet(net, Number(prefix), isIP(net) === 6 ? 'ipv6' : 'ipv4')
  }
  return (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

const isForbidden = createAddressSet(FORBIDDEN)
const isPrivate = createAddressSet(PRIVATE)
const isGlobalUnicast = createAddressSet(GLOBAL_UNICAST)

/** An address of sixteen bytes whose last eight name an IPv4 address the ISATAP way (RFC 5214 §6.1). */
const ISATAP = /(^|:)([02]00:)?0?5efe:[0-9a-f]{1,4}:[0-9a-f]{1,4}$/i

/** IPv6 in its one canonical spelling, without an IPv4 tail (RFC 5952); everything else as it is, one with a zone too. */
export function canonicalAddress(address: string): string {
  return isIP(address) === 6 && !address.includes('%') ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}

/**
 * Judges one address, in the spelling of `net.isIP`. IPv6 that carries an IPv4 address (mapped, NAT64, 6to4, Teredo,
 * ISATAP) is forbidden even where the inner address is public. What is not an address is forbidden.
 */
export function classifyAddress(address: string): AddressClass {
  const family = address.includes('%') ? 0 : isIP(address)
  if (family === 0) return 'forbidden'
  const canonical = canonicalAddress(address)
  if (family === 6 && canonical.startsWith('::ffff:')) return 'forbidden'
  if (isForbidden(canonical) || (family === 6 && ISATAP.test(canonical))) return 'forbidden'
  if (isPrivate(canonical)) return 'private'
  return family === 4 || isGlobalUnicast(canonical) ? 'public' : 'forbidden'
}
