import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { AccessRequest, Decision } from '#src/policy/access.ts'
import { median } from '../report.ts'

/** One question, ready to be asked again and again. */
export type Question = readonly [decider: { decide(request: AccessRequest): Decision }, request: AccessRequest]

const ROUNDS = 5

/** Asks all questions once; counting the allows keeps the answers from being optimised away. */
function askAll(questions: readonly Question[]): number {
  let allows = 0
  for (const [decider, request] of questions) if (decider.decide(request).decision === 'allow') allows++
  return allows
}

/** Milliseconds of processor time that this process has had, on all threads. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/**
 * Decisions a second of processor time, which is what one core does in a second, also where others use the machine: the
 * median of five rounds of at least `roundMs`, after one that warms up.
 */
export function measureRate(questions: readonly Question[], roundMs = 150): number {
  const wanted = askAll(questions)
  const rates: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const startedMs = processorMs()
    let decided = 0
    while (processorMs() - startedMs < roundMs) {
      assert.equal(askAll(questions), wanted, 'the same questions, other answers')
      decided += questions.length
    }
    if (round > 0) rates.push((decided / (processorMs() - startedMs)) * 1000)
  }
  return median(rates)
}

/** Takes as many questions from the front as fit into some time, for a decider that is slow. */
export function takeFor(questions: readonly Question[], timeMs: number): readonly Question[] {
  const startedMs = processorMs()
  let taken = 0
  let allows = 0
  for (const [decider, request] of questions) {
    if (processorMs() - startedMs > timeMs) break
    if (decider.decide(request).decision === 'allow') allows++
    taken++
  }
  assert.ok(allows <= taken)
  return questions.slice(0, Math.max(1, taken))
}

/** Fails where two deciders do not agree. */
export function assertSameAnswers(ours: readonly Question[], theirs: readonly Question[], what: string): void {
  assert.ok(theirs.length > 0)
  for (const [i, [decider, request]] of theirs.entries()) {
    const [own, same] = ours[i] ?? assert.fail(`${what}: more questions than ours`)
    assert.equal(same, request)
    assert.deepEqual(decider.decide(request), own.decide(request), `${what}: ${JSON.stringify(request)}`)
  }
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Heap in use in MiB, garbage left out. */
export function heapMiB(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed / 2 ** 20
}
