import type { RuleDocument } from '#src/policy/document.ts'
import { IDENTITIES, type Workload } from './workload.ts'

const allow = (i: number, topic: string, more: Partial<RuleDocument> = {}): RuleDocument => ({
  id: `r${i}`,
  effect: 'allow',
  actions: ['publish', 'subscribe', 'receive'],
  topics: [topic],
  ...more,
})

const machine = (i: number) => `plant/${i % 100}/machine/${i}`

/** The five workloads of the budgets: each makes another part of the engine work. */
export const workloads: readonly Workload[] = [
  {
    name: 'static',
    rule: (i) => allow(i, `${machine(i)}/+/value`),
    topic: (i, who, direction, random) =>
      `${machine(i)}/${direction === 'subscribe' && random.below(2) === 0 ? '+' : `s${who}`}/value`,
  },
  {
    name: 'variables',
    rule: (i) => allow(i, `app/${i}/\${clientId}/#`),
    topic: (i, who, direction, random) =>
      `app/${i}/client-${who}/${direction === 'subscribe' ? random.pick(['#', '+/in', 'in']) : `out/${random.below(9)}`}`,
  },
  {
    name: 'one tier per rule',
    rule: (i) => allow(i, `${machine(i)}/+/value`, { priority: i }),
    topic: (i, who, direction, random) =>
      `${machine(i)}/${direction === 'subscribe' && random.below(2) === 0 ? '+' : `s${who}`}/value`,
  },
  {
    name: 'rules that differ only in when.username',
    rule: (i) => allow(i, 'desk/+/#', { when: { username: `user-${i}` } }),
    topic: (i, _, direction, random) =>
      `desk/${i}/${direction === 'subscribe' ? random.pick(['#', '+', 'in']) : `m${random.below(99)}`}`,
  },
  {
    name: '1,000 regexes with distinct literal prefixes',
    only: [IDENTITIES],
    rule: (i) => ({ ...allow(i, ''), topics: [{ regex: `area-${i}/[^/]+/(cmd|state)/.*` }] }),
    topic: (i, who, direction, random) =>
      `area-${i}/d${who}/${random.pick(['cmd', 'state', 'other'])}/${direction === 'subscribe' ? random.pick(['#', 'x']) : 'x'}`,
  },
]

/** Of twenty rules: 8 literal, 6 with `+`, 4 with `${clientId}`, one that ends in `/#`, one deny. */
export const mix: Workload = {
  name: 'mix',
  rule(i) {
    const kind = i % 20
    if (kind < 8) return allow(i, `site/${i}/gate/open`)
    if (kind < 14) return allow(i, `area/${i}/+/status`)
    if (kind < 18) return allow(i, `box/${i}/\${clientId}/data`)
    if (kind === 18) return allow(i, `zone/${i}/#`)
    return {
      id: `r${i}`,
      effect: 'deny',
      actions: ['publish', 'subscribe', 'receive'],
      topics: [`area/${i - 6}/admin/status`],
    }
  },
  topic(i, who, direction, random) {
    const kind = i % 20
    const isWide = direction === 'subscribe' && random.below(2) === 0
    if (kind < 8) return `site/${i}/gate/${random.pick(['open', 'open', `n${who}`])}`
    if (kind < 14) return `area/${i}/${isWide ? '+' : `s${random.below(5000)}`}/status`
    if (kind < 18) return `box/${i}/client-${who}/data`
    if (kind === 18) return `zone/${i}/${isWide ? '#' : `z${random.below(5000)}`}`
    return `area/${i - 6}/admin/${random.pick(['status', `n${who}`])}`
  },
}
