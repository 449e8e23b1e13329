import assert from 'node:assert/strict'
import path from 'node:path'
import { before, test } from 'node:test'
import { runInNamespace, whyNoNamespace } from '#test/support/network-namespace.ts'
import type { CorpusResult } from './corpus-run.ts'

const skip = whyNoNamespace()
let result: CorpusResult

before(
  async () => {
    if (skip) return
    const script = path.join(import.meta.dirname, 'corpus-run.ts')
    result = (await runInNamespace(script, { timeoutMs: 110_000 })) as CorpusResult
  },
  { timeout: 115_000 },
)

const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, count) => all + count, 0)

test('A20, G7: every host of the corpus is refused over each transport, at create, update, test and publish', {
  skip,
}, () => {
  const { hosts, protocols, created, updated, rotated, tested, published, wrong } = result
  assert.ok(hosts >= 300 && protocols === 4, `${hosts} hosts`)
  const each = hosts * protocols
  for (const counts of [created, updated, rotated, tested, published]) assert.equal(sum(counts), each)
  // Names are judged by what they resolve to, when they are dialled.
  assert.deepEqual(Object.keys(created).sort(), ['201', 'destination.not_allowed', 'request.invalid'])
  assert.deepEqual(wrong, [])
  assert.deepEqual(Object.keys(tested).sort(), ['destination.not_allowed', 'request.invalid'])
  assert.ok(result.questions > 0, 'names were asked for')
})

test('G7: not one connection was made, to whatever address', { skip }, () => {
  assert.deepEqual(result.visits, [])
})

test('a refused destination is on record as denied', { skip }, () => {
  assert.ok(result.audited >= 100, `${result.audited} of the newest rows`)
})

test('the control: the canaries hear what is public, and what OUTBOUND_ALLOW lets through, and metadata never', {
  skip,
}, () => {
  assert.deepEqual(result.control.open, ['93.184.215.14 1883', '93.184.215.14 1883', '2606:4700::1 1883'])
  const loopback = '127.0.0.1 1883'
  assert.deepEqual(result.control.allowed, [
    '10.0.0.1 1883',
    loopback,
    '192.168.1.1 1883',
    'fd00::1 1883',
    '::1 1883',
    loopback,
    loopback,
    'fd00::1 1883',
  ])
})

test('A23: a name that flips from public to private is dialled at its public address, and then refused', {
  skip,
}, () => {
  assert.deepEqual(result.flip.codes, ['broker.unreachable', 'destination.not_allowed'])
  assert.deepEqual(result.flip.visits, ['93.184.215.14 1883'])
})

test('A26, T3: a scan of the ports of a host reaches thirty of them, and is told to wait', { skip }, () => {
  const { codes, visits } = result.scan
  assert.deepEqual(Object.keys(codes).sort(), ['broker.unreachable', 'rate.limited'])
  const reached = codes['broker.unreachable'] ?? 0
  assert.ok(reached >= 15 && reached <= 45, `${reached}`) // some were spent before, one comes back in two seconds
  assert.equal(visits, reached)
})

test('a public address of this host is private, from here: only OUTBOUND_ALLOW opens it', { skip }, () => {
  assert.deepEqual(result.here, ['destination.not_allowed', 'broker.unreachable'])
})

test('our own listener is not dialled, also on a network that may be', { skip }, () => {
  assert.equal(result.own, 'destination.not_allowed')
})
