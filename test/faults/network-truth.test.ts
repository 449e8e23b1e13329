import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFaultProxy } from '#test/support/fault-proxy.ts'
import { createRandom, planCut } from '#test/support/random-cuts.ts'
import { startTruthBroker } from '../../scripts/bench/truth-broker.ts'
import { isStrange, judgeTruth, type Said } from '../../scripts/bench/truth-verdict.ts'
import { startNetwork } from './network-harness.ts'

const PUBLISHES = 300
const INTEGRATIONS = 12
/** Ten publishes or so. */
const CUT_WITHIN = { up: 2_000, down: 60 }

test('G2: over links that are cut at random bytes every answer is what the broker has in its log', async (t) => {
  await using stack = new AsyncDisposableStack()
  const network = stack.adopt(await startNetwork(), (one) => one.close())
  const random = createRandom(1)
  const habits = { random: createRandom(2), refused: 0.03, delayed: 0.05, delayMs: 600 }
  const broker = stack.adopt(await startTruthBroker(habits), (one) => one.stop())
  const plan = () => planCut(random, CUT_WITHIN)
  const proxy = stack.adopt(await startFaultProxy({ toPort: broker.port, plan }), (one) => one.stop())
  const lines = await Promise.all(Array.from({ length: INTEGRATIONS }, () => network.line({ port: proxy.port })))

  const answers: Said[] = []
  let next = 0
  await Promise.all(
    lines.map(async (line) => {
      while (next < PUBLISHES) {
        const number = String(next++)
        const { code, outcome, details, messageId, status, ms } = await line.publish({ message: number })
        answers.push({
          number,
          end: outcome ?? code ?? '',
          outcome: outcome === 'acknowledged' ? outcome : status === 504 ? 'unknown' : 'rejected',
          messageId,
          reasonCode: details?.reason_code,
          ms,
        })
      }
    }),
  )

  // What a loaded machine makes late, before anything is sent, is refused by the parts in front of the broker.
  const others = answers.filter((answer) => isStrange(answer) && !/^\w+\.(unavailable|busy)$/.test(answer.end))
  assert.deepEqual(others, [])
  const verdict = judgeTruth(answers, broker, Number.POSITIVE_INFINITY)
  const { falseAcknowledged, falseRejected, wrongMessageIds, duplicates, ends, inTime } = verdict
  assert.deepEqual(
    { falseAcknowledged, falseRejected, wrongMessageIds, duplicates, inTime },
    { falseAcknowledged: 0, falseRejected: 0, wrongMessageIds: 0, duplicates: 0, inTime: PUBLISHES },
  )
  const cuts = proxy.up.cuts + proxy.down.cuts
  t.diagnostic(`${cuts} cuts: ${JSON.stringify(ends)}`)
  assert.ok(cuts >= 10 && (ends['outcome.unknown'] ?? 0) >= 10, `${cuts} cuts, ${JSON.stringify(ends)}`)
  assert.ok((ends['acknowledged'] ?? 0) > 20, JSON.stringify(ends))
})
