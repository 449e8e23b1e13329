import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGoAuth } from '#src/broker-auth/dialects/go-auth.ts'
import type { Hook } from '#src/broker-auth/hook.ts'
import { createReception } from '#src/broker-auth/reception.ts'
import { silentLog } from '#src/core/log.ts'
import { settings } from './dialects/asking.ts'

const body = new TextEncoder().encode('{"acc":2,"clientid":"c","topic":"x","username":"alice"}')

test('a request with the secret in the wrong place is refused, and the log does not have it', () => {
  const lines: unknown[] = []
  const log = { ...silentLog, warn: (...line: unknown[]) => void lines.push(line) }
  const hook = { settings: { name: 'default' }, dialect: createGoAuth(settings) } as unknown as Hook
  let nowMs = 0
  const { open } = createReception(
    [{ hook, share: { underWay: 0 }, guard: () => 'stranger', tell: () => {} }],
    log,
    () => nowMs,
  )
  for (const url of [
    '/mqtt/canary-canary-canary',
    '/mqtt/user/canary-canary-canary',
    '/mqtt/hooks/default/user/canary-canary-canary',
  ]) {
    nowMs += 60_000
    const { status } = open({ method: 'POST', url, headers: {}, socket: {} }) as { status: number }
    assert.equal(status, 401)
  }
  assert.equal(lines.length, 3)
  assert.ok(!JSON.stringify(lines).includes('canary'))
})

test('a hook that throws, at once or later, is a refusal, and the server lives', async () => {
  const fault = new Error('a fault of ours')
  const answers: readonly Hook['answer'][] = [
    () => {
      throw fault
    },
    () => Promise.reject(fault),
  ]
  for (const answer of answers) {
    const logged: unknown[] = []
    const hook = { settings: { name: 'default' }, dialect: createGoAuth(settings), answer } as unknown as Hook
    const log = { ...silentLog, error: (about: unknown) => void logged.push(about) }
    const { open } = createReception(
      [{ hook, share: { underWay: 0 }, guard: () => 'admitted', tell: () => {} }],
      log,
      () => 0,
    )
    const opened = open({ method: 'POST', url: '/mqtt/acl', headers: {}, socket: {} })
    assert.ok('answer' in opened)
    const { status } = await opened.answer(body)
    assert.equal(status, 503)
    assert.deepEqual(logged, [{ hook: 'default', err: fault }])
  }
})
