import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createRecordArray } from '#src/db/record-array.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

describe('arrays of composite values in binary format', () => {
  let database: TestDatabase
  before(async () => {
    database = await testDatabase()
    await database.db.query('create type sample as (t text, n bigint, at timestamptz, b bytea)')
  })
  after(() => database.drop())

  interface Sample {
    t: string | null
    n: number
    us: number
    b: Uint8Array
  }

  async function sent(samples: readonly Sample[], sizeHint?: number) {
    const array = createRecordArray(4, sizeHint)
    for (const { t, n, us, b } of samples) {
      array.begin()
      array.text(t)
      array.bigint(n)
      array.timestamptz(us)
      array.bytea(b)
    }
    const { rows } = await database.db.query<{ t: string | null; n: string; us: string; b: Buffer }>(
      `select t, n, (extract(epoch from at) * 1000000)::bigint as us, b from unnest($1::sample[])`,
      [array.end()],
    )
    return rows.map(({ t, n, us, b }) => ({ t, n: Number(n), us: Number(us), b: new Uint8Array(b) }))
  }

  const samples: Sample[] = [
    { t: 'täglich/日本 😀 "\\,{}', n: 1, us: 1_793_707_200_123_456, b: Uint8Array.of(0, 1, 92, 255) },
    { t: null, n: Number.MAX_SAFE_INTEGER, us: 0, b: new Uint8Array() },
    { t: '', n: -Number.MAX_SAFE_INTEGER, us: 946_684_799_999_999, b: new Uint8Array(70_000).fill(7) },
    { t: '日'.repeat(5000), n: 2 ** 32, us: 946_684_800_000_000, b: Uint8Array.of(1) },
    { t: 'NULL', n: -1, us: -1, b: Uint8Array.of(2) },
  ]

  for (const sizeHint of [0, 4096, 1_000_000]) {
    test(`every value arrives as it was given, whatever room was made (${sizeHint} bytes)`, async () => {
      assert.deepEqual(await sent(samples, sizeHint), samples)
    })
  }

  test('an array may be empty', async () => assert.deepEqual(await sent([]), []))

  test('text that is not Unicode arrives as U+FFFD', async () => {
    const [got] = await sent([{ t: 'x\ud800y', n: 0, us: 0, b: new Uint8Array() }])
    assert.equal(got?.t, 'x\ufffdy')
  })
})
