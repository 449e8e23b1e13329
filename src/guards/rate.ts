import { hash } from 'node:crypto'
import type { BucketPair } from './bucket.ts'
import { BucketTable } from './bucket-table.ts'
import type { GuardsConfig, Limit, RateLimitConfig } from './guards-config.ts'
import type { Caller, Refusal } from './outcome.ts'
import { TopicFilters } from './topic-filters.ts'

const ANONYMOUS = 'anonymous'
/** Longest key that is kept as it is: a client chooses its id, and 100,000 of them are remembered. */
const LONGEST_KEY = 256

/** The key of `per-client` for a caller; its digest when it is very long. */
export function bucketKey(keyBy: RateLimitConfig['keyBy'], caller: Caller): string {
  const keys = { client_id: caller.clientId, username: caller.username, client_ip: caller.ip }
  const key = keys[keyBy] ?? ANONYMOUS
  return key.length <= LONGEST_KEY ? key : `sha256:${hash('sha256', key)}`
}

/** One bucket that a message has to be paid from. */
interface Charge {
  readonly table: BucketTable
  readonly key: string
  /** As a refusal names it. */
  readonly name: string
  readonly pair: BucketPair
}

/** Milliseconds until both buckets of a pair would pay: 0 at once, Infinity never. */
function waitFor({ messages, bytes }: BucketPair, payloadCost: number, now: number): number {
  return Math.max(messages?.wait(1, now) ?? 0, bytes?.wait(payloadCost, now) ?? 0)
}

function sameLimit(a: Limit, b: Limit): boolean {
  return a.messagesPerSecond === b.messagesPerSecond && a.bytesPerSecond === b.bytesPerSecond && a.burst === b.burst
}

/** Limits messages and bytes by token buckets: all are tested, and then all or none are charged. */
export class RateLimiter {
  readonly #keyBy: RateLimitConfig['keyBy']
  readonly #global: BucketTable | null
  readonly #perClient: BucketTable | null
  readonly #topics: TopicFilters
  readonly #perTopic: readonly BucketTable[]

  /** Takes over the buckets of limits that `previous` has too. */
  constructor({ rateLimit, inspection }: GuardsConfig, previous?: RateLimiter) {
    const inspectedBytes = inspection.enabled ? inspection.maxPayloadSize : 0
    const table = (limit: Limit, before: BucketTable | null | undefined): BucketTable => {
      if (!before || !sameLimit(limit, before.limit)) return new BucketTable(limit, inspectedBytes)
      before.setInspectedBytes(inspectedBytes)
      return before
    }
    const { global, perClient, perTopic, keyBy } = rateLimit
    this.#keyBy = keyBy
    this.#global = global && table(global, previous ? previous.#global : null)
    const sameKeys = previous && previous.#keyBy === keyBy
    this.#perClient = perClient && table(perClient, sameKeys ? previous.#perClient : null)
    this.#topics = new TopicFilters(perTopic.map(({ topic }) => topic))
    const left = previous ? previous.#entries() : []
    this.#perTopic = perTopic.map(({ topic, limit }) => {
      const at = left.findIndex((one) => one.topic === topic && sameLimit(one.table.limit, limit))
      return table(limit, at === -1 ? null : left.splice(at, 1)[0]?.table)
    })
  }

  #entries(): { topic: string; table: BucketTable }[] {
    return this.#perTopic.map((table, i) => ({ topic: this.#topics.filters[i] as string, table }))
  }

  /** Charges a message, or says which limit it is beyond; with `charges: false` it only asks. */
  check(
    topic: string,
    payloadBytes: number,
    caller: Caller,
    now: number,
    { charges: isCharged = true }: { charges?: boolean } = {},
  ): Refusal | null {
    if (!Number.isFinite(now)) throw new RangeError('the clock gives no time')
    const payloadCost = Math.max(1, payloadBytes)
    const charges = this.#chargesFor(topic, caller)
    const waits = charges.map(({ pair }) => waitFor(pair, payloadCost, now))
    const first = charges[waits.findIndex((wait) => wait > 0)]
    if (!first) {
      if (isCharged) for (const { table, key, pair } of charges) table.charge(key, pair, payloadCost, now)
      return null
    }
    const longest = Math.max(...waits)
    return {
      rule: 'rate-limited',
      guard: 'rate',
      limit: first.name,
      reason: `the limit ${first.name} is used up`,
      ...(Number.isFinite(longest) && { retryAfterS: Math.ceil(longest / 1_000) }),
    }
  }

  #chargesFor(topic: string, caller: Caller): readonly Charge[] {
    const charges: Charge[] = []
    const add = (table: BucketTable, key: string, name: string) =>
      charges.push({ table, key, name, pair: table.of(key) })
    if (this.#global) add(this.#global, '', 'global')
    if (this.#perClient) {
      const key = bucketKey(this.#keyBy, caller)
      add(this.#perClient, key, `per-client:${key}`)
    }
    for (const i of this.#topics.allMatches(topic)) {
      add(this.#perTopic[i] as BucketTable, '', `per-topic:${this.#topics.filters[i]}`)
    }
    return charges
  }
}
