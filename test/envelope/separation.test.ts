import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { listSources } from '#test/arch/read-source.ts'

const read = (file: string): string => readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')

/** What the first cells of the table of a README name. */
function namedIn(file: string): string[] {
  const rows = read(file)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  return rows.flatMap((row) => [...(row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''))
}

/** Every text of ours that begins as a label does and is not the name of a lock in the database. */
function labelsInSources(): Set<string> {
  const labels = new Set<string>()
  for (const file of listSources(fileURLToPath(new URL('../../src', import.meta.url)))) {
    if (!file.endsWith('.ts')) continue
    for (const line of read(file).split('\n')) {
      if (/^\s*(\*|\/\/)/.test(line) || line.includes('advisory')) continue
      for (const [, label] of line.matchAll(/'(sealwire\/[a-z0-9/-]+)(?:\\0)?'/g)) labels.add(label ?? '')
    }
  }
  return labels
}

test('every label of the code has one row, and every row is of the code', () => {
  const labels = labelsInSources()
  assert.ok(labels.size >= 14, `${labels.size} labels were found`)
  const inTable = namedIn('envelope/README.md').filter((name) => name !== 'quantaseal-aes-key') // not ours
  assert.deepEqual(inTable.toSorted(), [...labels].toSorted())
})

test('every KMS purpose is in the table, once, and no other is', () => {
  const union = /export type KeyPurpose =([^\n]*\n(?: {2}\| '[a-z0-9-]+'\n)+)/.exec(read('kms/kms.ts'))?.[1] ?? ''
  const purposes = [...union.matchAll(/'([a-z0-9-]+)'/g)].map((match) => match[1] ?? '')
  assert.ok(purposes.length >= 15, `${purposes.length} purposes were found`)
  assert.deepEqual(namedIn('kms/README.md').toSorted(), purposes.toSorted())
})
