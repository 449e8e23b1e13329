import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '#src/core/errors.ts'
import { type Protocol, parseDestination } from '#src/outbound/destination.ts'

function codeOf(input: { hostname: unknown; port: unknown; protocol: Protocol }): ErrorCode | 'accepted' {
  try {
    parseDestination(input)
    return 'accepted'
  } catch (err) {
    return (err as { code: ErrorCode }).code
  }
}

const accepted = [
  'broker.example',
  'BROKER.Example',
  'a',
  'a_b.example',
  'xn--mnchen-3ya.example',
  '1.1.1.1',
  '2606:4700::1',
  '1a.example',
  '3com',
]
test('parseDestination: DNS names and addresses are hosts, and names are lower case afterwards', () => {
  assert.ok(accepted.length > 0)
  for (const hostname of accepted)
    assert.equal(codeOf({ hostname, port: 1883, protocol: 'mqtt' }), 'accepted', hostname)
  assert.equal(
    parseDestination({ hostname: 'BROKER.Example', port: 1883, protocol: 'mqtt' }).hostname,
    'broker.example',
  )
})

test('parseDestination: what is not text is no host', () => {
  for (const hostname of [undefined, null, 7, true, ['a'], {}]) {
    assert.equal(codeOf({ hostname, port: 1883, protocol: 'mqtt' }), 'request.invalid')
  }
})

const ports: readonly { port: unknown; protocol: Protocol; code: ErrorCode | 'accepted' }[] = [
  ...[
    0,
    -1,
    65_536,
    1883.5,
    Number.NaN,
    '1883 ',
    ' 1883',
    '01883',
    '0x75b',
    '1e3',
    '',
    null,
    undefined,
    true,
    [1883],
  ].map((port) => ({ port, protocol: 'mqtt', code: 'request.invalid' }) as const),
  ...[22, 25, 53, 80, 443, 2375, 5432, 6379, 8500, 9200].map(
    (port) => ({ port, protocol: 'mqtt', code: 'destination.not_allowed' }) as const,
  ),
  { port: 1883, protocol: 'mqtt', code: 'accepted' },
  { port: '1883', protocol: 'mqtt', code: 'accepted' },
  { port: 1024, protocol: 'mqtt', code: 'accepted' },
  { port: 65_535, protocol: 'mqtt', code: 'accepted' },
  { port: 443, protocol: 'wss', code: 'accepted' },
  { port: 443, protocol: 'mqtts', code: 'accepted' },
  { port: 443, protocol: 'ws', code: 'destination.not_allowed' },
  { port: 80, protocol: 'ws', code: 'accepted' },
  { port: 80, protocol: 'wss', code: 'destination.not_allowed' },
]
for (const { port, protocol, code } of ports) {
  test(`parseDestination: port ${JSON.stringify(port)} with ${protocol} is ${code}`, () => {
    assert.equal(codeOf({ hostname: 'broker.example', port, protocol }), code)
  })
}
