import type { AccessAction, AccessRequest, Decision } from '../policy/access.ts'
import { decideBoth } from '../policy/combine.ts'
import { type CompiledPolicy, compilePolicy } from '../policy/compile-policy.ts'
import { createSession, type PolicySession } from '../policy/decide.ts'
import type { Identity } from '../policy/identity.ts'
import { parsePolicy } from '../policy/parse-policy.ts'
import type { HookSettings, Permissions } from './config.ts'
import { decideUnsaid, type LooksAt, looksAt } from './decide-unsaid.ts'
import type { AccessVerdict, Want } from './dialect.ts'
import type { Session } from './session.ts'

/** What is worked out of a session under the policy that decides now. */
export interface Prepared {
  readonly compiled: CompiledPolicy | undefined
  readonly stored: PolicySession | undefined
  readonly own: PolicySession | undefined
  readonly ownRules: CompiledPolicy | undefined
  readonly looks: LooksAt
  readonly capabilities: ReadonlySet<string> | undefined
  readonly isSuperuser: boolean
}

const DENIED: AccessVerdict = { allowed: false }
const NO_LOOKS: LooksAt = { qos: false, retain: false, will: false }

const capabilityOf = {
  publish: 'publish',
  will: 'publish',
  subscribe: 'subscribe',
  unsubscribe: 'subscribe',
  receive: 'read',
  connect: undefined,
} as const satisfies Record<AccessAction, string | undefined>

function capabilitiesOf({ groups = [], scopes = [] }: Identity, map: Permissions): ReadonlySet<string> {
  const given = (holders: Readonly<Record<string, readonly string[]>>, held: readonly string[]) =>
    held.flatMap((name) => (Object.hasOwn(holders, name) ? (holders[name] ?? []) : []))
  return new Set([...given(map.groups, groups), ...given(map.scopes, scopes)])
}

/** Whether a hook names somebody, by a group or a scope, as one who may do anything. */
export function isSuperuser(identity: Identity, superuser: HookSettings['superuser']): boolean {
  if (superuser === undefined) return false
  const { groups = [], scopes = [] } = identity
  return groups.some((one) => superuser.groups.includes(one)) || scopes.some((one) => superuser.scopes.includes(one))
}

const compiledRules = new WeakMap<Session, CompiledPolicy | undefined>()

/** The rules that came with the credentials; `undefined` where there are none, or none that are understood. */
export function ownRulesOf(session: Session): CompiledPolicy | undefined {
  if (session.rules === undefined) return undefined
  if (!compiledRules.has(session)) {
    const { policy } = parsePolicy(session.rules)
    compiledRules.set(session, policy && compilePolicy(policy))
  }
  return compiledRules.get(session)
}

/** Works out what a session may be asked about; `active` is the policy that decides now, and absent where there is none. */
export function prepare(session: Session, active: CompiledPolicy | undefined, settings: HookSettings): Prepared {
  const { identity } = session
  const own = ownRulesOf(session)
  const compiled = session.rules !== undefined && own === undefined ? undefined : active // rules that are none
  const a = compiled ? looksAt(compiled) : NO_LOOKS
  const b = own ? looksAt(own) : NO_LOOKS
  return {
    compiled: active,
    stored: compiled && createSession(compiled, identity),
    own: own && createSession(own, identity),
    ownRules: own,
    looks: { qos: a.qos || b.qos, retain: a.retain || b.retain, will: a.will || b.will },
    capabilities: settings.permissions && capabilitiesOf(identity, settings.permissions),
    isSuperuser: isSuperuser(identity, settings.superuser),
  }
}

/**
 * Whether the permission map of the hook lets the identity do it at all. Where nobody asks before deliveries, a subscription is
 * what brings them: it takes both capabilities.
 */
export function mayTry({ capabilities }: Prepared, action: AccessAction, delivery: boolean): boolean {
  const needed = capabilityOf[action]
  if (needed === undefined || capabilities === undefined) return true
  return capabilities.has(needed) && (delivery || action !== 'subscribe' || capabilities.has(capabilityOf.receive))
}

/** Decides one want: superuser, permission map, policy and own rules. @param delivery whether the broker asks before deliveries */
export function verdictOn(prepared: Prepared, want: Want, delivery: boolean): AccessVerdict {
  const { stored, own, looks } = prepared
  if (stored === undefined) return DENIED
  const decide = (request: AccessRequest): Decision =>
    own === undefined ? stored.decide(request, delivery) : decideBoth(stored, own, request, delivery)
  if (prepared.isSuperuser) {
    const decision = decide(want) // a superuser may do anything that is something
    const isNothing = decision.reason.startsWith('invalid')
    return isNothing ? { allowed: false, decision } : { allowed: true }
  }
  if (!mayTry(prepared, want.action, delivery)) return DENIED
  const decision = decideUnsaid(decide, want, looks)
  return { allowed: decision.decision === 'allow', decision }
}
