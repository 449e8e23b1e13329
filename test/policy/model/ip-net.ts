/** An address as a number of 32 or 128 bits; an IPv4-mapped one is IPv4. */
interface Address {
  readonly bits: 32 | 128
  readonly value: bigint
}

function parseV4(text: string): bigint | undefined {
  const octets = text.split('.')
  if (octets.length !== 4 || !octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) < 256))
    return undefined
  return octets.reduce((value, octet) => (value << 8n) | BigInt(octet), 0n)
}

function parseV6(text: string): bigint | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  const v4 = tail === null ? undefined : parseV4(tail[2] ?? '')
  if (tail !== null && v4 === undefined) return undefined
  const hex = v4 === undefined ? text : `${tail?.[1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`
  const halves = hex.split('::')
  if (halves.length > 2) return undefined
  const [head = [], rest = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = 8 - head.length - rest.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...Array.from({ length: missing }, () => '0'), ...rest]
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

function parseAddress(text: string): Address | undefined {
  const v4 = parseV4(text)
  if (v4 !== undefined) return { bits: 32, value: v4 }
  const value = text.includes(':') ? parseV6(text) : undefined
  if (value === undefined) return undefined
  return value >> 32n === 0xffffn ? { bits: 32, value: value & 0xffff_ffffn } : { bits: 128, value }
}

/** Whether an address lies in a net, or is the address that stands for it. */
export function isInNet(address: unknown, net: string): boolean {
  const [netText = '', prefixText] = net.split('/')
  const start = parseAddress(netText)
  const own = typeof address === 'string' ? parseAddress(address) : undefined
  if (start === undefined) throw new Error(`${net} is no net`)
  if (own === undefined || own.bits !== start.bits) return false
  const isMapped = start.bits === 32 && netText.includes(':')
  const prefix = prefixText === undefined ? start.bits : Number(prefixText) - (isMapped ? 96 : 0)
  const ignored = BigInt(start.bits - prefix)
  return own.value >> ignored === start.value >> ignored
}
