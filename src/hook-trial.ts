import type { BrokerAuthConfig, HookSettings } from './broker-auth/config.ts'
import type { DialectName } from './broker-auth/dialect.ts'
import type { SessionPlace } from './broker-auth/session.ts'
import { createSessionStore, type SessionStore } from './broker-auth/session-store.ts'
import { type TrialInput, type TrialResult, tryHook } from './broker-auth/try-hook.ts'
import { openBrokerServices } from './broker-services.ts'
import type { Config } from './config/config.ts'
import { AppError } from './core/errors.ts'
import type { Foundation } from './foundation.ts'
import { createActivePolicies } from './policies/active-policies.ts'

export type { TrialResult, TriedDecision, TriedQuestion } from './broker-auth/try-hook.ts'

export interface HookTrial extends TrialInput {
  /** Its name; absent: the only one of the dialect. */
  readonly hook: string | undefined
  readonly dialect: DialectName | undefined
}

/** A process that has just begun is slower than the server: it reads the policy, and has remembered nobody. */
const TIME_MS = 5_000

function chooseHook(hooks: readonly HookSettings[], { hook: name, dialect }: HookTrial): HookSettings {
  const fitting = hooks.filter(
    (one) => (name === undefined || one.name === name) && (dialect === undefined || one.dialect === dialect),
  )
  const [chosen, ...more] = fitting
  if (chosen && more.length === 0) return chosen
  const all = (chosen ? fitting : hooks).map((one) => `${one.name} (${one.dialect})`).join(', ')
  const what = chosen ? 'Several hooks fit; name one of' : 'No hook fits; there are'
  throw new AppError('request.invalid', `${what}: ${all}.`)
}

/** Sessions of the deployment, of which none is changed. */
function readOnlyStore({ db }: Foundation, place: SessionPlace): SessionStore {
  const store = createSessionStore(db, place)
  return { ...store, save: async () => {}, touch: async () => {}, remove: async () => {}, sweep: async () => 0 }
}

/**
 * Tries a hook of `BROKER_AUTH_CONFIG` beside the running server: with its providers, policy, blocked clients and sessions, and
 * without a trace in any of them: no session, no audit row, no unauthorised client.
 *
 * @throws {AppError} `request.invalid` when it is not clear which hook is meant
 */
export async function runTrial(
  foundation: Foundation,
  config: Config,
  trial: HookTrial,
  env: Readonly<Record<string, string | undefined>>,
): Promise<TrialResult> {
  const { db, feed, log, clock, audit } = foundation
  let chosen: HookSettings | undefined
  const choose = (all: BrokerAuthConfig): BrokerAuthConfig => {
    chosen = chooseHook(all.hooks, trial)
    const providers = Object.entries(all.providers).filter(([name]) => chosen?.providers.includes(name))
    const hook = { ...chosen, deadline_ms: Math.max(TIME_MS, chosen.deadline_ms) }
    return { ...all, providers: Object.fromEntries(providers), hooks: [hook] }
  }
  await using stack = new AsyncDisposableStack()
  const services = await openBrokerServices({ ...foundation, audit: { ...audit, record: async () => {} } }, config, {
    policies: createActivePolicies({ db, feed, log, now: () => clock.monotonic() }),
    unauthorisedClients: { logOf: () => ({ note() {} }) },
    env,
    choose,
    storeOf: (place) => readOnlyStore(foundation, place),
  })
  if (!services) throw new AppError('request.invalid', 'BROKER_AUTH_CONFIG is not set, so that there are no hooks.')
  stack.adopt(services, (one) => one.close())
  const [hook] = services.hooks.values()
  if (!hook || !chosen) throw new TypeError('a trial without a hook')
  return { ...(await tryHook(hook, trial)), deadlineMs: chosen.deadline_ms }
}
