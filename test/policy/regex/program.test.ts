import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRegex } from '#src/policy/regex/parse-regex.ts'
import { compileProgram } from '#src/policy/regex/program.ts'
import { either, programSize } from '#src/policy/regex/regex-node.ts'
import { createRandom, freshSeed, randomPattern } from './random.ts'

function nodeOf(pattern: string) {
  const alternatives = parseRegex([pattern])
  return 'message' in alternatives
    ? assert.fail(`${pattern}: ${alternatives.message}`)
    : either(alternatives.map(({ node }) => node))
}

test('what is said of the size of a program before compiling is never too small', (t) => {
  const seed = freshSeed()
  t.diagnostic(`seed ${seed}`)
  const random = createRandom(seed)
  const fixed = [
    '(a?){200}',
    '(a{0,5}){200}',
    '((a*)*)*',
    '(a|b|){20}',
    '(){200}',
    '(|){200}',
    'a{0}',
    '((a{2,}b?){3,}|c){4}',
    '(((a|b)?c)?d)?',
  ]
  const patterns = [...fixed, ...Array.from({ length: 500 }, () => randomPattern(random, 3).ours)]
  let tight = 0
  for (const pattern of patterns) {
    const node = nodeOf(pattern)
    const { length } = compileProgram(node).kinds
    assert.ok(length <= programSize(node) + 2, `seed ${seed}: ${pattern} has ${length}, not ${programSize(node)}`)
    tight += Number(2 * length > programSize(node))
  }
  assert.ok(tight > patterns.length / 2, 'nor far too large')
})

test('nested repetitions of every bound compile: the engine refuses nothing that was accepted', () => {
  let compiled = 0
  for (const outer of [
    '*',
    '+',
    '?',
    '{0}',
    '{1}',
    '{2}',
    '{5}',
    '{5,}',
    '{0,5}',
    '{1,5}',
    '{200}',
    '{0,200}',
    '{200,}',
  ]) {
    for (const inner of ['*', '+', '?', '{0}', '{1}', '{2}', '{5}', '{5,}', '{0,5}', '{1,5}']) {
      for (const item of ['a', '()', '(|a)', '[ab]', '(a|bc)']) {
        const parsed = parseRegex([`((${item}${inner})${outer})?`])
        if ('message' in parsed) continue
        compileProgram(either(parsed.map(({ node }) => node)))
        compiled++
      }
    }
  }
  assert.ok(compiled > 500)
})
