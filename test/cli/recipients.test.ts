import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, beforeEach, describe, test } from 'node:test'
import { parseRecipient, serialiseRecipient, X_WING_SUITE } from '#src/sdk/index.ts'
import { runCli } from '#test/support/cli.ts'
import {
  bareRefusal,
  bareSuccess,
  type Responder,
  type SeenRequest,
  startSealedStub,
} from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
const root = await mkdtemp(path.join(tmpdir(), 'sealwire-cli-'))
after(async () => {
  await stub.close()
  await rm(root, { recursive: true })
})

const KEY_ID = '01kat4hvr07rf9mm9f7nrvz4gg'
const OLD = serialiseRecipient(stub.recipient)
const INFO = {
  id: stub.recipient.recipientId,
  api_key_id: `key_${KEY_ID}`,
  name: 'line 4\u0007',
  custody: 'client',
  suite: X_WING_SUITE,
  state: 'active',
  kem_key_id: stub.recipient.kemKeyId,
  mac_key_id: stub.recipient.macKeyId,
  created_at: '2026-11-21T09:00:00.000Z',
  confirmed_at: null,
}

let folder: string
let file: string
let env: Record<string, string>
let confirms: Responder | undefined
let enrols: Responder | undefined
let enrol: Responder
beforeEach(async () => {
  folder = await mkdtemp(path.join(root, 'case-'))
  file = path.join(folder, 'recipient.json')
  await writeFile(file, OLD, { mode: 0o600 })
  env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: `qs_test_${KEY_ID}_secret`, SEALWIRE_RECIPIENT: file }
  stub.reset()
  confirms = undefined
  enrols = undefined
  enrol = stub.enrolment()
  stub.answerWith(route)
})

function route(request: SeenRequest): ReturnType<Responder> {
  if (request.url.includes('/recipients?limit')) return bareSuccess([INFO])
  if (request.method === 'GET') return bareSuccess(INFO)
  if (request.method === 'DELETE') return bareSuccess({ ...INFO, state: 'revoked' })
  if (request.url.endsWith('/confirm')) return (confirms ?? enrol)(request)
  return (enrols ?? enrol)(request)
}

const sealwire = (...args: string[]) => runCli(['recipients', ...args], { env })
const rotate = (...more: string[]) => sealwire('rotate', ...more)
const enroll = (out: string) =>
  sealwire('enroll', '--out', out, '--name', 'x', '--root-fingerprint', stub.deployment.root)
const content = () => readFile(file, 'utf8')
const asked = () => stub.seen.map(({ method, url }) => `${method} ${url.split('/').at(-1)}`)

/** A server that hears the proof, and whose answer is lost. */
const loseAnswer: Responder = async (request) => {
  await enrol(request)
  return 'break the connection' as const
}

test('list prints a line for each, show the members of one; control characters do not reach the terminal', async () => {
  const listed = await sealwire('list')
  const line = `${INFO.id}  active   client  x-wing      key_${KEY_ID}  ${INFO.created_at}  line 4\\u{7}`
  assert.deepEqual(listed, { code: 0, out: line, err: '' })
  assert.equal(JSON.parse((await sealwire('list', '--json')).out)[0].apiKeyId, INFO.api_key_id)

  const shown = await sealwire('show', INFO.id)
  assert.match(shown.out, /^id {10}rcp_\w+\napiKeyId {4}key_\w+\nname {8}line 4\\u\{7\}\n/)
  assert.match(shown.out, /\nsuite {7}x-wing\nstate {7}active\n/)
  assert.equal(JSON.parse((await sealwire('show', '--json')).out).id, INFO.id)
  assert.equal(stub.seen.at(-1)?.url, `/api/v2/recipients/${stub.recipient.recipientId}`)
})

test('revoke says what was ended', async () => {
  const { code, out } = await sealwire('revoke', INFO.id)
  assert.deepEqual([code, out], [0, `revoked ${INFO.id} of key_${KEY_ID}`])
})

test('enroll --suite x-wing makes a key of that suite', async () => {
  const out = path.join(folder, 'x-wing.json')
  assert.equal((await sealwire('enroll', '--out', out, '--suite', 'x-wing')).code, 0)
  assert.equal(parseRecipient(await readFile(out, 'utf8')).suite, X_WING_SUITE)
  assert.equal((await sealwire('enroll', '--out', path.join(folder, 'y'), '--suite', 'rsa')).code, 2)
})

