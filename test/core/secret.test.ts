import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format, inspect } from 'node:util'
import { serialize } from 'node:v8'
import { Secret } from '#src/core/secret.ts'
import { createLog } from '#src/observability/log.ts'

const CANARY = 'canary-7f3a91c2'
const bytes = Uint8Array.from(CANARY, (letter) => letter.charCodeAt(0))

function logged(value: unknown): string {
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  createLog({ level: 'trace', format: 'json', destination }).info({ request_id: value }, `about ${String(value)}`)
  assert.equal(lines.length, 1)
  return lines.join()
}

const printers: { how: string; print: (value: unknown) => string }[] = [
  { how: 'JSON', print: (value) => JSON.stringify({ deep: [value] }) },
  { how: 'String()', print: (value) => String(value) },
  { how: 'a template', print: (value) => `${value as string}` },
  { how: 'inspect', print: (value) => inspect({ deep: [value] }) },
  { how: 'inspect with hidden members', print: (value) => inspect(value, { showHidden: true, depth: null }) },
  { how: 'inspect that is told to ignore it', print: (value) => inspect(value, { customInspect: false }) },
  { how: 'format', print: (value) => format('%s %o %O %j', value, value, value, value) },
  { how: 'an error', print: (value) => inspect(new Error(`failed for ${value as string}`, { cause: value })) },
  { how: 'its members', print: (value) => JSON.stringify(Object.entries({ ...(value as object) })) },
  { how: 'serialising', print: (value) => serialize({ value: { ...(value as object) } }).toString('latin1') },
  { how: 'the log', print: logged },
]
for (const { how, print } of printers) {
  test(`a secret is not printed by ${how}, a plain value is`, () => {
    for (const value of [CANARY, bytes, { password: CANARY }])
      assert.doesNotMatch(print(new Secret(value)), /canary|99,/)
    if (how !== 'the log' && !/members|serialising/.test(how)) assert.match(print(CANARY), /canary/)
  })
}

test('reveal gives the value itself', () => {
  assert.equal(new Secret(CANARY).reveal(), CANARY)
  assert.equal(new Secret(bytes).reveal(), bytes)
})
