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
 * Judges the cases of one file with both providers. `judge` returns `false` for a case that is out of our range (a key size
 * that we do not have), and the test fails when every case is.
 */
export function wycheproof(
  file: string,
  title: string,
  judge: (provider: CryptoProvider, one: WycheproofCase) => boolean | Promise<boolean>,
): void {
  const path = `${folder}/wycheproof/${file}`
  for (const provider of [opensslProvider, nobleProvider]) {
    test(`${title}: Wycheproof ${file} with ${provider.name}`, async (t: TestContext) => {
      if (!existsSync(path)) return t.skip(`no vectors at ${path}; SEALWIRE_VECTORS names their folder`)
      const { testGroups } = JSON.parse(readFileSync(path, 'utf8')) as WycheproofFile
      let judged = 0
      for (const { tests, ...group } of testGroups) {
        for (const one of tests) judged += Number(await judge(provider, { ...group, ...one }))
      }
      assert.ok(judged > 0, 'a file without a case that concerns us')
      t.diagnostic(`${judged} cases`)
    })
  }
}
