import assert from 'node:assert/strict'
import { type CompiledPolicy, compilePolicy } from '#src/policy/compile-policy.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'

/** Takes a document the way that a stored one goes: as JSON, checked, compiled. What the specification allows has to pass. */
export function compileDocument(document: PolicyDocument): CompiledPolicy {
  const { policy, problems } = parsePolicy(JSON.parse(JSON.stringify(document)))
  assert.ok(policy !== undefined, `refused: ${JSON.stringify(problems)} of ${JSON.stringify(document)}`)
  return compilePolicy(policy)
}
