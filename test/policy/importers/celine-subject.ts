import type { AccessAction } from '#src/policy/access.ts'
import type { Identity } from '#src/policy/identity.ts'
import type { CelineSubject } from './celine-model.ts'
import type { Imported } from './imported.ts'

const bits: readonly (readonly [bit: number, action: AccessAction])[] = [
  [4, 'subscribe'],
  [2, 'publish'],
  [1, 'receive'],
]

export const celineActions: Readonly<Record<string, AccessAction>> = {
  subscribe: 'subscribe',
  read: 'receive',
  publish: 'publish',
}

export function celineIdentity({ id, type, groups, scopes }: CelineSubject): Identity {
  return { sub: id, type, groups, scopes }
}

/** Answers the access mask of mosquitto-go-auth: at least one bit, and every one known and allowed. */
export function allowsMask(policy: Imported, who: CelineSubject, topic: string, acc: number): boolean {
  const known = bits.reduce((all, [bit]) => all | bit, 0)
  if (acc === 0 || (acc & ~known) !== 0) return false
  const subject = policy.as(celineIdentity(who))
  return bits.every(([bit, action]) => (acc & bit) === 0 || subject.allows(action, topic))
}
