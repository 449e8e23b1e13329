import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const folder = process.env['SEALWIRE_VECTORS'] ?? fileURLToPath(new URL('../../../shared/vectors', import.meta.url))
const path = `${folder}/sentinel.json`

interface GatewayCase {
  readonly id: string
  readonly area: string
  readonly given: unknown
  readonly expect: unknown
}

/** Judges every case of an area, of the shape that the area has; the test fails when there is no case. */
export function gatewayVectors<Given, Expect>(area: string, judge: (given: Given, expect: Expect) => void): void {
  test(`sentinel.json, area ${area}`, async (t: TestContext) => {
    if (!existsSync(path)) return t.skip(`no vectors at ${path}; SEALWIRE_VECTORS names their folder`)
    const { vectors } = JSON.parse(readFileSync(path, 'utf8')) as { vectors: GatewayCase[] }
    const cases = vectors.filter((one) => one.area === area)
    assert.ok(cases.length > 0, 'an area without a case')
    for (const one of cases) await t.test(one.id, () => judge(one.given as Given, one.expect as Expect))
    t.diagnostic(`${cases.length} cases`)
  })
}
