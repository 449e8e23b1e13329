import assert from 'node:assert/strict'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { patience } from '#test/support/patience.ts'
import { runToExit, startServerProcess } from '#test/support/server-process.ts'

interface Ring {
  primary: string
  keys: { id: string; key: string; created_at: string }[]
}

/** What is wrong with the keys at a start, besides what `test/http/start.test.ts` has. Each is put right again. */
describe('a start with wrong keys exits within five seconds, names ids and never bytes', () => {
  let database: TestDatabase
  let home: string
  let env: Record<string, string>
  let ring: Ring
  let wrapped: string[]
  const ringFile = () => path.join(home, 'local-kms.json')

  async function startAndStop(): Promise<void> {
    const { child } = await startServerProcess(env)
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  }

  before(async () => {
    database = await testDatabase()
    home = await mkdtemp(path.join(tmpdir(), 'sealwire-matrix-'))
    env = { DATABASE_URL: database.url, DATA_DIR: home }
    await startAndStop()
    ring = JSON.parse(await readFile(ringFile(), 'utf8')) as Ring
    const { rows } = await database.db.query<{ wrapped: Buffer }>('select wrapped from keys where wrapped is not null')
    wrapped = rows.flatMap((row) => [row.wrapped.toString('base64'), row.wrapped.toString('hex')])
    assert.ok(wrapped.length >= 14)
    await cp(ringFile(), `${ringFile()}.right`)
    await database.db.query('create table kept as select * from keys')
  })
  after(async () => {
    await database.drop()
    await rm(home, { recursive: true, force: true })
  })

  async function restore(): Promise<void> {
    await cp(`${ringFile()}.right`, ringFile())
    await database.db.query('delete from keys')
    await database.db.query('insert into keys select * from kept')
    await database.db.query(
      `create unique index if not exists keys_one_active on keys (tenant_id, purpose)
       where state = 'active' and purpose not in ('recipient-seed', 'mac-key')`,
    )
  }

  const idOf = async (purpose: string) => {
    const { rows } = await database.db.query<{ id: string }>('select id from kept where purpose = $1', [purpose])
    assert.ok(rows[0])
    return rows[0].id
  }
  const double = async (purpose: string) => {
    await database.db.query('drop index keys_one_active')
    await database.db.query(
      `insert into keys select 'second_id', tenant_id, purpose, state, public, wrapped, kms_key_id, created_at, not_before
       from keys where purpose = $1 and tenant_id = '-'`,
      [purpose],
    )
  }
  const otherRing = (text: string) => writeFile(ringFile(), text)
  const someKey = Buffer.alloc(32, 7).toString('base64')

  const cases: { what: string; wrong: () => Promise<unknown>; names: () => Promise<string[]> | string[] }[] = [
    {
      what: 'a ring with two primaries',
      wrong: () => otherRing(JSON.stringify(ring).replace('{', `{"primary":"${ring.primary}",`)),
      names: () => ['primary'],
    },
    {
      what: 'a ring with two keys of one id',
      wrong: () => otherRing(JSON.stringify({ ...ring, keys: [...ring.keys, { ...ring.keys[0], key: someKey }] })),
      names: () => [ring.primary],
    },
    {
      what: 'a ring of another deployment, with the right length',
      wrong: () =>
        otherRing(
          JSON.stringify({
            ...ring,
            primary: 'local-other',
            keys: [{ ...ring.keys[0], id: 'local-other', key: someKey }],
          }),
        ),
      names: async () => [await idOf('canary'), ring.primary, 'local-other'],
    },
    ...['issuer-key', 'root-key'].flatMap((purpose) => [
      {
        what: `two active keys for ${purpose}`,
        wrong: () => double(purpose),
        names: async () => [await idOf(purpose), 'second_id'],
      },
      {
        what: `no active ${purpose}`,
        wrong: () => database.db.query(`update keys set state = 'retired' where purpose = $1`, [purpose]),
        names: () => [purpose],
      },
    ]),
    {
      what: 'a canary that does not open',
      wrong: () =>
        database.db.query(
          `update keys set public = set_bit(public, 2290 * 8, 1 - get_bit(public, 2290 * 8)) where purpose = 'canary'`,
        ),
      names: async () => [await idOf('canary'), ring.primary],
    },
    {
      what: 'an issuer whose wrap is that of another key',
      wrong: () =>
        database.db.query(
          `update keys set wrapped = (select wrapped from kept where purpose = 'audit-key') where purpose = 'issuer-key'`,
        ),
      names: async () => [await idOf('issuer-key'), ring.primary],
    },
  ]

  for (const { what, wrong, names } of cases) {
    test(what, async () => {
      try {
        await wrong()
        const { code, said, ms } = await runToExit(env)
        assert.equal(code, 1, said)
        assert.ok(ms < patience(5_000), `took ${Math.round(ms)} ms`)
        for (const name of await names()) assert.ok(said.includes(name), `${name} is not in: ${said}`)
        for (const bytes of [...wrapped, ...ring.keys.map(({ key }) => key), someKey]) {
          assert.ok(!said.includes(bytes.slice(0, 40)), 'the message holds key bytes')
        }
      } finally {
        await restore()
      }
    })
  }

  test('the twin of all these, with nothing wrong, starts', () => startAndStop())
})
