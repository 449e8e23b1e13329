import type { Audit } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Secret } from '../core/secret.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import type { Certificate } from '../identity/certificate/parse-certificate.ts'
import { type Blocked, createAuthenticator, type RefusalLog } from '../identity/chain.ts'
import { createClientIdRules } from '../identity/client-ids.ts'
import type { Provider } from '../identity/provider.ts'
import { type ActivePolicies, policyTopicKey } from '../policies/active-policies.ts'
import type { BrokerAuthConfig, HookSettings } from './config.ts'
import type { CreateDialect, DialectName } from './dialect.ts'
import { createEmqx } from './dialects/emqx.ts'
import { createGoAuth } from './dialects/go-auth.ts'
import { createRabbitmq } from './dialects/rabbitmq.ts'
import { createTbmq } from './dialects/tbmq.ts'
import { createVernemq } from './dialects/vernemq.ts'
import { createGuard } from './guard.ts'
import { createHook, type Hook } from './hook.ts'
import { createNotes, type HookPlace, type Notes } from './notes.ts'
import { createPolicyFollower } from './policy-follower.ts'
import { createReception, type Reception } from './reception.ts'
import type { SessionPlace } from './session.ts'
import { createSessionStore, type SessionStore, sweepForgotten } from './session-store.ts'
import { createSessions } from './sessions.ts'

export const dialects: Readonly<Record<DialectName, CreateDialect>> = {
  'go-auth': createGoAuth,
  emqx: createEmqx,
  rabbitmq: createRabbitmq,
  tbmq: createTbmq,
  vernemq: createVernemq,
}

/** The most that `session_idle_s` may say: nobody asks any more for what is older, as of a hook that was taken away. */
const LONGEST_IDLE_MS = 2_592_000_000

/** What a hook's section refers to, read from where the operator keeps it. */
export interface HookMaterial {
  readonly secret: Secret<Uint8Array> | undefined
  readonly anchors: readonly Certificate[] | undefined
}

export interface BrokerAuthDeps {
  readonly config: BrokerAuthConfig
  readonly providers: ReadonlyMap<string, Provider>
  /** By name of the hook. */
  readonly material: ReadonlyMap<string, HookMaterial>
  readonly blockedOf: (tenantId: string) => Blocked
  readonly refusalsOf: (place: HookPlace) => RefusalLog
  readonly policies: Pick<ActivePolicies, 'active'>
  readonly db: Db
  /** Where sessions are kept; in the database when absent. */
  readonly storeOf?: ((place: SessionPlace) => SessionStore) | undefined
  readonly feed: ChangeFeed
  readonly audit: Audit
  readonly clock: Clock
  readonly log: Log
}

export interface BrokerAuth extends Reception {
  /** By name. */
  readonly hooks: ReadonlyMap<string, Hook>
  readonly notes: Notes
  /** Deletes sessions that are over. @returns how many */
  sweep(): Promise<number>
  /** @throws {AppError} `audit.unavailable` when the last rows could not be written */
  close(): Promise<void>
}

function hookOf(settings: HookSettings, deps: BrokerAuthDeps, notes: Notes): Hook {
  const { config, providers, db, feed, policies, clock, log } = deps
  const place = { hook: settings.name, tenantId: settings.tenant }
  const isWellFormed = createClientIdRules(config.client_ids)
  const [blocked, refusals] = [deps.blockedOf(settings.tenant), deps.refusalsOf(place)]
  const staleMs = settings.stale_s * 1000
  return createHook({
    settings,
    dialect: dialects[settings.dialect]({
      answers: settings.answers,
      tokenFrom: settings.token_from,
      vhost: settings.vhost,
      mountpoint: settings.mountpoint,
    }),
    authenticator: createAuthenticator({
      providers: settings.providers.map((name) => providers.get(name) as Provider), // the configuration has been checked
      clientIds: (id) => id === '' || isWellFormed(id), // the broker does not say it with this question
      blocked,
      refusals,
      log,
    }),
    blocked,
    refusals,
    policy: createPolicyFollower({
      read: () => policies.active(settings.tenant, settings.policy),
      feed,
      topicKey: policyTopicKey(settings.tenant, settings.policy),
      staleMs,
      monotonic: () => clock.monotonic(),
      missing: () =>
        log.warn(
          { hook: settings.name, tenant: settings.tenant, policy: settings.policy },
          'the policy of a hook is there no more: the hook refuses everybody',
        ),
    }),
    sessions: createSessions({
      place,
      store: deps.storeOf?.(place) ?? createSessionStore(db, place),
      feed,
      limits: {
        max: settings.max_sessions,
        maxPerUser: settings.max_sessions_per_user,
        idleMs: settings.session_idle_s * 1000,
        staleMs,
      },
      clock,
      log,
    }),
    clock,
    log,
    tell: (question, answer) => notes.tell(place, question, answer),
  })
}

/** Creates the hooks of a configuration; nothing listens yet. */
export function createBrokerAuth(deps: BrokerAuthDeps): BrokerAuth {
  const { config, material, db, clock, log } = deps
  const notes = createNotes(deps)
  const hooks = new Map(config.hooks.map((settings) => [settings.name, hookOf(settings, deps, notes)]))
  const doors = [...hooks.values()].map((hook) => {
    const { name, tenant, addresses, mutual_tls: mutualTls } = hook.settings
    const { secret, anchors } = material.get(name) ?? {}
    const place = { hook: name, tenantId: tenant }
    const certified = mutualTls && { anchors: anchors ?? [], names: mutualTls.names }
    return {
      hook,
      share: { underWay: 0 },
      guard: createGuard({ secret, addresses, mutualTls: certified }, () => clock.now()),
      tell: (answer: Parameters<Notes['tell']>[2]) => notes.tell(place, undefined, answer),
    }
  })
  for (const { settings } of hooks.values()) {
    if (settings.providers.length === 0) log.warn({ hook: settings.name }, 'a hook without providers refuses everybody')
  }
  return {
    ...createReception(doors, log, () => clock.monotonic()),
    hooks,
    notes,
    async sweep() {
      let swept = await sweepForgotten(db, new Date(clock.now() - LONGEST_IDLE_MS))
      for (const hook of hooks.values()) swept += await hook.sweep()
      return swept
    },
    async close() {
      await Promise.all([...hooks.values()].map((hook) => hook.close()))
      await notes.close()
    },
  }
}
