import assert from 'node:assert/strict'
import { type CrashPoint, crashPoints } from '#src/core/crash-points.ts'
import type { CrashBench, Reply } from './crash-bench.ts'

/** One publish, its key, and what became of it before and after the crash. */
export interface Publish {
  key: string
  /** `undefined`: the connection was cut before an answer. */
  first: Reply | undefined
  retry: Reply
  /** The second retry, of the publish that crashed. */
  again?: Reply
}

export interface Trial {
  step: CrashPoint
  publishes: readonly Publish[]
}

/** Crashes whose publishes go one by one, so that it is known which one crashed. */
const ONE_BY_ONE = 2
const AT_ONCE = 4
/** Servers that run, and crash, at the same time: one more than two cores, for while one waits. */
const AT_A_TIME = 3

/**
 * What a retry must be answered with after a crash at a step: `runs`: nothing was sent, so that it is done now; `unknown`
 * with the same message id; `replay` of what the first one came to.
 */
export const afterCrash: Readonly<Record<CrashPoint, 'runs' | 'unknown' | 'replay'>> = {
  claimed: 'runs',
  allowed: 'runs',
  judged: 'runs',
  admitted: 'runs',
  intended: 'unknown',
  connected: 'unknown',
  publishing: 'unknown',
  published: 'unknown',
  acknowledged: 'unknown',
  recorded: 'replay',
  kept: 'replay',
  sealed: 'replay',
}

/** How often the broker has seen the message of the publish that crashed, before anything is tried again. */
const sentBefore = (step: CrashPoint): number => (crashPoints.indexOf(step) >= crashPoints.indexOf('published') ? 1 : 0)

/** `undefined` when the connection was cut; any other failure is one. */
async function answerOrCut(publish: () => Promise<Reply>): Promise<Reply | undefined> {
  try {
    return await publish()
  } catch (err) {
    if (err instanceof TypeError) return undefined // what fetch throws when the peer is gone
    throw err
  }
}

/** What holds whatever happened: no lost acknowledgement, no second publish, one message id. */
async function check({ seen, messageStatus }: CrashBench, { key, first, retry, again }: Publish): Promise<void> {
  const text = `${key}: ${JSON.stringify({ first, retry, again, seen: seen.get(key) })}`
  const ids = seen.get(key) ?? []
  assert.ok(ids.length <= 1, `published twice: ${text}`)
  if (first) {
    assert.deepEqual([first.status, first.data?.outcome, first.data?.replayed], [200, 'acknowledged', undefined], text)
    assert.deepEqual(ids, [first.data?.message_id], text)
    assert.equal(retry.data?.replayed, true, text)
  }
  const id = retry.data?.message_id ?? retry.error?.details?.message_id ?? ''
  if (again) {
    assert.equal(again.data?.message_id ?? again.error?.details?.message_id, id, text)
    assert.deepEqual([again.status, again.data?.replayed ?? false], [retry.status, retry.data !== null], text)
  }
  if (ids.length === 1) assert.deepEqual(ids, [id], text)
  const status = await messageStatus(id)
  assert.equal(status.message_id, id, text)
  if (retry.data) {
    assert.deepEqual([retry.status, retry.data.outcome, ids.length], [200, 'acknowledged', 1], text)
    assert.equal(status.state, 'acknowledged', text)
  } else {
    assert.deepEqual([retry.status, retry.error?.code], [504, 'outcome.unknown'], text)
    assert.equal(retry.error?.details?.ask, `/api/v2/proxy/messages/${id}`, text)
    assert.ok(status.state === 'unknown' || status.state === 'in_progress', text) // until its deadline is over
  }
}

/** What holds for the publish of which it is known how far it came. */
function checkCrashed(step: CrashPoint, { key, first, retry }: Publish, sent: number): void {
  const became = retry.error ? 'unknown' : retry.data?.replayed ? 'replay' : 'runs'
  assert.deepEqual(
    { first, sent, became },
    { first: undefined, sent: sentBefore(step), became: afterCrash[step] },
    `${key} ${JSON.stringify(retry)}`,
  )
}

interface Kind {
  oneByOne: boolean
  qos: 1 | 2
}

/** Lets a fresh server crash at a step of a publish, and asks the survivor for every publish under its key again. */
async function crash(bench: CrashBench, step: CrashPoint, name: string, { oneByOne, qos }: Kind): Promise<Trial> {
  const { survivor, seen } = bench
  const publish = (url: string, key: string) => bench.publish(url, key, undefined, qos)
  const keys = Array.from({ length: oneByOne ? ONE_BY_ONE : AT_ONCE }, (_, i) => `${name}-${step}-${i}`)
  const server = await bench.start({ CRASH_AT: `${step}:2` })
  const firsts: (Reply | undefined)[] = []
  const first = (key: string) => answerOrCut(() => publish(server.url, key))
  if (oneByOne) for (const key of keys) firsts.push(await first(key))
  else firsts.push(...(await Promise.all(keys.map(first))))
  server.kill('SIGTERM') // should it not have crashed
  assert.equal(await server.ended, 'SIGKILL', `${name} ${step}: ${JSON.stringify(firsts)}`)
  assert.ok(firsts.includes(undefined), `${name} ${step}: every publish was answered`)
  await bench.allRead()
  const sent = keys.map((key) => seen.get(key)?.length ?? 0)

  await bench.expireClaims(keys)
  const publishes = await Promise.all(
    keys.map(async (key, i) => {
      const retry = await publish(survivor.url, key)
      const again = oneByOne && i === keys.length - 1 ? await publish(survivor.url, key) : undefined
      return { key, first: firsts[i], retry, ...(again && { again }) }
    }),
  )
  await bench.allRead()
  for (const one of publishes) await check(bench, one)
  if (oneByOne) checkCrashed(step, publishes.at(-1) as Publish, sent.at(-1) as number)
  return { step, publishes }
}

/** What was closed in the place of killed servers is what retries were told is unknown, no more and no less. */
export function checkSwept(swept: ReadonlySet<string>, publishes: readonly Publish[]): void {
  const unknown = publishes.flatMap(({ retry }) => retry.error?.details?.message_id ?? [])
  assert.deepEqual([...swept].toSorted(), unknown.toSorted())
}

/**
 * Runs crashes at one step, some at a time; every second one has several publishes under way at once, and two of four are
 * at QoS 2. `from` numbers them, so that no two have a key in common.
 */
export async function runCrashes(
  bench: CrashBench,
  step: CrashPoint,
  { count, from = 0 }: { count: number; from?: number },
): Promise<Trial[]> {
  const trials: Trial[] = []
  let next = from
  let end = from + count
  const worker = async () => {
    while (next < end) {
      const i = next++
      trials.push(await crash(bench, step, `t${i}`, { oneByOne: i % 2 === 0, qos: i % 4 < 2 ? 1 : 2 }))
    }
  }
  const stopOthers = (err: unknown) => {
    end = 0
    throw err
  }
  const ends = await Promise.allSettled(Array.from({ length: AT_A_TIME }, () => worker().catch(stopOthers)))
  for (const one of ends) if (one.status === 'rejected') throw one.reason
  return trials
}
