// The lists for TBMQ are read by java.util.regex: here it reads them. A pattern that it could not compile would be a broker that
// falls back to its own default, which is to allow everything.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { javaRules } from '#src/broker-auth/java-rules.ts'
import { type CompiledPolicy, compilePolicy } from '#src/policy/compile-policy.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { createRandom } from '../policy/regex/random.ts'
import { findJava } from '../support/java/jdk.ts'
import { anyPolicyText, filtersOf, namesOf, someIdentity } from './java-rules-cases.ts'

const java = findJava() ?? 'java' // npm test brings it, or leaves this file out by name

function policyOf(document: Record<string, unknown>): CompiledPolicy {
  const { policy, problems } = parsePolicy({ schema: 'mqtt-policy/1', id: 'p', ...document })
  assert.deepEqual(problems, [])
  assert.ok(policy)
  return compilePolicy(policy)
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** For each pattern, whether Java matches each of its texts as a whole. */
function askJava(questions: readonly { readonly pattern: string; readonly texts: readonly string[] }[]): boolean[][] {
  const input = questions.map(({ pattern, texts }) => [pattern, ...texts].map(base64).join(' ')).join('\n')
  const program = new URL('../support/java/Matches.java', import.meta.url).pathname
  const { status, stdout, stderr } = spawnSync(java, [program], {
    input: `${input}\n`,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  assert.equal(status, 0, stderr)
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => Array.from(line, (bit) => bit === '1'))
}

const odd = [
  'a\u0085b',
  'a\nb',
  'a\u2028b',
  'a\u2028',
  'a/b\u2029',
  'b\n',
  'ä/ö',
  '😀/b',
  'a/b\u007f',
  'a/\u0000',
  'a\\b',
  'A/B',
  'a b',
  'c.1/x',
  'cx1/x',
]

test('Java reads every pattern, and as this side does', () => {
  const random = createRandom(21)
  const questions: { pattern: string; texts: readonly string[] }[] = []
  for (let i = 0; i < 150; i++) {
    const identity: Identity = someIdentity(random)
    const { publish, subscribe } = javaRules(identity, policyOf(anyPolicyText(random)), policyOf(anyPolicyText(random)))
    for (const pattern of publish) questions.push({ pattern, texts: [...namesOf(), ...odd] })
    for (const pattern of subscribe) questions.push({ pattern, texts: [...filtersOf(), ...odd] })
  }
  const expressions = [
    '.*',
    '\\s\\S\\d\\D\\w\\W',
    '[^a-f\\]\\\\^-]+',
    '\\x{1F600}/.',
    'a{2,3}b?',
    '(x|y|ä)+/\\Q.*\\E',
    '[\\u00e0-\\x{10FFFF}]+',
    'a|[^\\s\\S]',
    '[^\\s\\S]*',
    '[^\\x{0}-\\x{10FFFF}]{2,}',
    '[\\x{FFFF}-\\x{10000}]{2,}',
  ]
  for (const regex of expressions) {
    const rules = [{ id: 'r', effect: 'allow', actions: ['publish'], topics: [{ regex }] }]
    const [pattern] = javaRules({}, policyOf({ rules })).publish
    assert.ok(pattern !== undefined, regex)
    questions.push({ pattern, texts: [...odd, ' a1b_', '\t!1.z-', 'aab', 'x/.*', 'ä/.*', '😀/x', 'àé'] })
  }
  assert.ok(questions.length > 200, String(questions.length))
  const answers = askJava(questions)
  assert.equal(answers.length, questions.length)
  for (const [i, { pattern, texts }] of questions.entries()) {
    const here = new RegExp(`^(?:${pattern})$`, 'u')
    assert.deepEqual(
      answers[i],
      texts.map((text) => here.test(text)),
      pattern,
    )
  }
})

test('no topic of 64 KiB takes Java long, or more stack than it has', () => {
  const identity = { clientId: 'c', claims: { rooms: ['a', 'b'] } }
  const topics = [
    'a/#',
    'a/+/b/#',
    '#',
    '+/+/${clientId}',
    '${claims.rooms[]}/#',
    { regex: 'a/.*' },
    { regex: '[ab/]*x' },
    { regex: 'b.{2,}' },
    { regex: '(ab)*x?' },
    { regex: '(.b)*' },
  ]
  const rules = [
    { id: 'yes', effect: 'allow', actions: ['publish', 'subscribe'], topics },
    {
      id: 'no',
      effect: 'deny',
      actions: ['publish', 'subscribe'],
      topics: ['+/+/secret/#', 'a/b/c/d/e/f', { regex: '.*/x' }],
    },
  ]
  const policy = policyOf({ rules })
  const { publish, subscribe } = javaRules(identity, policy)
  const texts = [
    'a/'.repeat(32_767),
    'a'.repeat(65_535),
    `a/${'b'.repeat(65_533)}`,
    '/'.repeat(65_535),
    `${'+/'.repeat(32_767)}#`,
    `${'a/'.repeat(127)}${'b'.repeat(65_000)}`,
    // Characters of one and of two units in turn: Java recurses for each change where it repeats a group.
    `a/${'b😀'.repeat(13_000)}`,
    'b😀'.repeat(13_000),
    'ab😀b'.repeat(9_000),
  ]
  const started = performance.now()
  const answers = askJava([...publish, ...subscribe].map((pattern) => ({ pattern, texts })))
  const took = performance.now() - started
  assert.equal(answers.length, publish.length + subscribe.length)
  assert.ok(answers.flat().includes(true))
  assert.ok(took < 20_000, `${took} ms`)
})
