import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { runCli } from '#test/support/cli.ts'
import { bareRefusal, bareSuccess, startSealedStub } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-cli-'))
after(async () => {
  await stub.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => stub.reset())

const env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: 'qs_test_key' }
const ID = 'int_01kat4hvr07rf9mm9f7nrvz4gg'
const KEY = Buffer.alloc(32, 7).toString('base64url')
const UNLOCKED = {
  id: ID,
  locked: false,
  unlocked_until: '2026-11-21T10:00:00.000Z',
  held_by: 'this_process',
  process_id: '9f2c41d07be6a853',
}
const bodyOf = () => JSON.parse(Buffer.from(stub.seen[0]?.body ?? []).toString()) as unknown

test('unlock reads the custody key from standard input, and says which process holds it', async () => {
  stub.answerWith(() => bareSuccess(UNLOCKED))
  const args = ['integrations', 'unlock', ID, '--custody-key-file', '-', '--ttl-s', '900']
  assert.deepEqual(await runCli(args, { env, stdin: utf8(`${KEY}\n`) }), {
    code: 0,
    out: `unlocked ${ID} until 2026-11-21T10:00:00.000Z in process 9f2c41d07be6a853`,
    err: '',
  })
  assert.deepEqual(bodyOf(), { custody_key: KEY, ttl_s: 900 })
})

test('unlock reads it from a file; --json prints JSON', async () => {
  stub.answerWith(() => bareSuccess(UNLOCKED))
  const file = path.join(folder, 'line-4.custody')
  await writeFile(file, KEY, { mode: 0o600 })
  const { code, out } = await runCli(['integrations', 'unlock', ID, '--custody-key-file', file, '--json'], { env })
  assert.deepEqual(
    [code, JSON.parse(out)],
    [0, { id: ID, unlocked_until: '2026-11-21T10:00:00.000Z', process_id: '9f2c41d07be6a853' }],
  )
  assert.deepEqual(bodyOf(), { custody_key: KEY })
})

test('the key is never an argument, and what is no key is not repeated', async () => {
  assert.equal((await runCli(['integrations', 'unlock', ID], { env })).code, 2)
  assert.equal((await runCli(['integrations', 'unlock', ID, KEY], { env })).code, 2)
  assert.equal((await runCli(['integrations', 'unlock', ID, '--custody-key', KEY], { env })).code, 2)
  const args = ['integrations', 'unlock', ID, '--custody-key-file', '-']
  const { code, out, err } = await runCli(args, { env, stdin: utf8('correct horse') })
  assert.deepEqual([code, out], [1, ''])
  assert.match(err, /^error: request\.invalid: Custody key: not 32 bytes/)
  assert.ok(!err.includes('correct horse'))
  assert.equal(stub.seen.length, 0)
})

test('a time out of bounds is misuse', async () => {
  for (const ttl of ['59', '86401', '1.5', 'soon']) {
    const args = ['integrations', 'unlock', ID, '--custody-key-file', '-', '--ttl-s', ttl]
    assert.equal((await runCli(args, { env, stdin: utf8(KEY) })).code, 2, ttl)
  }
  assert.equal(stub.seen.length, 0)
})

test('lock names what it locked', async () => {
  stub.answerWith(() => bareSuccess({ id: ID, locked: true, process_id: 'p' }))
  assert.deepEqual(await runCli(['integrations', 'lock', ID], { env }), { code: 0, out: `locked ${ID}`, err: '' })
  assert.deepEqual([stub.seen[0]?.method, stub.seen[0]?.url], ['POST', `/api/v2/integrations/${ID}/lock`])
})

test('a locked integration exits 1 and says how to unlock it', async () => {
  stub.answerWith(() => bareRefusal(423, 'integration.locked'))
  const { code, err } = await runCli(['integrations', 'lock', ID], { env })
  assert.equal(code, 1)
  assert.match(err, /hint: .*sealwire integrations unlock ID --custody-key-file FILE/)
})
