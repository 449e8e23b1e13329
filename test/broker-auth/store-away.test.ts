// PostgreSQL away, slow and back, as every broker meets it: with nothing that may serve meanwhile, each question is refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BrokerRequest, brokers } from './failure-cases.ts'
import { documentOf, HOOK_SECRET, PASSWORD, startHooks } from './hook-harness.ts'

const document = documentOf({ id: 'ok', effect: 'allow', actions: ['publish'], topics: ['ok/#'] })
const DEADLINE_MS = 250
const SLACK_MS = 2_000

test('PostgreSQL away, slow and back: no broker gets a yes that was not judged', async (t) => {
  const h = await startHooks(t, {
    document,
    users: brokers.map(({ dialect }) => ({ username: `user-${dialect}` })),
    hook: { stale_s: 0 },
    hooks: brokers.flatMap(({ dialect }) => [
      { name: dialect, dialect, stale_s: 0 },
      { name: `${dialect}-slow`, dialect, stale_s: 0, deadline_ms: DEADLINE_MS },
    ]),
  })
  async function ask(name: string, { path, headers, body }: BrokerRequest): Promise<string> {
    const sent = Object.fromEntries(headers.map((line) => line.split(': ') as [string, string]))
    const { status, body: told } = await h.ask('', body, {
      url: `/mqtt/hooks/${name}/${HOOK_SECRET}${path}`,
      headers: sent,
    })
    return `${status} ${told}`
  }
  /** Something was changed, and the retry after a failure is due. */
  function changeUnseen(): void {
    for (const topic of ['policy', 'broker_session']) h.feed.send(topic, undefined)
    h.clock.advance(300)
  }
  for (const { dialect, login, publish, accepted, allowed, told } of brokers) {
    const who = { username: `user-${dialect}`, password: PASSWORD, clientId: `client-${dialect}` }
    await t.test(dialect, async () => {
      const slow = `${dialect}-slow`
      for (const name of [dialect, slow]) assert.match(await ask(name, login(who)), accepted)
      if (publish) assert.match(await ask(dialect, publish(who)), allowed)

      h.database.isDown = true
      const before = h.database.statements
      changeUnseen()
      const away = `${told.down.status} ${told.down.body}`
      assert.equal(await ask(dialect, login(who)), away)
      if (publish) assert.equal(await ask(dialect, publish(who)), away)
      if (publish) assert.equal(await ask(dialect, publish({ ...who, clientId: 'unknown' })), away)
      assert.ok(!publish || h.database.statements > before, 'nobody asked the database')

      h.database.isDown = false
      h.database.delayMs = 2_000
      changeUnseen()
      const started = performance.now()
      const answer = await ask(slow, (publish ?? login)(who))
      const took = performance.now() - started
      assert.ok(
        [told.down, told.slow].some(({ status, body }) => answer === `${status} ${body}`),
        answer,
      )
      assert.ok(took < DEADLINE_MS + SLACK_MS / 2, `${took} ms`)

      h.database.delayMs = 0
      changeUnseen()
      assert.match(await ask(dialect, login(who)), accepted)
      if (publish) assert.match(await ask(dialect, publish(who)), allowed)
    })
  }
})

test('a policy that is not there lets nobody do anything, at any broker', async (t) => {
  const h = await startHooks(t, { document, hooks: brokers.map(({ dialect }) => ({ name: dialect, dialect })) })
  h.activate(undefined)
  for (const { dialect, login, accepted } of brokers) {
    const { path, headers, body } = login({ username: 'alice', password: PASSWORD, clientId: 'a1' })
    const sent = Object.fromEntries(headers.map((line) => line.split(': ') as [string, string]))
    const answer = await h.ask('', body, { url: `/mqtt/hooks/${dialect}/${HOOK_SECRET}${path}`, headers: sent })
    assert.doesNotMatch(`${answer.status} ${answer.body}`, accepted, dialect)
  }
})
