import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { runCli } from '#test/support/cli.ts'
import { bareRefusal, bareSuccess, startSealedStub } from '#test/support/sealed-answers.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-acl-server-'))
const stub = await startSealedStub()
after(async () => {
  await stub.close()
  await rm(folder, { recursive: true })
})
beforeEach(() => stub.reset())

const ID = 'pol_01kat4hvr07rf9mm9f7nrvz4gg'
const env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: 'qs_test_key' }
const acl = (...args: string[]) => runCli(['acl', ...args], { env })

const document = {
  schema: 'mqtt-policy/1',
  id: 'plant',
  'x-made_by': { line_no: 4 },
  rules: [{ id: 'own', effect: 'allow', actions: ['publish'], topics: ['s/${clientId}/#'], retain: 'forbid' }],
  tests: [{ as: { clientId: 'd1' }, do: 'publish', topic: 's/d1/t', expect: 'allow' }],
}
const wire = {
  id: ID,
  name: 'plant',
  version: 7,
  active_revision: 4,
  latest_revision: 5,
  rules: 1,
  sha256: '00',
  created_at: 'then',
  updated_at: 'now',
}

async function file(name: string, content: object): Promise<string> {
  const place = path.join(folder, name)
  await writeFile(place, JSON.stringify(content))
  return place
}

const unstated = await file('unstated.json', document)
const stated = (revision: number) => file(`revision-${revision}.json`, { ...document, revision })
const failing = await file('failing.json', {
  ...document,
  tests: [{ as: {}, do: 'publish', topic: 'x', expect: 'allow' }],
})
const bodyOf = (request = stub.seen.at(-1)) => JSON.parse(Buffer.from(request?.body ?? []).toString()) as object
const asked = () => stub.seen.map(({ method, url }) => `${method} ${url}`)

describe('acl get', () => {
  test('prints the document that decides, as its author wrote it, and names its revision', async () => {
    const kept = { ...document, revision: 4 }
    stub.answerWith(() => bareSuccess({ ...wire, document: kept }))
    assert.deepEqual(await acl('get', ID), {
      code: 0,
      out: JSON.stringify(kept, null, 2),
      err: `${ID} revision 4`,
    })
    assert.equal((await acl('get', ID, '--compact')).out, JSON.stringify(kept))
    assert.deepEqual(asked(), [`GET /api/v2/policies/${ID}`, `GET /api/v2/policies/${ID}`])
  })

  test('--revision prints another one', async () => {
    stub.answerWith(() => bareSuccess({ revision: 3, document: { ...document, revision: 3 } }))
    const { code, out } = await acl('get', ID, '--revision', '3', '--compact')
    assert.deepEqual([code, (JSON.parse(out) as { revision: number }).revision], [0, 3])
    assert.deepEqual(asked(), [`GET /api/v2/policies/${ID}/revisions/3`])
    assert.equal((await acl('get', ID, '--revision', '0')).code, 2)
  })

  test('one that is not there exits 1, a key that is missing 2', async () => {
    stub.answerWith(() => bareRefusal(404, 'object.not_found'))
    assert.equal((await acl('get', ID)).code, 1)
    assert.equal((await runCli(['acl', 'get', ID], { env: { SEALWIRE_URL: stub.url } })).code, 2)
  })
})

describe('acl create', () => {
  test('stores a policy and prints its id alone, so that a shell can take it', async () => {
    stub.answerWith(() => bareSuccess({ ...wire, active_revision: 1 }, 201))
    assert.deepEqual(await acl('create', unstated, '--name', 'plant 4'), {
      code: 0,
      out: ID,
      err: `${ID} is stored: revision 1, 1 rule`,
    })
    assert.deepEqual(bodyOf(), { name: 'plant 4', document })
    const json = JSON.parse((await acl('create', unstated, '--json')).out) as { id: string; activeRevision: number }
    assert.deepEqual([json.id, json.activeRevision], [ID, 1])
    assert.deepEqual(bodyOf(), { document })
  })

  test('a policy whose tests fail, or that is none, is not sent', async () => {
    const { code, out, err } = await acl('create', failing)
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /failing\.json:1:\d+: tests\[0\]: "tests\[0\]" expected allow; got deny/)
    assert.equal((await acl('create', await file('none.json', { rules: 1 }))).code, 1)
    assert.deepEqual(asked(), [])
  })
})

