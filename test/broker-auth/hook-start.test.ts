import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { startHookedServer } from '#test/support/hooked-server.ts'
import { documentOf, HASH, PASSWORD } from './hook-harness.ts'

const document = documentOf({ id: 'all', effect: 'allow', actions: ['publish'], topics: ['plant/#'] })
const users = [{ username: 'press', password_hash: HASH, enabled: true }]

test('a hook of a tenant that is not there stops the start, and is named', async () => {
  const started = startHookedServer({ document, users, hook: { tenant: newId('ten') } })
  started.then(
    (server) => server.close(),
    () => {},
  )
  await assert.rejects(started, (err: Error) => {
    assert.match(err.message, /^Invalid BROKER_AUTH_CONFIG:\n {2}hooks\[0\]\.tenant: no such tenant$/)
    return true
  })
})

test('a hook of a policy that is not there refuses everybody, and the operator is told at the start', async () => {
  const warnings: unknown[] = []
  const log = { ...silentLog, warn: (fields: object, text: string) => void warnings.push([fields, text]) }
  const policy = newId('pol')
  const server = await startHookedServer({ document, users, hook: { policy }, log })
  try {
    const told = warnings.filter((warning) => JSON.stringify(warning).includes(policy))
    assert.deepEqual(told, [[{ hook: 'default', policy }, 'a hook whose policy is not there refuses everybody']])
    assert.notEqual(await server.ask('user', { username: 'press', password: PASSWORD, clientid: 'c1' }), 200)
  } finally {
    await server.close()
  }
})
