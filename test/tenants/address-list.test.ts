import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAddressTest, isAddressEntry } from '#src/tenants/address-list.ts'

const cases = [
  { list: [], address: '203.0.113.9', admitted: true, why: 'an empty list admits everybody' },
  { list: ['203.0.113.9'], address: '203.0.113.9', admitted: true, why: 'the address itself' },
  { list: ['203.0.113.9'], address: '203.0.113.8', admitted: false, why: 'its neighbour' },
  { list: ['203.0.113.0/24'], address: '203.0.113.77', admitted: true, why: 'in the block' },
  { list: ['203.0.113.0/24'], address: '203.0.114.77', admitted: false, why: 'beside the block' },
  {
    list: ['203.0.113.0/24'],
    address: '::ffff:203.0.113.77',
    admitted: true,
    why: 'IPv4 as a dual-stack listener reports it',
  },
  { list: ['2001:db8::/32'], address: '2001:db8::1', admitted: true, why: 'IPv6 block' },
  { list: ['2001:db8::/32'], address: '2001:db9::1', admitted: false, why: 'beside the IPv6 block' },
  { list: ['0.0.0.0/0'], address: '2001:db8::1', admitted: false, why: 'all of IPv4 is not IPv6' },
  { list: ['203.0.113.9'], address: '', admitted: false, why: 'no address' },
  { list: ['203.0.113.9'], address: 'fe80::1%eth0', admitted: false, why: 'a zone' },
  { list: ['nonsense'], address: '203.0.113.9', admitted: false, why: 'an entry that means nothing admits nobody' },
]
for (const { list, address, admitted, why } of cases) {
  test(`createAddressTest: ${address} in [${list.join(', ')}] is ${admitted}: ${why}`, () => {
    assert.equal(createAddressTest(list)(address), admitted)
  })
}

test('isAddressEntry knows addresses and blocks, and nothing else', () => {
  const good = ['203.0.113.9', '203.0.113.0/24', '0.0.0.0/0', '2001:db8::/128', '::1']
  const bad = [
    '',
    'localhost',
    '203.0.113.0/33',
    '203.0.113.0/024',
    '203.0.113.0/',
    '203.0.113.0/8/8',
    '::1/129',
    '1.2.3',
    '1.2.3.4/-1',
  ]
  assert.deepEqual(
    good.map(isAddressEntry),
    good.map(() => true),
  )
  assert.deepEqual(
    bad.map(isAddressEntry),
    bad.map(() => false),
  )
})
