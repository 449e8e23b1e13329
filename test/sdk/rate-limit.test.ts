import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseQuotas } from '#src/sdk/rate-limit.ts'

test('the headers of the server become quotas', () => {
  assert.deepEqual(parseQuotas('"key";q=200;w=1, "tenant";q=400;w=1', '"key";r=0;t=1'), [
    { name: 'key', quota: 200, windowS: 1, left: 0, resetS: 1 },
    { name: 'tenant', quota: 400, windowS: 1, left: undefined, resetS: undefined },
  ])
})

const nothing: readonly (string | null)[] = [
  null,
  '',
  'key;q=1;w=1',
  '"key"',
  '"key";q=-1;w=1',
  '"key";q=1',
  '"key";q=1e9;w=1',
  `"key";q=${'9'.repeat(16)};w=1`,
  `"key";q=1;w=1, ${'x'.repeat(1000)}`,
]
for (const header of nothing)
  test(`${header?.slice(0, 24)} names no quota`, () => assert.deepEqual(parseQuotas(header, header), []))
