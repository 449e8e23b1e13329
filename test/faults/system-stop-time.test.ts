import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { patience } from '#test/support/patience.ts'
import { auditRows, integrate, openIntents, publish, type Stack, startSlowBroker, startStack } from './system-parts.ts'

describe('a stop', { concurrency: true }, () => {
  test('a stop waits no longer than what is in flight: SIGTERM gives notice for as long as it is told, SIGINT for none', async () => {
    const { broker, waiting } = await startSlowBroker()
    const stack = await startStack({ STOP_NOTICE_MS: '300' })
    try {
      const { integrationId } = await integrate(stack.call, broker.port)
      const answer = publish(stack.call, integrationId, { headers: { 'request-deadline-ms': '30000' } })
      await broker.received('publish')
      const exited = once(stack.server.child, 'exit')
      const signalledMs = performance.now()
      stack.server.child.kill('SIGTERM')
      setTimeout(() => waiting[0]?.(), 600)
      assert.equal((await answer).status, 200)
      assert.deepEqual(await exited, [0, null])
      const tookMs = performance.now() - signalledMs
      assert.ok(tookMs > 600 && tookMs < patience(5_000), `took ${Math.round(tookMs)} ms`)

      const idle = await stack.another({ STOP_NOTICE_MS: '5000' })
      const ended = once(idle.child, 'exit')
      const interruptedMs = performance.now()
      idle.child.kill('SIGINT')
      assert.deepEqual(await ended, [0, null])
      assert.ok(performance.now() - interruptedMs < patience(4_000))
    } finally {
      await stack.close()
      await broker.stop()
    }
  })

  test('a stop while the database says nothing ends in time all the same', async () => {
    const { broker } = await startSlowBroker()
    const stack = await startStack({ STOP_NOTICE_MS: '0' }, { proxied: true })
    try {
      const { integrationId } = await integrate(stack.call, broker.port)
      const headers = { 'request-deadline-ms': '5000' }
      const answers = Array.from({ length: 5 }, () => publish(stack.call, integrationId, { headers }))
      await broker.received('publish', 5)
      stack.proxy?.hang()
      const exited = once(stack.server.child, 'exit')
      const signalledMs = performance.now()
      stack.server.child.kill('SIGTERM')
      const statuses = (await Promise.all(answers)).map(({ status, code }) => `${status} ${code}`)
      assert.deepEqual(new Set(statuses), new Set(['504 outcome.unknown']))
      const [code, signal] = (await exited) as [number | null, string | null]
      const tookMs = performance.now() - signalledMs
      assert.equal(signal, null)
      assert.equal(code, 0)
      assert.ok(tookMs < patience(15_000), `took ${Math.round(tookMs)} ms`)
    } finally {
      await stack.close()
      await broker.stop()
    }
  })

  test('signals that follow the first change nothing, and a second ^C ends what runs at once, as unknown and on record', async () => {
    const { broker, waiting } = await startSlowBroker()
    const stack = await startStack({ STOP_NOTICE_MS: '0' })
    try {
      const { integrationId } = await integrate(stack.call, broker.port)
      const headers = { 'request-deadline-ms': '30000' }
      const answers = [publish(stack.call, integrationId, { headers }), publish(stack.call, integrationId, { headers })]
      await broker.received('publish', 2)
      const exited = once(stack.server.child, 'exit')
      for (const signal of ['SIGINT', 'SIGINT', 'SIGTERM', 'SIGTERM'] as const) {
        stack.server.child.kill(signal)
        await delay(20) // two at once are one to the process
      }
      waiting[0]?.()
      assert.equal((await answers[0])?.status, 200, 'it was told four times, and still waits')
      await delay(700)
      const hurriedMs = performance.now()
      stack.server.child.kill('SIGINT')
      const rest = await answers[1]
      assert.deepEqual([rest?.status, rest?.code], [504, 'outcome.unknown'])
      assert.deepEqual(await exited, [0, null])
      assert.ok(performance.now() - hurriedMs < patience(5_000))
      assert.deepEqual(openIntents(await auditRows(stack.sql)), [])
    } finally {
      await stack.close()
      await broker.stop()
    }
  })
})

describe('a stop without its database', () => {
  const without = {
    hangs: (stack: Stack) => stack.proxy?.hang(),
    'is gone': (stack: Stack) => stack.proxy?.cut(),
  }
  for (const [how, takeAway] of Object.entries(without)) {
    test(`a stop while the database ${how}: 1 when what only this process knew is lost, and it says so; else 0`, async () => {
      const said = { knowing: '', other: '' }
      const stack = await startStack({ STOP_NOTICE_MS: '0' }, { proxied: true, said: (text) => (said.knowing += text) })
      try {
        const other = await stack.another({}, (text) => (said.other += text))
        assert.equal((await fetch(`${stack.server.url}/api/v2/integrations`)).status, 401) // counted, and not on record yet
        takeAway(stack)
        const exits = [stack.server, other].map(({ child }) => once(child, 'exit'))
        const signalledMs = performance.now()
        for (const { child } of [stack.server, other]) child.kill('SIGTERM')
        assert.deepEqual(await Promise.all(exits), [
          [1, null],
          [0, null],
        ])
        const tookMs = performance.now() - signalledMs
        assert.ok(tookMs < patience(15_000), `took ${Math.round(tookMs)} ms`)
        assert.match(
          said.knowing,
          /"level":40[^\n]*the last refusals before authentication, or by limits, were not recorded/,
        )
        assert.doesNotMatch(said.other, /were not recorded|did not close/)
        const { rows } = await stack.sql.query(`select from audit_rows where action = 'auth.refused_summary'`)
        assert.equal(rows.length, 0)
      } finally {
        await stack.close()
      }
    })
  }
})
