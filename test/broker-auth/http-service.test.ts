import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type HookedServer, startHookedServer } from '#test/support/hooked-server.ts'
import { HASH, PASSWORD } from './hook-harness.ts'

const document = {
  schema: 'mqtt-policy/1',
  id: 'line',
  rules: [{ id: 'stored', effect: 'allow', actions: ['publish'], topics: ['plant/#'] }],
} as const

const DEADLINE_MS = 2_000

interface Question {
  readonly clientId: string
  readonly username: string
  readonly password: string
}

describe('a hook whose clients a service of the operator judges', () => {
  const questions: Question[] = []
  let answer: (res: ServerResponse, question: Question) => void
  let service: Server
  let server: HookedServer
  before(async () => {
    service = createServer(async (req, res) => {
      let text = ''
      for await (const chunk of req.setEncoding('utf8')) text += chunk as string
      const question = JSON.parse(text) as Question
      questions.push(question)
      answer(res, question)
    }).listen(0, '127.0.0.1')
    await once(service, 'listening')
    const { port } = service.address() as AddressInfo
    server = await startHookedServer({
      document,
      users: [{ username: 'press', password_hash: HASH, enabled: true }],
      providers: { service: { type: 'http', url: `http://127.0.0.1:${port}/check` } },
      hook: { providers: ['service', 'devices'], deadline_ms: DEADLINE_MS },
    })
  })
  after(async () => {
    await server.close()
    service.closeAllConnections()
    service.close()
  })

  const says = (body: object, status = 200) => {
    answer = (res) => void res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  const login = (clientid: string, username = 'press', password = PASSWORD) =>
    server.ask('user', { username, password, clientid })
  const publish = (clientid: string, topic: string) => server.ask('acl', { username: 'press', clientid, topic, acc: 2 })

  /** Why each of these clients was not let in the last time; looked at in the end, since rows are written every second. */
  const reasons = new Map<string, string>()

  test('its yes lets in, its rules add to the stored ones, and a deny of either denies', async () => {
    const rules = [
      { id: 'own', effect: 'allow', actions: ['publish'], topics: ['own/#'] },
      { id: 'not', effect: 'deny', actions: ['publish'], topics: ['plant/secret/#'] },
    ]
    says({ result: 'success', rules })
    assert.equal(await login('c1'), 200)
    assert.deepEqual(questions.at(-1), { clientId: 'c1', username: 'press', password: PASSWORD })
    const answers = [
      await publish('c1', 'plant/a'),
      await publish('c1', 'own/a'),
      await publish('c1', 'plant/secret/a'),
      await publish('c1', 'other/a'),
    ]
    assert.deepEqual(answers, [200, 200, 403, 403])
  })

  test('rules with a fault let nobody in', async () => {
    says({ result: 'success', rules: [{ id: 'own', effect: 'allow' }] })
    assert.equal(await login('c2'), 403)
    reasons.set('c2', 'rules-invalid')
    assert.equal(await publish('c2', 'plant/a'), 403)
  })

  test('its no is final, its skip is not', async () => {
    says({ result: 'failure' })
    assert.equal(await login('c3'), 403)
    reasons.set('c3', 'service-refused')
    says({ result: 'skipped' })
    assert.equal(await login('c3-skipped'), 200) // the users file knows press
    assert.equal(await login('c3-skipped', 'press', 'wrong'), 403)
  })

  for (const [why, broken] of [
    ['an error', (res: ServerResponse) => void res.writeHead(500).end()],
    ['a reset', (res: ServerResponse) => void res.socket?.resetAndDestroy()],
  ] as const) {
    test(`after ${why} of the service nobody is asked in its place, although the users file knows the client`, async () => {
      answer = broken
      const asked = questions.length
      const clientId = `broken ${why}`.replaceAll(' ', '-')
      const status = await login(clientId)
      assert.ok(status >= 400, String(status))
      // A connection that was kept may have been closed before it was read, so a reset there is tried once more.
      assert.ok([1, 2].includes(questions.length - asked), `${questions.length - asked} questions`)
      reasons.set(clientId, 'unavailable')
      assert.ok((await publish(clientId, 'plant/a')) >= 400)
    })
  }

  test('an empty answer is no yes', async () => {
    answer = (res) => void res.writeHead(200).end()
    assert.equal(await login('c4'), 403)
    reasons.set('c4', 'service-refused')
  })

  test('an answer that takes too long refuses in time, and is there at the next try', async () => {
    const held = Promise.withResolvers<ServerResponse>()
    answer = (res) => held.resolve(res)
    const asked = questions.length
    const startedMs = performance.now()
    assert.ok((await login('c5')) >= 400)
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs >= DEADLINE_MS - 50 && tookMs < DEADLINE_MS + 2_000, `${tookMs} ms`)
    const late = await held.promise
    late.end(JSON.stringify({ result: 'success' }))
    assert.equal(await login('c5'), 200)
    assert.equal(questions.length, asked + 1)
  })

  test('what a client calls itself reaches the service as it is, and nothing more', async () => {
    const username = '","result":"success","password":"${password}","x":"%0d\r\n&admin=1'
    says({ result: 'failure' })
    assert.equal(await login('c6', username, 'p"}'), 403)
    assert.deepEqual(questions.at(-1), { clientId: 'c6', username, password: 'p"}' })
  })

  test('why nobody was let in is in the list of unauthorised clients, with the provider', async () => {
    assert.equal(reasons.size, 5)
    const told = async () => {
      const rows = (await server.owner.unauthorisedClients.list()).filter(({ clientId }) => reasons.has(clientId ?? ''))
      for (const { provider } of rows) assert.equal(provider, 'service')
      return new Map(rows.map(({ clientId, reason }) => [clientId, reason]))
    }
    let rows = await told()
    for (let left = 100; left > 0 && rows.size < reasons.size; left--) {
      await delay(50)
      rows = await told()
    }
    assert.deepEqual(Object.fromEntries(rows), Object.fromEntries(reasons))
  })
})
