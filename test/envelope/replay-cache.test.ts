import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReplayCache } from '#src/envelope/replay-cache.ts'
import { NOW_S } from './parties.ts'
import { refusal } from './refusal.ts'

const EXP_S = NOW_S + 300
const leaf = (n: number): Uint8Array => new Uint8Array(48).fill(n)
const replay = refusal('envelope.replay')

test('an envelope enters once; another leaf and another tenant enter too', () => {
  const cache = createReplayCache({ maxEntries: 10 })
  cache.enter('ten_one', leaf(1), EXP_S, NOW_S)
  assert.throws(() => cache.enter('ten_one', leaf(1), EXP_S, NOW_S + 1), replay)
  cache.enter('ten_one', leaf(2), EXP_S, NOW_S)
  cache.enter('ten_two', leaf(1), EXP_S, NOW_S)
})

test('an envelope is remembered as long as a reader would take it, 60 s after its end', () => {
  const cache = createReplayCache({ maxEntries: 10 })
  cache.enter('ten_one', leaf(1), EXP_S, NOW_S)
  assert.throws(() => cache.enter('ten_one', leaf(1), EXP_S, EXP_S + 60), replay)
  cache.enter('ten_one', leaf(1), EXP_S, EXP_S + 61)
})

test('a full cache refuses instead of forgetting, and takes entries again when old ones end', () => {
  const cache = createReplayCache({ maxEntries: 2 })
  cache.enter('ten_one', leaf(1), EXP_S, NOW_S)
  cache.enter('ten_one', leaf(2), EXP_S + 1, NOW_S)
  assert.throws(() => cache.enter('ten_one', leaf(3), EXP_S + 2, NOW_S), replay)
  assert.throws(() => cache.enter('ten_one', leaf(1), EXP_S, NOW_S), replay)
  cache.enter('ten_one', leaf(3), EXP_S + 2, EXP_S + 61)
  assert.throws(() => cache.enter('ten_one', leaf(2), EXP_S + 1, EXP_S + 61), replay)
  assert.throws(() => cache.enter('ten_one', leaf(4), EXP_S + 2, EXP_S + 61), replay)
})
