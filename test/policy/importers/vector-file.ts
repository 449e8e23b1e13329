import { existsSync, readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const folder = process.env['SEALWIRE_VECTORS'] ?? fileURLToPath(new URL('../../../../shared/vectors', import.meta.url))

/** Reads a file of cases; skips the test where there is none. */
export function readVectors<T>(name: string, t: TestContext): T | undefined {
  const path = `${folder}/${name}`
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as T
  t.skip(`no vectors at ${path}; SEALWIRE_VECTORS names their folder`)
  return undefined
}
