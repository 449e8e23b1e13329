import { createSession } from '#src/policy/decide.ts'
import { POLICY_SCHEMA, type PolicyDocument, type RuleDocument } from '#src/policy/document.ts'
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

export interface WideRow {
  readonly document: string
  /** The slowest filter and its processor time, the first time that a session asks. */
  readonly filter: string
  readonly maxMs: number
  readonly allows: number
  readonly denies: number
}

export function measureWideSubscriptions(): readonly WideRow[] {
  return Object.entries(documents).map(([name, make]) => {
    const policy = compiled(make())
    const rows = filters.map((filter) => {
      const session = createSession(policy, { clientId: 'c' })
      const startedMs = processorMs()
      const { decision } = session.decide({ action: 'subscribe', topic: filter, qos: 1 })
      return { filter, decision, ms: processorMs() - startedMs }
    })
    const slowest = rows.reduce((a, b) => (b.ms > a.ms ? b : a))
    const allows = rows.filter(({ decision }) => decision === 'allow').length
    return { document: name, filter: slowest.filter, maxMs: slowest.ms, allows, denies: rows.length - allows }
  })
}
