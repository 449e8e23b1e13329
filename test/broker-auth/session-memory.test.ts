import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Session, writeSession } from '#src/broker-auth/session.ts'
import { createSessionMemory, entryOf } from '#src/broker-auth/session-memory.ts'
import { readSessionRules } from '#src/identity/session-rules.ts'

/** Compiled and asked a few times, the rules of one such session were measured at 23 KB. */
const COMPILED_BYTES = 23 * 1_024

const { document } = readSessionRules('tbmq', {
  pub: ['dev/12345/.*', 'dev/12345/data/[0-9]+'],
  sub: ['dev/12345/cmd/.*'],
})
assert.ok(document)
const rules = document

function sessionOf(i: number, own: boolean): Session {
  const identity = { clientId: `c${i}`, username: `u${i}`, type: 'device', auth: 'jwt' } as const
  return {
    username: `u${i}`,
    clientId: `c${i}`,
    identity,
    ...(own && { rules }),
    provider: 'idp',
    grant: 'g',
  }
}

test('sessions at hand take no more memory than they may, what their own rules come to included', () => {
  const sizeAfter = (own: boolean) => {
    const memory = createSessionMemory({ max: 100_000, maxPerUser: 10 }, () => {})
    for (let i = 0; i < 20_000; i++) {
      const session = sessionOf(i, own)
      memory.put(entryOf(session, Buffer.alloc(32, `${i}`), writeSession(session), 0, 0))
    }
    return memory.size
  }
  const withRules = sizeAfter(true)
  assert.ok(withRules * COMPILED_BYTES < 300 * 1024 * 1024 && withRules > 5_000, `${withRules}`)
  assert.equal(sizeAfter(false), 20_000)
})
