import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { bareRefusal, type FullAnswer, startSealedStub } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const client = () => new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', clock: impatientClock() })
const asked = () => stub.seen.map(({ url }) => url)

const page = (ids: unknown, nextCursor?: unknown): FullAnswer => ({
  status: 200,
  body: JSON.stringify({ success: true, data: ids, error: null, meta: { request_id: 'r', next_cursor: nextCursor } }),
})
const item = (n: number) => ({ id: `id_${n}`, created_at: 'then' })

describe('a list is read to its end, whatever the number of its pages', () => {
  const lists: [path: string, run: (sdk: Sealwire) => Promise<{ id: string; createdAt: string }[]>][] = [
    ['/api/v2/integrations', (sdk) => sdk.integrations.list()],
    ['/api/v2/security/api-keys', (sdk) => sdk.apiKeys.list()],
    ['/api/v2/vault/entries', (sdk) => sdk.vault.list()],
    ['/api/v2/recipients', (sdk) => sdk.recipients.list()],
  ]
  for (const [path, run] of lists) {
    test(path, async () => {
      stub.answerInTurn(
        () => page([item(1), item(2)], 'a+b/='),
        () => page([item(3)], 'c'),
        () => page([item(4)]),
      )
      const wanted = [1, 2, 3, 4].map((n) => ({ id: `id_${n}`, createdAt: 'then' }))
      assert.deepEqual([...(await run(client()))], wanted)
      assert.deepEqual(asked(), [
        `${path}?limit=200`,
        `${path}?limit=200&cursor=a%2Bb%2F%3D`,
        `${path}?limit=200&cursor=c`,
      ])
    })
  }
})

test('integrations that the server does not understand are named, from every page', async () => {
  const withUnread = (ids: unknown, notUnderstood: unknown, nextCursor?: string): FullAnswer => {
    const meta = { request_id: 'r', next_cursor: nextCursor, not_understood: notUnderstood }
    return { status: 200, body: JSON.stringify({ success: true, data: ids, error: null, meta }) }
  }
  stub.answerInTurn(
    () => withUnread([item(1)], ['int_a', 'int_b'], 'a'),
    () => page([item(2)], 'b'),
    () => withUnread([], ['int_c']),
  )
  const all = await client().integrations.list()
  assert.deepEqual(
    all.map(({ id }) => id),
    ['id_1', 'id_2'],
  )
  assert.deepEqual(all.notUnderstood, ['int_a', 'int_b', 'int_c'])
  stub.answerWith(() => page([item(1)]))
  assert.deepEqual((await client().integrations.list()).notUnderstood, [])
  for (const wrong of ['int_a', [7]]) {
    stub.answerWith(() => withUnread([item(1)], wrong))
    assert.equal((await failureOf(client().integrations.list())).code, 'answer.invalid')
  }
})

test('a page that fails for now is asked for again, and those before it are not', async () => {
  stub.answerInTurn(
    () => page([item(1)], 'a'),
    () => bareRefusal(503, 'database.unavailable'),
    () => page([item(2)]),
  )
  const ids = (await client().vault.list()).map(({ id }) => id)
  assert.deepEqual(ids, ['id_1', 'id_2'])
  assert.deepEqual(asked().slice(1), Array(2).fill('/api/v2/vault/entries?limit=200&cursor=a'))
})

test('a list of 50 pages is read; one that goes on is refused and says so', async () => {
  stub.answerWith(() => page([item(stub.seen.length)], stub.seen.length < 50 ? 'more' : undefined))
  assert.equal((await client().apiKeys.list()).length, 50)
  stub.reset()
  stub.answerWith(() => page([item(1)], 'more'))
  const error = await failureOf(client().apiKeys.list())
  assert.equal(error.code, 'answer.too_large')
  assert.match(error.message, /longer than 50 pages of 200 items/)
  assert.equal(stub.seen.length, 50)
})

test('an answer that is not a page is refused', async () => {
  for (const answer of [page({ id: 'x' }), page('x'), page([item(1)], 7)]) {
    stub.answerWith(() => answer)
    assert.equal((await failureOf(client().integrations.list())).code, 'answer.invalid')
  }
  stub.answerWith(() => page([item(1)]))
  assert.equal((await client().integrations.list()).length, 1)
})
