import { type Enforcer, newEnforcer, newModelFromString } from 'casbin'
import type { PolicyDocument } from '#src/policy/document.ts'
import { topicMatches } from '#src/policy/topic-matches.ts'
import { measureRate, processorMs } from './measure.ts'
import { compiled, engineQuestions } from './rates.ts'
import { type Ask, asksOf, documentOf, identities, type Workload } from './workload.ts'

const MODEL = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = obj, act, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.act == p.act && topicMatch(r.sub, r.obj, p.obj)
`
const MEASURED_MS = 3_000

export interface CasbinRow {
  readonly rules: number
  readonly perS: number
  /** The engine, asked the same. */
  readonly ourPerS: number
  readonly compared: number
}

/** The same rules for casbin: one policy line for each topic, and a matcher for MQTT filters as it is written for it. */
async function createEnforcer(document: PolicyDocument): Promise<Enforcer> {
  const enforcer = await newEnforcer(newModelFromString(MODEL))
  await enforcer.addFunction('topicMatch', (clientId: string, topic: string, pattern: string) =>
    topicMatches(
      pattern.replace('${clientId}', () => clientId),
      topic,
    ),
  )
  const lines = document.rules.flatMap(({ topics = [], effect }) =>
    topics.map((topic) => {
      if (typeof topic !== 'string') throw new Error('casbin is given filters alone')
      return [topic, 'publish', effect]
    }),
  )
  await enforcer.addPolicies(lines)
  return enforcer
}

/** Publishes, which casbin can decide: what a filter contains or overlaps it cannot say. */
export async function measureCasbin(workload: Workload, rules: number): Promise<CasbinRow> {
  const document = documentOf(workload, rules)
  const asks: readonly Ask[] = asksOf(workload, rules, 'publish', 20_000)
  const enforcer = await createEnforcer(document)
  const ours = engineQuestions(compiled(document), asks)
  let compared = 0
  const startedMs = processorMs()
  const answers: boolean[] = []
  for (const { who, request } of asks) {
    if (processorMs() - startedMs > MEASURED_MS) break
    answers.push(enforcer.enforceSync(identities[who]?.clientId, request.topic, 'publish'))
  }
  const perS = (answers.length / (processorMs() - startedMs)) * 1000
  for (const [i, allowed] of answers.entries()) {
    const [decider, request] = ours[i] ?? []
    if (decider === undefined || request === undefined) throw new RangeError('fewer questions than answers')
    if ((decider.decide(request).decision === 'allow') !== allowed)
      throw new Error(`casbin decides otherwise: ${request.topic}`)
    compared++
  }
  return { rules, perS, ourPerS: measureRate(ours), compared }
}
