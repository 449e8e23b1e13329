import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Bytes } from '#src/core/bytes.ts'
import { fromHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'

const folder = process.env['SEALWIRE_VECTORS'] ?? fileURLToPath(new URL('../../../shared/vectors', import.meta.url))

/** One case with the members of its group beside its own. */
export type WycheproofCase = Readonly<Record<string, unknown>> & {
  readonly tcId: number
  readonly result: 'valid' | 'invalid'
}

interface WycheproofFile {
  numberOfTests: number
  testGroups: (Readonly<Record<string, unknown>> & { tests: WycheproofCase[] })[]
}

/** Decodes a hexadecimal member; a case that lacks it fails. */
export function hex(one: WycheproofCase, member: string): Bytes {
  const text = one[member]
  return (
    fromHex(typeof text === 'string' ? text : assert.fail(`${member} is missing`)) ??
    assert.fail(`${member} is not hex`)
  )
}

/**
 * Judges every case of one file with both providers. `judge` asserts what must hold and names what that was; `expected` says
 * how many cases of each name the file has, so that none is passed over, and no refusal stands in for a computation.
 */
export function wycheproof<Verdict extends string>(
  file: string,
  expected: Readonly<Record<Verdict, number>>,
  judge: (provider: CryptoProvider, one: WycheproofCase) => Verdict | Promise<Verdict>,
): void {
  const path = `${folder}/wycheproof/${file}`
  for (const provider of [opensslProvider, nobleProvider]) {
    test(`every case of Wycheproof ${file} with ${provider.name}`, async (t: TestContext) => {
      if (!existsSync(path)) return t.skip(`no vectors at ${path}; SEALWIRE_VECTORS names their folder`)
      const { numberOfTests, testGroups } = JSON.parse(readFileSync(path, 'utf8')) as WycheproofFile
      const counts = new Map<string, number>()
      for (const { tests, ...group } of testGroups) {
        for (const one of tests) {
          const verdict = await judge(provider, { ...group, ...one })
          counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
        }
      }
      assert.deepEqual(Object.fromEntries(counts), expected)
      const judged = [...counts.values()].reduce((sum, count) => sum + count, 0)
      assert.equal(judged, numberOfTests)
      t.diagnostic([...counts].map(([verdict, count]) => `${count} × ${verdict}`).join(', '))
    })
  }
}