describe('acl update', () => {
  beforeEach(() => {
    stub.answerWith(({ method }) =>
      method === 'GET'
        ? bareSuccess({ ...wire, document })
        : bareSuccess({ ...wire, version: 8, active_revision: 6, latest_revision: 6 }),
    )
  })

  const ifMatch = () => stub.seen.at(-1)?.headers['if-match']

  for (const revision of [4, 5]) {
    test(`a file that was made from revision ${revision} replaces it: the ${revision === 4 ? 'active' : 'latest'} one`, async () => {
      const { code, out, err } = await acl('update', ID, await stated(revision))
      assert.deepEqual([code, out, err], [0, `${ID} revision 6`, 'it decides from now on, with 1 rule'])
      assert.deepEqual(asked(), [`GET /api/v2/policies/${ID}`, `PATCH /api/v2/policies/${ID}`])
      assert.deepEqual([ifMatch(), bodyOf()], ['"7"', { document: { ...document, revision } }])
    })
  }

  test('a file that was made from an older one changes nothing', async () => {
    const { code, out, err } = await acl('update', ID, await stated(3))
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, /is at revision 5, not 3: nothing was changed; compare it with: sealwire acl get/)
    assert.deepEqual(asked(), [`GET /api/v2/policies/${ID}`])
  })

  test('--if-revision says it for a file that does not', async () => {
    assert.equal((await acl('update', ID, unstated, '--if-revision', '5')).code, 0)
    assert.equal((await acl('update', ID, unstated, '--if-revision', '3')).code, 1)
    assert.deepEqual(asked().filter((one) => one.startsWith('PATCH')).length, 1)
  })

  test('without either it is misuse, and the hint says how to go on', async () => {
    const { code, err } = await acl('update', ID, unstated)
    assert.equal(code, 2)
    assert.match(err, /hint: the latest is 5: .*pass --if-revision 5/)
    const both = await acl('update', ID, await stated(4), '--if-revision', '5')
    assert.equal(both.code, 2)
    assert.match(both.err, /--if-revision says 5, the file says it was made from revision 4/)
    assert.ok(asked().every((one) => one.startsWith('GET')))
  })

  test('--if-match sends the ETag that it is given, and the server judges it', async () => {
    assert.equal((await acl('update', ID, unstated, '--if-match', '"6"')).code, 0)
    assert.equal(ifMatch(), '"6"')
    stub.answerWith(({ method }) =>
      method === 'GET' ? bareSuccess({ ...wire, document }) : bareRefusal(412, 'precondition.failed'),
    )
    const stale = await acl('update', ID, unstated, '--if-match', '5')
    assert.equal(stale.code, 1)
    assert.match(stale.err, /error: precondition\.failed/)
    assert.equal((await acl('update', ID, unstated, '--if-match', 'W/"5"')).code, 2)
    assert.equal((await acl('update', ID, unstated, '--if-match', '5', '--if-revision', '4')).code, 2)
  })

  test('a policy whose tests fail is not sent, and nothing is asked', async () => {
    assert.equal((await acl('update', ID, failing, '--if-revision', '5')).code, 1)
    assert.deepEqual(asked(), [])
  })

  test('--json prints the policy as it is now', async () => {
    const { out } = await acl('update', ID, await stated(4), '--json')
    assert.equal((JSON.parse(out) as { version: number }).version, 8)
  })
})

describe('against the server', () => {
  let api: ApiServer
  before(async () => {
    api = await startApiServer()
  })
  after(() => api.close())

  test('create, get, change, update; a second change of the first revision is refused', async () => {
    const server = { env: { SEALWIRE_URL: api.url, SEALWIRE_API_KEY: api.ownerKey } }
    const created = await runCli(['acl', 'create', unstated], server)
    assert.equal(created.code, 0, created.err)
    const id = created.out
    const got = await runCli(['acl', 'get', id], server)
    assert.deepEqual(JSON.parse(got.out), { ...document, revision: 1 })
    assert.equal((await runCli(['acl', 'validate', '-'], { stdin: utf8(got.out) })).code, 0)

    const changed = await file('changed.json', { ...document, description: 'new', revision: 1 })
    const updated = await runCli(['acl', 'update', id, changed], server)
    assert.deepEqual([updated.code, updated.out], [0, `${id} revision 2`], updated.err)
    const again = await runCli(['acl', 'update', id, changed], server)
    assert.equal(again.code, 1)
    assert.match(again.err, /is at revision 2, not 1/)
    const old = await runCli(['acl', 'get', id, '--revision', '1', '--compact'], server)
    assert.equal((JSON.parse(old.out) as { description?: string }).description, undefined)
    const missing = await runCli(['acl', 'get', ID], server)
    assert.equal(missing.code, 1)
    assert.match(missing.err, /object\.not_found/)
  })
})
