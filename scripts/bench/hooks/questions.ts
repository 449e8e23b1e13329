import { createSession } from '#src/policy/decide.ts'
import { Random } from '../policy/random.ts'
import { compiled } from '../policy/rates.ts'
import { documentOf, identities } from '../policy/workload.ts'
import { mix } from '../policy/workloads.ts'
import { CLIENTS, RULES } from './deployment.ts'

/** One question of a broker about a topic. */
export interface AclQuestion {
  readonly who: number
  readonly acc: 1 | 2 | 4
  readonly topic: string
}

const ACTIONS = { 1: 'receive', 2: 'publish', 4: 'subscribe' } as const

/** Distinct questions, as often about a delivery as about a publish, and one of ten about a subscription. */
export function askAcl(
  allowed: number,
  refused: number,
): Readonly<Record<'allowed' | 'refused', readonly AclQuestion[]>> {
  const policy = compiled(documentOf(mix, RULES))
  const sessions = identities.slice(0, CLIENTS).map((identity) => createSession(policy, identity))
  const random = new Random(1)
  const seen = new Set<string>()
  const found = { allowed: [] as AclQuestion[], refused: [] as AclQuestion[] }
  while (found.allowed.length < allowed || found.refused.length < refused) {
    const who = random.below(CLIENTS)
    const acc = random.pick<AclQuestion['acc']>([1, 1, 1, 1, 2, 2, 2, 2, 4, 4])
    const topic = mix.topic(random.below(RULES), who, acc === 4 ? 'subscribe' : 'publish', random)
    const key = `${who} ${acc} ${topic}`
    if (seen.has(key)) continue
    seen.add(key)
    const decision = sessions[who]?.decide({ action: ACTIONS[acc], topic }).decision
    const [list, most] = decision === 'allow' ? [found.allowed, allowed] : [found.refused, refused]
    if (list.length < most) list.push({ who, acc, topic })
  }
  return found
}

/** In the words of go-auth's backend `http`; `named` gives the name that it says, which is a token in that of `jwt`. */
export function aclBody({ who, acc, topic }: AclQuestion, named = (one: number): string => `user-${one}`): string {
  return JSON.stringify({ acc, clientid: `client-${who}`, topic, username: named(who) })
}
