import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isId, isUuid, NO_TENANT, newId, newUuid, uuidOfId } from '#src/core/ids.ts'

const times = fc.integer({ min: 0, max: 2 ** 48 - 1 })

test('ids are in the order of their milliseconds, in every spelling', () => {
  const ascending = fc.tuple(times, times).filter(([a, b]) => a !== b)
  fc.assert(
    fc.property(ascending, ([a, b]) => {
      assert.equal(newId('msg', a) < newId('msg', b), a < b)
      assert.equal(newUuid(a) < newUuid(b), a < b)
    }),
    { examples: [[[2 ** 32 - 1, 2 ** 32]], [[2 ** 47 - 1, 2 ** 47]], [[0, 1]]] },
  )
})

test('an id is its prefix and 26 characters of Crockford base32 in lower case', () => {
  fc.assert(
    fc.property(times, (nowMs) => {
      const id = newId('key', nowMs)
      assert.match(id, /^key_[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}$/)
      assert.ok(isId('key', id))
    }),
  )
  assert.ok(isId('ten', NO_TENANT))
})

test('a UUID is version 7, variant 10, with the time in front (RFC 9562 appendix A.6)', () => {
  assert.match(newUuid(0x017f22e279b0), /^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.ok(isUuid(newUuid()))
})

test('ids of one millisecond differ', () => {
  const made = new Set(Array.from({ length: 10_000 }, () => newId('req', 1)))
  assert.equal(made.size, 10_000)
})

const good = newId('int')
const others = [
  { why: 'another kind', text: newId('key') },
  { why: 'upper case', text: `int_${good.slice(4).toUpperCase()}` },
  { why: 'one character less', text: good.slice(0, -1) },
  { why: 'one character more', text: `${good}0` },
  { why: 'more than 128 bits', text: `int_8${good.slice(5)}` },
  ...['i', 'l', 'o', 'u', '-'].map((letter) => ({ why: `the letter ${letter}`, text: good.slice(0, -1) + letter })),
  { why: 'a line end', text: `${good.slice(0, -1)}\n` },
  { why: 'nothing', text: '' },
]
for (const { why, text } of others) {
  test(`${why} is no id of this kind, the one it was made of is`, () => {
    assert.equal(isId('int', text), false)
    assert.equal(isId('int', good), true)
  })
}

test('a UUID in upper case, in braces or with a line end is none', () => {
  const uuid = newUuid(0x017f22e279b0)
  for (const text of [uuid.toUpperCase(), `{${uuid}}`, `${uuid}\n`, uuid.replaceAll('-', ''), ''])
    assert.equal(isUuid(text), false)
  assert.equal(isUuid(uuid), true)
})

test('uuidOfId spells the bits of an id as a UUID, the same for every kind', () => {
  const cases = [
    [NO_TENANT, '00000000-0000-0000-0000-000000000000'],
    ['ten_00000000000000000000000001', '00000000-0000-0000-0000-000000000001'],
    ['ten_01kad3m5e0000000000000000a', '019a9a3a-15c0-0000-0000-00000000000a'],
    ['root_7zzzzzzzzzzzzzzzzzzzzzzzzz', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  ] as const
  for (const [id, uuid] of cases) assert.equal(uuidOfId(id), uuid)
  const id = newId('ten', 0x017f22e279b0)
  assert.match(uuidOfId(id), /^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(uuidOfId(id.replace('ten_', 'key_')), uuidOfId(id))
})

for (const text of ['', 'ten_', 'ten_8zzzzzzzzzzzzzzzzzzzzzzzzz', 'ten_01KAD3M5E0000000000000000A', `${NO_TENANT}0`]) {
  test(`uuidOfId refuses '${text}'`, () => assert.throws(() => uuidOfId(text), RangeError))
}
