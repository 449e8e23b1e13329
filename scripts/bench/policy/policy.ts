// The policy part of the benchmark, alone: `node scripts/bench/policy/policy.ts`. Prints a table, and says which budgets of
// the specification are met.
import { runStep } from '../../step.ts'
import { type Activation, measureActivation } from './activation.ts'
import { type CasbinRow, measureCasbin } from './casbin.ts'
import { measureWorkload, type RateRow } from './rates.ts'
import { renderBudgets, renderPolicy } from './render.ts'
import { measureWideSubscriptions, type WideRow } from './wide-subscriptions.ts'
import { mix, workloads } from './workloads.ts'

const SIZES = [10, 1_000, 100_000]

export interface PolicyResults {
  readonly rates: readonly RateRow[]
  readonly casbin: readonly CasbinRow[]
  readonly wide: readonly WideRow[]
  readonly activation: Activation
}

/** Measures the policy engine beside a linear scan and beside casbin, all in one run. */
export async function benchPolicy(): Promise<PolicyResults> {
  const activation = await runStep('Activation of 100,000 rules', measureActivation)
  const rates: RateRow[] = []
  for (const workload of [mix, ...workloads]) {
    for (const rules of workload.only ?? SIZES) {
      rates.push(...(await runStep(`${workload.name}, ${rules} rules`, async () => measureWorkload(workload, rules))))
    }
  }
  const wide = await runStep('Wide subscriptions', async () => measureWideSubscriptions())
  const casbin: CasbinRow[] = []
  for (const rules of [10, 1_000]) casbin.push(await runStep(`casbin, ${rules} rules`, () => measureCasbin(mix, rules)))
  return { rates, casbin, wide, activation }
}

if (import.meta.main) {
  const results = await benchPolicy()
  console.log(`\n${renderPolicy(results)}\n\n${renderBudgets(results)}`)
}
