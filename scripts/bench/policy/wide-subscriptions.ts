import type { CompiledPolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import { POLICY_SCHEMA, type PolicyDocument, type RuleDocument } from '#src/policy/document.ts'
import { median } from '../report.ts'
import { processorMs } from './measure.ts'
import { compiled } from './rates.ts'

/** With the allow of everything, as many rules as a document may have. */
const DENIES = 99_999
const deny = (i: number, topic: string, more: Partial<RuleDocument> = {}): RuleDocument => ({
  id: `d${i}`,
  effect: 'deny',
  topics: [topic],
  ...more,
})
const everything: RuleDocument = { id: 'all', effect: 'allow', priority: -1, topics: ['#'] }
const document = (rules: readonly RuleDocument[]): PolicyDocument => ({
  schema: POLICY_SCHEMA,
  id: 'wide',
  rules: [...rules, everything],
})
const many = (count: number, make: (i: number) => RuleDocument) => Array.from({ length: count }, (_, i) => make(i))

/** Documents in which a filter of wildcards meets every deny, and none of them ends the search early. */
const documents: Readonly<Record<string, () => PolicyDocument>> = {
  'literal paths': () => document(many(DENIES, (i) => deny(i, `a${i % 300}/b${i}/c`))),
  'wildcards in the middle': () => document(many(DENIES, (i) => deny(i, `a${i}/+/c/+/e`))),
  'carved out one by one': () =>
    document(
      many(Math.floor(DENIES / 2), (i) => deny(i, `a${i}/b/c`, { priority: 1 })).concat(
        many(Math.floor(DENIES / 2), (i) => ({ id: `h${i}`, effect: 'allow', priority: 2, topics: [`a${i}/b/#`] })),
      ),
    ),
  'filtered at delivery': () => document(many(DENIES, (i) => deny(i, `a${i}/b/#`, { overlap: 'filter' }))),
  'one tier per deny': () => document(many(DENIES, (i) => deny(i, `a${i}/b${i % 7}/c`, { priority: i }))),
}

const filters = ['#', '+/#', '+/+/#', '+/+/+', '+/+/c', '+/+/+/#', '+/+/x', '+/b/#', '+/+/c/+/x', '+/b1/+/+', 'a1/#']

const SESSIONS = 5

export interface WideRow {
  readonly document: string
  /** The slowest filter, by the median processor time of new sessions. */
  readonly filter: string
  readonly maxMs: number
  /** The slowest single decision of all, before anything is warm. */
  readonly coldMs: number
  readonly allows: number
  readonly denies: number
}

function measureFilter(policy: CompiledPolicy, filter: string) {
  const times: number[] = []
  let allows = 0
  for (let i = 0; i < SESSIONS; i++) {
    const session = createSession(policy, { clientId: 'c' })
    const startedMs = processorMs()
    const { decision } = session.decide({ action: 'subscribe', topic: filter, qos: 1 })
    times.push(processorMs() - startedMs)
    if (decision === 'allow') allows++
  }
  if (allows % SESSIONS !== 0) throw new Error(`${filter}: new sessions do not agree`)
  return { filter, isAllowed: allows > 0, ms: median(times), coldMs: Math.max(...times) }
}

export function measureWideSubscriptions(): readonly WideRow[] {
  return Object.entries(documents).map(([name, make]) => {
    const policy = compiled(make())
    const rows = filters.map((filter) => measureFilter(policy, filter))
    const slowest = rows.reduce((a, b) => (b.ms > a.ms ? b : a))
    const coldMs = Math.max(...rows.map((row) => row.coldMs))
    const allows = rows.filter(({ isAllowed }) => isAllowed).length
    return { document: name, filter: slowest.filter, maxMs: slowest.ms, coldMs, allows, denies: rows.length - allows }
  })
}
