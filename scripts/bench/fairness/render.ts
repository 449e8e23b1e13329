import type { FairnessResults, Felt } from './fairness.ts'

const one = (value: number) => value.toLocaleString('en', { maximumFractionDigits: 1 })
const whole = (value: number) => Math.round(value).toLocaleString('en')
const more = (ratio: number) => `${ratio >= 1 ? '+' : '−'}${Math.round(Math.abs(ratio - 1) * 100)} %`

/** Renders the results as the lines that stand in the README. */
export function renderFairness({
  rounds,
  victimPerS,
  quotaPerS,
  alone,
  neighbours,
  overload,
}: FairnessResults): string {
  const line = (name: string, { p50Ms, p99Ms, failed, count }: Felt, ratio: string, got: string) =>
    `| ${name} | ${one(p50Ms)} | ${one(p99Ms)} | ${ratio} | ${failed} of ${whole(count)} | ${got} |`
  const beside = neighbours.map(({ name, with: felt, ratio, ratios: { low, high }, statuses }) => {
    const got = Object.entries(statuses).map(([status, count]) => `${whole(count)} × ${status}`)
    return line(name, felt, `${more(ratio)} (${more(low)} to ${more(high)})`, got.join(', '))
  })
  const loads = overload.map(
    ({ times, offeredPerS, goodputPerS, capacityPerS, refused, refusedP50Ms, refusedP99Ms }) =>
      `| ${times} × | ${whole(offeredPerS)} | ${whole(goodputPerS)} (${Math.round((goodputPerS / capacityPerS) * 100)} %) | ${whole(refused)} | ${one(refusedP50Ms)} / ${one(refusedP99Ms)} |`,
  )
  return [
    `What a tenant that publishes ${victimPerS} times a second feels of another tenant, whose quota is ${quotaPerS} a second where it has one of its own. Milliseconds, from when a publish was due; medians of ${rounds} rounds, in each of which p99 is compared with that alone (in brackets the middle half of the rounds).`,
    '',
    '| beside it | p50 | p99 | p99 against alone | failed | what the neighbour got |',
    '| --- | --- | --- | --- | --- | --- |',
    line('nobody', alone, '', ''),
    ...beside,
    '',
    `A server that is asked for more than its ${whole(overload[0]?.capacityPerS ?? 0)} publishes a second (one tenant, generators on the same cores):`,
    '',
    '| asked for | asked and answered a second | of them successes | refusals timed | refusal: p50 / p99 ms |',
    '| --- | --- | --- | --- | --- |',
    ...loads,
  ].join('\n')
}

/** What was promised, beside what was measured. */
export function renderPromises({ neighbours, overload }: FairnessResults): string {
  const lines = neighbours.map(({ name, ratio, with: felt }) => {
    const held = ratio < 1.25 && felt.failed === 0
    return `${held ? 'held' : 'NOT HELD'}: ${name} moves p99 by less than 25 % and fails nothing (${more(ratio)}, ${felt.failed} failed)`
  })
  const [atQuota, beyond] = neighbours
  if (atQuota && beyond)
    lines.push(
      `what it asks for beyond its quota: p99 ${one(beyond.with.p99Ms)} ms, and ${one(atQuota.with.p99Ms)} ms while it keeps within it (${more(beyond.with.p99Ms / atQuota.with.p99Ms)})`,
    )
  const five = overload.find(({ times }) => times === 5)
  if (five) {
    const part = five.goodputPerS / five.capacityPerS
    const times = five.offeredPerS / five.capacityPerS
    lines.push(
      `${part >= 0.8 ? 'held' : 'NOT HELD'}: goodput at 5 times the capacity is at least 80 % of it (${Math.round(part * 100)} %, at ${one(times)} times, which is what this machine brought about beside the server)`,
    )
    lines.push(
      `${five.refused > 0 && five.refusedP99Ms < 100 ? 'held' : 'NOT HELD'}: refusals answer within 100 ms (p99 ${one(five.refusedP99Ms)} ms)`,
    )
  }
  return lines.join('\n')
}