describe('rotate', () => {
  test('puts the new recipient in place of the old one, mode 0600, and leaves nothing else', async () => {
    const { code, out, err } = await rotate('--suite', 'x-wing')
    assert.equal(code, 0, err)
    const next = parseRecipient(await content())
    assert.deepEqual([next.recipientId, next.suite, next.root], [out, X_WING_SUITE, stub.deployment.root])
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(folder), ['recipient.json'])
  })

  test('before the server switches, old and new are both on the disk', async () => {
    let seen: { old: string; next: string } | undefined
    confirms = async (request) => {
      seen = { old: await content(), next: await readFile(`${file}.pending`, 'utf8') }
      return enrol(request)
    }
    assert.equal((await rotate()).code, 0)
    assert.equal(seen?.old, OLD)
    assert.equal(seen.next, await content())
  })

  test('refused, it leaves the old file as it is, and no other', async () => {
    confirms = () => bareRefusal(404, 'object.not_found')
    assert.equal((await rotate()).code, 1)
    assert.equal(await content(), OLD)
    assert.deepEqual(await readdir(folder), ['recipient.json'])
  })

  test('interrupted at the last answer, it says so; the same command then finishes it without a new key', async () => {
    confirms = loseAnswer
    const first = await rotate()
    assert.equal(first.code, 3)
    assert.match(first.err, /hint: run the same command again/)
    assert.equal(await content(), OLD)
    const pending = await readFile(`${file}.pending`, 'utf8')
    confirms = undefined
    const before = stub.seen.length
    const second = await rotate()
    assert.deepEqual([second.code, second.out], [0, parseRecipient(pending).recipientId])
    assert.match(second.err, /finished a rotation that was interrupted/)
    assert.deepEqual(asked().slice(before), ['POST confirm'])
    assert.equal(await content(), pending)
    assert.deepEqual(await readdir(folder), ['recipient.json'])
  })

  test('what can no longer be confirmed is not thrown away: it may be of another API key', async () => {
    confirms = loseAnswer
    await rotate()
    confirms = () => bareRefusal(404, 'object.not_found')
    const { code, err } = await rotate()
    assert.equal(code, 2)
    assert.match(err, /can no longer be confirmed with this API key[\s\S]*hint: use the API key it was made with/)
    assert.deepEqual((await readdir(folder)).sort(), ['recipient.json', 'recipient.json.pending'])
  })

  test('beside another command that is under way it does nothing', async () => {
    await writeFile(`${file}.pending`, '', { mode: 0o600 })
    const { code, err } = await rotate()
    assert.deepEqual([code, stub.seen.length], [2, 0])
    assert.match(err, /another command is under way[\s\S]*hint: if none is under way: rm /)
    assert.equal(await content(), OLD)
  })

  test('through a link it replaces the file, not the link', async () => {
    const link = path.join(folder, 'link.json')
    await symlink(file, link)
    assert.equal((await rotate('--recipient', link)).code, 0)
    assert.notEqual(await content(), OLD)
    assert.equal(await readFile(link, 'utf8'), await content())
    assert.deepEqual((await readdir(folder)).sort(), ['link.json', 'recipient.json'])
  })

  test('with the API key of another enrolment it says whose file it is, and enrols nothing', async () => {
    env['SEALWIRE_API_KEY'] = 'qs_test_01kat4hvr07rf9mm9f7nrvz4gh_secret'
    const { code, err } = await rotate()
    assert.equal(code, 1)
    assert.match(err, new RegExp(`belongs to key_${KEY_ID}, not to the API key`))
    assert.deepEqual(asked(), [`GET ${INFO.id}`])
  })

  test('a server that moved is named by --base-url, and stays in the new file', async () => {
    env['SEALWIRE_URL'] = ''
    const moved = `${stub.url}/moved`
    assert.equal((await rotate('--base-url', moved)).code, 0)
    assert.equal(parseRecipient(await content()).baseUrl, moved)
  })

  test('a file that others can read is refused before anything is sent', async () => {
    await chmod(file, 0o644)
    const { code, err } = await rotate()
    assert.deepEqual([code, stub.seen.length], [2, 0])
    assert.match(err, /hint: chmod 600/)
  })
})

describe('enroll', () => {
  test('an answer that got lost at the end does not lose the file; the same command finishes it', async () => {
    const out = path.join(folder, 'new.json')
    confirms = loseAnswer
    const first = await enroll(out)
    assert.equal(first.code, 3)
    assert.match(first.err, /hint: run the same command again/)
    confirms = undefined
    const second = await enroll(out)
    assert.equal(second.code, 0, second.err)
    assert.equal(parseRecipient(await readFile(out, 'utf8')).recipientId, second.out)
    assert.deepEqual((await readdir(folder)).sort(), ['new.json', 'recipient.json'])
  })

  test('where an API key had a recipient before, it teaches who may give it another one', async () => {
    enrols = () => {
      const answer = bareRefusal(403, 'auth.forbidden')
      const body = answer.body as { error: object }
      return { ...answer, body: { ...body, error: { ...body.error, details: { scope: 'keys:manage' } } } }
    }
    for (const { code, err } of [await enroll(path.join(folder, 'new.json')), await rotate()]) {
      assert.equal(code, 1)
      assert.match(err, /note: this API key had a recipient before/)
      assert.match(err, /hint: .*sealwire recipients revoke rcp_…\nhint: .*sealwire api-keys create NAME --role editor/)
      assert.match(err, /error: auth\.forbidden/)
    }
    assert.deepEqual(await readdir(folder), ['recipient.json'])
  })
})

test('the help teaches what to do about a lost file, a second machine, a moved one', async () => {
  const { out } = await runCli(['recipients', '--help'])
  for (const word of [
    'A second machine',
    'A lost file',
    'A stolen file',
    'A moved file',
    '--base-url',
    'recipients revoke',
  ])
    assert.ok(out.includes(word), word)
})
