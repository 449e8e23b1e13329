import assert from 'node:assert/strict'
import { test } from 'node:test'
import { regexProblem, textRegexProblem } from '#src/policy/regex/check-regex.ts'
import { compileTextRegex, compileTopicRegex } from '#src/policy/regex/compile-regex.ts'
import recorded from './java-cases.json' with { type: 'json' }

// The cases were recorded once: Pattern.compile(pattern).matcher(text) with matches() and find(), then drawn at random, some
// by hand. Left out is `$` before a final line end, where find() matches and we, like RE2 and Rust, do not.
test(`patterns of the subset mean what they mean to ${recorded.engine}`, (t) => {
  let matching = 0
  let found = 0
  let topics = 0
  for (const [pattern, text, matches, finds] of recorded.cases as [string, string, boolean, boolean][]) {
    const where = JSON.stringify([pattern, text])
    assert.equal(textRegexProblem(pattern), undefined, where)
    assert.equal(compileTextRegex(pattern, 'full')(text), matches, `${where} full`)
    assert.equal(compileTextRegex(pattern, 'search')(text), finds, `${where} search`)
    if (regexProblem([pattern]) === undefined) {
      assert.equal(compileTopicRegex([pattern], []).matches(text, !matches), matches, `${where} as a topic`)
      topics++
    }
    matching += Number(matches)
    found += Number(finds && !matches)
  }
  t.diagnostic(`${recorded.cases.length} cases, ${matching} match, ${found} more are found, ${topics} as topics`)
  assert.ok(Math.min(matching, found, topics, recorded.cases.length - matching - found) > 50)
})
