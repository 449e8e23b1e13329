import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import { test } from 'node:test'
import { type AddressClass, classifyAddress } from '#src/outbound/classify-address.ts'

/**
 * IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates), multicast, reserved, site-local and
 * unassigned space, metadata services: what the range is, and what lies just before and just after it.
 */
const ranges: readonly (readonly [cidr: string, is: AddressClass, before: string, after: string, what: string])[] = [
  ['0.0.0.0/8', 'forbidden', '-', 'public', 'this network'],
  ['10.0.0.0/8', 'private', 'public', 'public', 'private use'],
  ['100.64.0.0/10', 'private', 'public', 'public', 'shared address space'],
  ['127.0.0.0/8', 'private', 'public', 'public', 'loopback'],
  ['169.254.0.0/16', 'forbidden', 'public', 'public', 'link-local'],
  ['172.16.0.0/12', 'private', 'public', 'public', 'private use'],
  ['192.0.0.0/24', 'forbidden', 'public', 'public', 'IETF protocol assignments'],
  ['192.0.2.0/24', 'forbidden', 'public', 'public', 'TEST-NET-1'],
  ['192.31.196.0/24', 'forbidden', 'public', 'public', 'AS112-v4'],
  ['192.52.193.0/24', 'forbidden', 'public', 'public', 'AMT'],
  ['192.88.99.0/24', 'forbidden', 'public', 'public', '6to4 relay anycast'],
  ['192.168.0.0/16', 'private', 'public', 'public', 'private use'],
  ['192.175.48.0/24', 'forbidden', 'public', 'public', 'direct delegation AS112'],
  ['198.18.0.0/15', 'forbidden', 'public', 'public', 'benchmarking'],
  ['198.51.100.0/24', 'forbidden', 'public', 'public', 'TEST-NET-2'],
  ['203.0.113.0/24', 'forbidden', 'public', 'public', 'TEST-NET-3'],
  ['224.0.0.0/4', 'forbidden', 'public', 'forbidden', 'multicast'],
  ['240.0.0.0/4', 'forbidden', 'forbidden', '-', 'reserved, limited broadcast'],
  ['100.100.100.200/32', 'forbidden', 'private', 'private', 'metadata'],
  ['168.63.129.16/32', 'forbidden', 'public', 'public', 'metadata'],
  ['::/128', 'forbidden', '-', 'private', 'unspecified'],
  ['::1/128', 'private', 'forbidden', 'forbidden', 'loopback'],
  ['::ffff:0:0/96', 'forbidden', 'forbidden', 'forbidden', 'IPv4-mapped'],
  ['::ffff:0:0:0/96', 'forbidden', 'forbidden', 'forbidden', 'IPv4-translated'],
  ['64:ff9b::/96', 'forbidden', 'forbidden', 'forbidden', 'IPv4-IPv6 translation'],
  ['64:ff9b:1::/48', 'forbidden', 'forbidden', 'forbidden', 'IPv4-IPv6 translation'],
  ['100::/64', 'forbidden', 'forbidden', 'forbidden', 'discard-only'],
  ['100:0:0:1::/64', 'forbidden', 'forbidden', 'forbidden', 'dummy prefix'],
  ['2001::/23', 'forbidden', 'public', 'public', 'IETF protocol assignments, Teredo, ORCHID'],
  ['2001:db8::/32', 'forbidden', 'public', 'public', 'documentation'],
  ['2002::/16', 'forbidden', 'public', 'public', '6to4'],
  ['2620:4f:8000::/48', 'forbidden', 'public', 'public', 'direct delegation AS112'],
  ['3fff::/20', 'forbidden', 'public', 'public', 'documentation'],
  ['4000::/2', 'forbidden', 'public', 'forbidden', 'unassigned'],
  ['5f00::/16', 'forbidden', 'forbidden', 'forbidden', 'segment routing'],
  ['fc00::/7', 'private', 'forbidden', 'forbidden', 'unique local'],
  ['fe80::/10', 'forbidden', 'forbidden', 'forbidden', 'link-local'],
  ['fec0::/10', 'forbidden', 'forbidden', 'forbidden', 'site-local'],
  ['ff00::/8', 'forbidden', 'forbidden', '-', 'multicast'],
  ['fd00:42::42/128', 'forbidden', 'private', 'private', 'metadata'],
  ['fd00:ec2::/32', 'forbidden', 'private', 'private', 'metadata'],
  ['fd20:ce::/32', 'forbidden', 'private', 'private', 'metadata'],
]

function toNumber(address: string): bigint {
  if (isIP(address) === 4) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n)
  const [head = '', tail = ''] = address.split('::')
  const [left, right] = [head, tail].map((text) => text.split(':').filter((group) => group !== ''))
  const groups = [
    ...(left ?? []),
    ...Array<string>(8 - (left?.length ?? 0) - (right?.length ?? 0)).fill('0'),
    ...(right ?? []),
  ]
  return groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n)
}

function toAddress(number: bigint, family: number): string {
  const width = family === 4 ? 8n : 16n
  const parts = Array.from(
    { length: family === 4 ? 4 : 8 },
    (_, i) => (number >> (width * BigInt(i))) & ((1n << width) - 1n),
  )
  const texts = parts.reverse().map((part) => part.toString(family === 4 ? 10 : 16))
  return texts.join(family === 4 ? '.' : ':')
}

for (const [cidr, is, before, after, what] of ranges) {
  test(`${cidr} (${what}): first and last are ${is}, one outside is ${before} and ${after}`, () => {
    const [net = '', prefix = ''] = cidr.split('/')
    const family = isIP(net)
    assert.ok(family !== 0)
    const bits = family === 4 ? 32 : 128
    const first = toNumber(net)
    const last = first + (1n << BigInt(bits - Number(prefix))) - 1n
    const at = (number: bigint) => classifyAddress(toAddress(number, family))
    assert.equal(at(first), is, 'first')
    assert.equal(at(last), is, 'last')
    assert.equal(at(first + (last - first) / 2n), is, 'middle')
    assert.equal(first === 0n ? '-' : at(first - 1n), before, 'one before')
    assert.equal(last + 1n === 1n << BigInt(bits) ? '-' : at(last + 1n), after, 'one after')
  })
}
