import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeMembers, encodeValues } from '#src/vault/values.ts'

const values: readonly Record<string, unknown>[] = [
  { hostname: 'a', port: 1 },
  { password: '","hostname":"forged","x":"', hostname: 'b' },
  { password: '\\', hostname: 'c', username: 'u\\"' },
  { nested: { hostname: 'no', deep: [{ port: 2 }, ',', '}'] }, hosts: [{ hostname: 'd', port: 3 }], port: null },
  { 'host\nname': 1, 'a:b,c': { x: ':' }, hostname: 'ü€😀\u2028', empty: {}, none: [], yes: true, number: -1.5e-7 },
  { x: 1 },
  JSON.parse('{"__proto__":{"hostname":"z"},"port":7}'),
]

test('some members of the values are read as all of them would be, whatever the others hold', () => {
  const wanted = ['hostname', 'port', 'hosts']
  for (const given of values) {
    const expected = Object.fromEntries(Object.entries(given).filter(([name]) => wanted.includes(name)))
    assert.deepEqual(decodeMembers(encodeValues(given), new Set(wanted)), expected)
    const all = decodeMembers(encodeValues(given), new Set(Object.keys(given)))
    assert.equal(JSON.stringify(all), JSON.stringify(given))
  }
})
