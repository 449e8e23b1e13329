import type { PolicyResults } from './policy.ts'
import type { RateRow } from './rates.ts'

const whole = (value: number) => Math.round(value).toLocaleString('en')
const tenth = (value: number) => value.toFixed(1)
const millions = (value: number) => (value >= 995_000 ? `${(value / 1e6).toFixed(2)} M` : whole(value))
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

export interface Budget {
  readonly name: string
  readonly value: string
  readonly isMet: boolean
}

const USERNAMES = 'rules that differ only in when.username'

function rateBudgets({ workload, direction, rules, perS, smallPerS, linearPerS }: RateRow): readonly Budget[] {
  const about = `${workload}, ${whole(rules)} rules, ${direction}`
  const least =
    rules === 1_000 ? (direction === 'publish' ? 1_500_000 : 1_000_000) : workload === USERNAMES ? 1_000_000 : 300_000
  const rate = { name: `${about}: at least ${millions(least)} a second`, value: millions(perS), isMet: perS >= least }
  if (rules === 1_000) {
    const times = perS / linearPerS
    return [rate, { name: `${about}: at least 20 × the linear scan`, value: `${tenth(times)} ×`, isMet: times >= 20 }]
  }
  if (rules < 1_000) return []
  const slower = smallPerS / perS
  return [
    rate,
    {
      name: `${about}: at most 3 × slower than 10 rules and 500 requests`,
      value: `${tenth(slower)} ×`,
      isMet: slower <= 3,
    },
  ]
}

/** The budgets of the specification beside what was measured. */
export function policyBudgets({ rates, wide, activation }: PolicyResults): readonly Budget[] {
  const slowest = Math.max(...wide.map(({ maxMs }) => maxMs))
  const { firstDecisionUs } = activation
  const longestPauseMs = Math.max(activation.parsePauseMs, activation.compilePauseMs)
  return [
    ...rates.flatMap(rateBudgets),
    { name: 'any SUBSCRIBE at 100,000 denies: at most 100 ms', value: `${tenth(slowest)} ms`, isMet: slowest <= 100 },
    {
      name: 'first decision of a new session: at most 20 µs',
      value: `${tenth(firstDecisionUs)} µs`,
      isMet: firstDecisionUs <= 20,
    },
    {
      name: 'activation of 100,000 rules: no pause above 50 ms',
      value: `${tenth(longestPauseMs)} ms`,
      isMet: longestPauseMs <= 50,
    },
  ]
}

/** Renders the results as Markdown. */
export function renderPolicy(results: PolicyResults): string {
  const { rates, casbin, wide, activation } = results
  return [
    'Policy decisions a second of one core (processor time), sessions kept, no decision cache; 20,000 distinct requests of 1,000 identities.',
    '',
    table(
      ['workload', 'rules', '', 'engine', 'linear scan', 'faster'],
      rates.map((row) => [
        row.workload,
        whole(row.rules),
        row.direction,
        millions(row.perS),
        whole(row.linearPerS),
        `${whole(row.perS / row.linearPerS)} ×`,
      ]),
    ),
    '',
    table(
      ['publish, mix', 'engine', 'casbin', 'faster'],
      casbin.map(({ rules, perS, ourPerS }) => [
        `${whole(rules)} rules`,
        millions(ourPerS),
        whole(perS),
        `${whole(ourPerS / perS)} ×`,
      ]),
    ),
    '',
    table(
      ['100,000 denies', 'slowest filter', 'time', 'first of all'],
      wide.map(({ document, filter, maxMs, coldMs }) => [
        document,
        `\`${filter}\``,
        `${tenth(maxMs)} ms`,
        `${tenth(coldMs)} ms`,
      ]),
    ),
    '',
    `100,000 rules are taken into use in ${whole(activation.parseMs)} ms (check; longest pause ${tenth(activation.parsePauseMs)} ms) and ${whole(activation.compileMs)} ms (index; ${tenth(activation.compilePauseMs)} ms), and take ${whole(activation.policyMiB)} MiB; a new session decides for the first time after ${tenth(activation.firstDecisionUs)} µs and takes ${tenth(activation.sessionKiB)} KiB.`,
  ].join('\n')
}

/** Says which budgets were met, for whoever works on the engine. */
export function renderBudgets(results: PolicyResults): string {
  const budgets = policyBudgets(results)
  const missed = budgets.filter(({ isMet }) => !isMet)
  if (missed.length === 0) return `All ${budgets.length} budgets are met.`
  const lines = missed.map(({ name, value }) => `  ${name} (${value})`)
  return [`${missed.length} of ${budgets.length} budgets are missed:`, ...lines].join('\n')
}
