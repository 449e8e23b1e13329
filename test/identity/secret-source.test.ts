import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { inspect } from 'node:util'
import {
  createSecretReader,
  MAX_SECRET_BYTES,
  SecretUnavailable,
  secretSourceSchema,
} from '#src/identity/secret-source.ts'

const home = mkdtempSync(path.join(tmpdir(), 'sealwire-secret-'))
after(() => rmSync(home, { recursive: true, force: true }))

function fileOf(content: string | Uint8Array): string {
  const file = path.join(home, `secret-${Math.random()}`)
  writeFileSync(file, content)
  return file
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

describe('a secret of the configuration', () => {
  const read = createSecretReader({ GIVEN: 'from the environment', EMPTY: '' })

  test('comes from a file without its last line break, or from the environment as it is', () => {
    for (const [content, expected] of [
      ['plain', 'plain'],
      ['one\n', 'one'],
      ['dos\r\n', 'dos'],
      ['two\n\n', 'two\n'],
      [' spaces ', ' spaces '],
      ['\u00ff\u0000', '\u00ff\u0000'],
    ] as const) {
      assert.equal(text(read({ file: fileOf(Buffer.from(content, 'latin1')) }).reveal()), expected)
    }
    assert.equal(text(read({ env: 'GIVEN' }).reveal()), 'from the environment')
    assert.equal(read({ file: fileOf(Buffer.alloc(MAX_SECRET_BYTES, 1)) }).reveal().length, MAX_SECRET_BYTES)
  })

  test('that is missing, empty, too long or no file stops the start and names the place alone', () => {
    const pipe = path.join(home, 'pipe')
    execFileSync('mkfifo', [pipe])
    const cases: readonly [source: { file?: string; env?: string }, told: RegExp][] = [
      [{ file: path.join(home, 'none') }, /cannot be read: ENOENT$/],
      [{ file: home }, /is not a file$/],
      [{ file: pipe }, /is not a file$/],
      [{ file: fileOf('') }, /is empty or not set$/],
      [{ file: fileOf('\n') }, /is empty or not set$/],
      [{ file: fileOf(Buffer.alloc(MAX_SECRET_BYTES + 1, 1)) }, /is longer than 65536 bytes$/],
      [{ env: 'ABSENT' }, /^variable ABSENT is empty or not set$/],
      [{ env: 'EMPTY' }, /^variable EMPTY is empty or not set$/],
      [{ env: 'constructor' }, /is empty or not set$/],
    ]
    for (const [source, told] of cases) {
      assert.throws(
        () => read(source as never),
        (err) => err instanceof SecretUnavailable && told.test(err.message),
        told.source,
      )
    }
  })

  test('is never printed', () => {
    const secret = read({ env: 'GIVEN' })
    assert.doesNotMatch(`${JSON.stringify(secret)} ${String(secret)} ${inspect(secret)}`, /environment/)
  })

  test('has exactly one place, and none inside the configuration', () => {
    for (const bad of [
      'text',
      {},
      { file: 'a', env: 'B' },
      { file: '' },
      { env: 'A B' },
      { env: 'A', x: 1 },
      { value: 'x' },
    ]) {
      assert.equal(secretSourceSchema.safeParse(bad).success, false, JSON.stringify(bad))
    }
    assert.deepEqual(secretSourceSchema.parse({ file: '/run/secrets/a' }), { file: '/run/secrets/a' })
  })
})
