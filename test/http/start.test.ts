import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { patience } from '#test/support/patience.ts'
import { runToExit, startServerProcess } from '#test/support/server-process.ts'

interface Ring {
  version: 1
  primary: string
  keys: { id: string; key: string; created_at: string }[]
}

describe('the start', () => {
  let database: TestDatabase
  let home: string
  let env: Record<string, string>
  let ring: Ring
  let secret: string
  const ringFile = () => path.join(home, 'local-kms.json')

  async function startAndStop(more: Record<string, string> = {}): Promise<void> {
    const { child } = await startServerProcess({ ...env, ...more })
    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number]
    assert.equal(code, 0)
  }

  before(async () => {
    database = await testDatabase()
    home = await mkdtemp(path.join(tmpdir(), 'sealwire-start-'))
    env = { DATABASE_URL: database.url, DATA_DIR: home }
    await startAndStop()
    ring = JSON.parse(await readFile(ringFile(), 'utf8')) as Ring
    secret = ring.keys[0]?.key ?? ''
  })
  after(async () => {
    await database.drop()
    await rm(home, { recursive: true, force: true })
  })

  /** Puts another ring file in place for one start, and the right one back. */
  async function refusedWith(change: () => Promise<void>): Promise<string> {
    await cp(ringFile(), `${ringFile()}.right`)
    try {
      await change()
      const { code, said, ms } = await runToExit(env)
      assert.equal(code, 1, said)
      assert.ok(ms < patience(5_000), `took ${Math.round(ms)} ms`)
      assert.ok(secret.length >= 43 && !said.includes(secret), 'the message holds key bytes')
      return said
    } finally {
      await rm(ringFile(), { force: true })
      await cp(`${ringFile()}.right`, ringFile())
      await chmod(ringFile(), 0o600)
    }
  }
  const writeRing = (one: unknown) => async () =>
    writeFile(ringFile(), typeof one === 'string' ? one : JSON.stringify(one), { mode: 0o600 })

  test('a key of the right length under the same id is refused, and the message names ids', async () => {
    const [first] = ring.keys
    assert.ok(first)
    const key = first.key.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A'))
    const said = await refusedWith(writeRing({ ...ring, keys: [{ ...first, key }] }))
    assert.match(said, new RegExp(ring.primary))
  })

  test('a ring without the key is refused, and the message names ids', async () => {
    const [first] = ring.keys
    assert.ok(first)
    const renamed = { ...first, id: first.id.replace(/.$/, (last) => (last === '0' ? '1' : '0')) }
    const said = await refusedWith(writeRing({ ...ring, primary: renamed.id, keys: [renamed] }))
    assert.match(said, new RegExp(ring.primary))
  })

  test('a missing ring is refused: a new one would open nothing', async () => {
    await refusedWith(() => rm(ringFile()))
  })

  test('a ring that others can read is refused', async () => {
    await refusedWith(() => chmod(ringFile(), 0o644))
  })

  test('a ring that is not JSON, or names a primary it does not have, is refused', async () => {
    await refusedWith(writeRing('{'))
    await refusedWith(writeRing({ ...ring, primary: 'nobody' }))
  })

  test('keys that are gone from the database stop the start', async () => {
    await database.db.query('create table kept as select * from keys')
    await database.db.query('delete from keys')
    const { code, said } = await runToExit(env)
    await database.db.query('insert into keys select * from kept')
    await database.db.query('drop table kept')
    assert.equal(code, 1)
    assert.match(said, /no keys/)
  })

  test('a wrong configuration names every bad variable at once and prints no value', async () => {
    const { code, said } = await runToExit({
      ...env,
      PORT: 'canary-1',
      LOG_LEVEL: 'canary-2',
      OUTBOUND_ALLOW: 'canary-3',
      KMS_PROVIDER: 'aws',
    })
    assert.equal(code, 1)
    for (const name of ['PORT', 'LOG_LEVEL', 'OUTBOUND_ALLOW']) assert.match(said, new RegExp(name))
    assert.ok(!said.includes('canary'))
  })

  test('DEBUG=mqttjs* is refused, because it prints passwords', async () => {
    const { code, said } = await runToExit({ ...env, DEBUG: 'mqttjs*' })
    assert.equal(code, 1)
    assert.match(said, /DEBUG/)
  })

  test('a port that is taken ends the start with a message that names it', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const { code, said } = await runToExit({ ...env, PORT: String(port) })
    taken.close()
    assert.equal(code, 1)
    assert.match(said, new RegExp(String(port)))
  })

  test('a database that is not there ends the start within five seconds', async () => {
    const { code, ms } = await runToExit({ ...env, DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none' })
    assert.equal(code, 1)
    assert.ok(ms < patience(5_000), `took ${Math.round(ms)} ms`)
  })

  test('the twin of all these, with nothing wrong, starts', () => startAndStop())
})
