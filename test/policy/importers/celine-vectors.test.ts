import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importPolicy } from '#src/policy/importers/import-policy.ts'
import type { CelineRoles, CelineRule, CelineSubject } from './celine-model.ts'
import { allowsMask, celineActions, celineIdentity } from './celine-subject.ts'
import { imported } from './imported.ts'
import { readVectors } from './vector-file.ts'

interface Vector {
  readonly id: string
  readonly config: string
  readonly subject: CelineSubject | null
  readonly topic: string
  readonly expect: 'allow' | 'deny'
}

interface VectorFile {
  readonly schema: string
  readonly roles: CelineRoles
  readonly configs: Readonly<Record<string, readonly CelineRule[]>>
  readonly vectors: readonly (Vector & { readonly action: string })[]
  readonly acc_vectors: readonly (Vector & { readonly acc: number })[]
}

/** The document that a case names. */
function sourceOf({ configs, roles }: VectorFile, { id, config }: Vector) {
  assert.ok(Object.hasOwn(configs, config), `${id} refers to ${config}, which is not there`)
  return { rules: configs[config], roles }
}

test('celine.json vectors: the imported policy decides every case as documented', (t) => {
  const file = readVectors<VectorFile>('celine.json', t)
  if (!file) return
  assert.equal(file.schema, 'celine-vectors/1')
  assert.ok(file.vectors.length > 0, 'no case')
  let refusedDocuments = 0
  for (const vector of file.vectors) {
    const { id, subject, topic, action, expect } = vector
    const source = sourceOf(file, vector)
    const known = celineActions[action]
    const isAccepted = importPolicy('celine', source).document !== undefined
    if (!isAccepted) refusedDocuments++
    // Without a subject, with an unknown action and with a document that is refused nobody gets to ask the policy.
    const allowed =
      isAccepted &&
      subject !== null &&
      known !== undefined &&
      imported('celine', source).as(celineIdentity(subject)).allows(known, topic)
    assert.equal(allowed ? 'allow' : 'deny', expect, id)
  }
  assert.equal(refusedDocuments, 1, 'one document has an effect that is none')
  t.diagnostic(`${file.vectors.length} cases`)
})

test('celine.json acc_vectors: every bit of the mask is known and allowed', (t) => {
  const file = readVectors<VectorFile>('celine.json', t)
  if (!file) return
  assert.ok(file.acc_vectors.length > 0, 'no case')
  for (const vector of file.acc_vectors) {
    const { id, subject, topic, acc, expect } = vector
    const allowed: boolean =
      subject !== null && allowsMask(imported('celine', sourceOf(file, vector)), subject, topic, acc)
    assert.equal(allowed ? 'allow' : 'deny', expect, id)
  }
  t.diagnostic(`${file.acc_vectors.length} cases`)
})
