import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { AccessAction, AccessRequest, Decision } from '#src/policy/access.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { decide } from '#src/policy/decide.ts'
import { POLICY_SCHEMA, type PolicyDocument, type Qos } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { referenceDecide } from './model/reference-decide.ts'

const folder = process.env['SEALWIRE_VECTORS'] ?? fileURLToPath(new URL('../../../shared/vectors', import.meta.url))

interface Vector {
  readonly id: string
  readonly policy: string
  readonly identity: string
  readonly request: {
    readonly action: string
    readonly topic?: string
    /** Instead of `topic`, for a text that is too long to be written down. */
    readonly topicConcat?: readonly (string | { readonly repeat: string; readonly times: number })[]
    readonly qos?: Qos
    readonly retain?: boolean
  }
  readonly expect: Partial<Decision>
  readonly note: string
}

interface VectorFile {
  readonly schema: string
  readonly policies: Readonly<Record<string, Partial<PolicyDocument>>>
  readonly identities: Readonly<Record<string, Identity>>
  readonly vectors: readonly Vector[]
}

type Decide = (document: PolicyDocument, identity: Identity, request: AccessRequest) => Decision

/** Looks up a named member; a case that refers to what is not there fails. */
function named<T>(table: Readonly<Record<string, T>>, name: string, id: string): T {
  return Object.hasOwn(table, name) ? (table[name] as T) : assert.fail(`${id} refers to ${name}, which is not there`)
}

/** The policies of the file leave out what every document has. */
function completed(name: string, policy: Partial<PolicyDocument>): PolicyDocument {
  return { rules: [], ...policy, schema: POLICY_SCHEMA, id: name }
}

function requestOf({ request: { action, topic, topicConcat, ...rest } }: Vector): AccessRequest {
  const pieces = topicConcat?.map((piece) => (typeof piece === 'string' ? piece : piece.repeat.repeat(piece.times)))
  const text = topic ?? pieces?.join('') ?? assert.fail('a case without a topic')
  return { ...rest, action: action as AccessAction, topic: text } // one case asks for an unknown action
}

/** Judges every case; all that fail are named at once. */
function judge(t: TestContext, judged: Decide): void {
  const path = `${folder}/policy.json`
  if (!existsSync(path)) {
    t.skip(`no vectors at ${path}; SEALWIRE_VECTORS names their folder`)
    return
  }
  const file = JSON.parse(readFileSync(path, 'utf8')) as VectorFile
  assert.equal(file.schema, 'mqtt-policy-vectors/1')
  assert.ok(file.vectors.length > 0, 'no cases')
  const failures: string[] = []
  for (const vector of file.vectors) {
    const { id, policy, identity, expect, note } = vector
    assert.ok(Object.keys(expect).includes('decision'), `${id} expects nothing`)
    const document = completed(policy, named(file.policies, policy, id))
    const decision = judged(document, named(file.identities, identity, id), requestOf(vector))
    const members = Object.entries(expect) as [keyof Decision, unknown][]
    const wrong = members.filter(([member, value]) => decision[member] !== value)
    if (wrong.length > 0)
      failures.push(`${id} (${note}): ${JSON.stringify(decision)} instead of ${JSON.stringify(expect)}`)
  }
  assert.deepEqual(failures, [])
  t.diagnostic(`${file.vectors.length} cases`)
}

test('policy.json: the engine decides every case as published', (t) => {
  judge(t, (document, identity, request) => {
    const { policy, problems } = parsePolicy(document)
    assert.ok(policy !== undefined, `${document.id}: ${JSON.stringify(problems)}`)
    return decide(compilePolicy(policy), identity, request)
  })
})

test('policy.json: so does the evaluator that the property tests hold the engine against', (t) => {
  judge(t, referenceDecide)
})
