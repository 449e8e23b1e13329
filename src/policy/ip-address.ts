/** An address as a number of its family. IPv4-mapped IPv6 is IPv4 in every spelling. */
export interface IpAddress {
  readonly family: 4 | 6
  readonly value: bigint
}

/** A net: the first `prefix` bits of addresses of one family. */
export interface IpNet {
  readonly family: 4 | 6
  readonly value: bigint
  readonly prefix: number
}

const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const IPV4 = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`)
const GROUP = /^[0-9a-f]{1,4}$/i
const MAPPED = 0xffffn

function parseIpv4(text: string): bigint | undefined {
  const match = IPV4.exec(text)
  return match ? match.slice(1).reduce((value, octet) => (value << 8n) | BigInt(octet), 0n) : undefined
}

/** The 16-bit groups of one side of `::`; the last may be a dotted IPv4 address. */
function parseGroups(text: string): bigint[] | undefined {
  if (text === '') return []
  const groups: bigint[] = []
  const words = text.split(':')
  for (const [i, word] of words.entries()) {
    if (GROUP.test(word)) groups.push(BigInt(`0x${word}`))
    else {
      const ipv4 = i === words.length - 1 ? parseIpv4(word) : undefined
      if (ipv4 === undefined) return undefined
      groups.push(ipv4 >> 16n, ipv4 & 0xffffn)
    }
  }
  return groups
}

function parseIpv6(text: string): bigint | undefined {
  const sides = text.split('::')
  if (sides.length > 2) return undefined
  const [left, right] = sides.map(parseGroups)
  if (!left || (sides.length === 2 && !right)) return undefined
  const given = left.length + (right?.length ?? 0)
  if (right ? given > 7 : given !== 8) return undefined
  const zeros: bigint[] = Array(8 - given).fill(0n)
  return [...left, ...zeros, ...(right ?? [])].reduce((value, group) => (value << 16n) | group, 0n)
}

/** Parses an address in any spelling of RFC 4291 §2.2; `undefined` for anything else, zone ids included. */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined
  const ipv4 = parseIpv4(text)
  if (ipv4 !== undefined) return { family: 4, value: ipv4 }
  const ipv6 = parseIpv6(text)
  if (ipv6 === undefined) return undefined
  return ipv6 >> 32n === MAPPED ? { family: 4, value: ipv6 & 0xffff_ffffn } : { family: 6, value: ipv6 }
}

/** What an address counts as where sources are counted: who holds one address of an IPv6 /64 holds them all. */
export function sourceOf(address: string): string {
  const ip = parseIpAddress(address)
  return ip?.family === 6 ? (ip.value >> 64n).toString(16) : address
}

/** Parses an address or a CIDR net, which is masked to its prefix; `undefined` for anything else. */
export function parseIpNet(text: string): IpNet | undefined {
  const [address = '', prefixText, ...more] = text.split('/')
  const base = parseIpAddress(address)
  if (!base || more.length > 0) return undefined
  const isMapped = base.family === 4 && address.includes(':')
  const bits = base.family === 4 ? 32 : 128
  if (prefixText === undefined) return { ...base, prefix: bits }
  if (!/^(0|[1-9][0-9]{0,2})$/.test(prefixText)) return undefined
  const prefix = Number(prefixText) - (isMapped ? 96 : 0)
  if (prefix < 0 || prefix > bits) return undefined
  return { family: base.family, value: maskedTo(base, prefix), prefix }
}

/** The first `prefix` bits of an address; the others are 0. */
export function maskedTo({ family, value }: IpAddress, prefix: number): bigint {
  const rest = BigInt((family === 4 ? 32 : 128) - prefix)
  return (value >> rest) << rest
}

/** Writes a net in its one canonical spelling (RFC 5952), an address without a prefix. */
export function formatIpNet({ family, value, prefix }: IpNet): string {
  const groups = (count: number, bits: bigint) =>
    Array.from({ length: count }, (_, i) => (value >> (BigInt(count - 1 - i) * bits)) & ((1n << bits) - 1n))
  const v6 = () => groups(8, 16n).map((group) => group.toString(16))
  const address = family === 4 ? groups(4, 8n).join('.') : new URL(`http://[${v6().join(':')}]`).hostname.slice(1, -1)
  return prefix === (family === 4 ? 32 : 128) ? address : `${address}/${prefix}`
}

/** Reports whether an address lies in a net. */
export function isInNet(address: IpAddress, net: IpNet): boolean {
  const rest = BigInt((net.family === 4 ? 32 : 128) - net.prefix)
  return address.family === net.family && address.value >> rest === net.value >> rest
}
