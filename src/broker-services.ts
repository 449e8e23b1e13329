import { readFile } from 'node:fs/promises'
import { type BrokerAuthConfig, type HookSettings, parseBrokerAuthConfig } from './broker-auth/config.ts'
import {
  type BrokerAuth,
  type BrokerAuthDeps,
  createBrokerAuth,
  type HookMaterial,
} from './broker-auth/create-broker-auth.ts'
import type { Config } from './config/config.ts'
import type { Foundation } from './foundation.ts'
import { createBlockedFollowers } from './identity/blocked/follow-blocked.ts'
import { readAnchors } from './identity/certificate/read-anchors.ts'
import { openProviders, ProvidersNotOpened } from './identity/open-providers.ts'
import { createSecretReader, type ReadSecret, SecretUnavailable } from './identity/secret-source.ts'
import type { UnauthorisedClients } from './identity/unauthorised/unauthorised-clients.ts'
import { createGuardedRequest } from './outbound/guarded-request.ts'
import type { Resolve } from './outbound/resolver.ts'
import type { Policies } from './policies/policies.ts'
import { withoutTenant } from './tenants/tenants.ts'

export interface BrokerServicesDeps {
  readonly policies: Pick<Policies, 'active'>
  readonly unauthorisedClients: Pick<UnauthorisedClients, 'logOf'>
  /** Where secrets that the configuration names may stand. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly resolve?: Resolve | undefined
  /** Chooses of what the file says; all of it when absent. */
  readonly choose?: (config: BrokerAuthConfig) => BrokerAuthConfig
  readonly storeOf?: BrokerAuthDeps['storeOf']
}

export interface BrokerServices extends BrokerAuth {
  readonly clientAuthorities: readonly string[] | undefined
}

const MIN_SECRET_BYTES = 16
/** It stands in a path or a header: visible ASCII, and nothing that ends a segment or a member. */
const SECRET = /^[\w.~!*'()+:@=-]+$/

function invalid(problems: readonly string[]): Error {
  return new Error(`Invalid BROKER_AUTH_CONFIG:\n${problems.map((line) => `  ${line}`).join('\n')}`)
}

async function readText(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((err: NodeJS.ErrnoException) => {
    throw new Error(`file ${JSON.stringify(file)} cannot be read: ${err.code}`)
  })
}

function readHookSecret({ secret: source }: HookSettings, readSecret: ReadSecret): HookMaterial['secret'] {
  const secret = source && readSecret(source)
  const text = secret && Buffer.from(secret.reveal()).toString('latin1')
  if (text !== undefined && (text.length < MIN_SECRET_BYTES || !SECRET.test(text)))
    throw new SecretUnavailable(
      `needs ${MIN_SECRET_BYTES} characters or more, each a letter, a digit or one of -._~!*'()+:@=`,
    )
  return secret
}

/** Reads what the sections of hooks refer to; every fault with its place. */
async function readMaterial(hooks: readonly HookSettings[], readSecret: ReadSecret, isTls: boolean) {
  const material = new Map<string, HookMaterial>()
  const authorities: string[] = []
  const problems: string[] = []
  for (const [i, hook] of hooks.entries()) {
    let secret: HookMaterial['secret']
    let anchors: HookMaterial['anchors']
    try {
      secret = readHookSecret(hook, readSecret)
    } catch (err) {
      if (!(err instanceof SecretUnavailable)) throw err
      problems.push(`hooks[${i}].secret: ${err.message}`)
    }
    const place = `hooks[${i}].mutual_tls`
    if (hook.mutual_tls && !isTls) problems.push(`${place}: needs TLS_CERT_FILE and TLS_KEY_FILE`)
    if (hook.mutual_tls) {
      try {
        const text = await readText(hook.mutual_tls.ca_file)
        const read = readAnchors(text)
        if ('problem' in read) problems.push(`${place}.ca_file: ${read.problem}`)
        else anchors = read.certificates
        authorities.push(text)
      } catch (err) {
        problems.push(`${place}.ca_file: ${(err as Error).message}`)
      }
    }
    material.set(hook.name, { secret, anchors })
  }
  return { material, authorities, problems }
}

/** A hook of no tenant could neither log nor audit; one whose policy comes later refuses until then. */
async function findPlaces(hooks: readonly HookSettings[], { db, log }: Foundation, policies: Pick<Policies, 'active'>) {
  const missing = await withoutTenant(
    db,
    hooks.map(({ tenant }) => tenant),
  )
  const problems = hooks.flatMap(({ tenant }, i) => (missing.has(tenant) ? [`hooks[${i}].tenant: no such tenant`] : []))
  if (problems.length > 0) throw invalid(problems)
  for (const { name, tenant, policy } of hooks) {
    if ((await policies.active(tenant, policy)) === undefined)
      log.warn({ hook: name, policy }, 'a hook whose policy is not there refuses everybody')
  }
}

async function readConfig(file: string): Promise<BrokerAuthConfig> {
  const text = await readText(file).catch((err: Error) => {
    throw invalid([err.message])
  })
  return parseBrokerAuthConfig(text)
}

/**
 * Opens the hooks that `BROKER_AUTH_CONFIG` describes; `undefined` where it is not set.
 *
 * @throws {Error} that names every fault of the file, and of what it refers to, and prints no value
 */
export async function openBrokerServices(
  foundation: Foundation,
  config: Config,
  { policies, unauthorisedClients, env, resolve, choose = (all) => all, storeOf }: BrokerServicesDeps,
): Promise<BrokerServices | undefined> {
  if (config.BROKER_AUTH_CONFIG === undefined) return undefined
  const { clock, log, ownListeners } = foundation
  await using stack = new AsyncDisposableStack()
  const hooks = choose(await readConfig(config.BROKER_AUTH_CONFIG))
  const readSecret = createSecretReader(env)
  const isTls = config.TLS_CERT_FILE !== undefined
  const { material, authorities, problems } = await readMaterial(hooks.hooks, readSecret, isTls)
  const allow = config.OUTBOUND_ALLOW
  const request = stack.adopt(
    createGuardedRequest({ allow, ownListeners: () => ownListeners, ...(resolve && { resolve }) }),
    (one) => one.close(),
  )
  const opened = await openProviders(hooks.providers, { clock, log, readSecret, request }).catch((err: unknown) => {
    if (err instanceof ProvidersNotOpened) throw invalid([...err.problems, ...problems])
    throw err
  })
  const providers = stack.adopt(opened, (one) => one.close())
  if (problems.length > 0) throw invalid(problems)
  await findPlaces(hooks.hooks, foundation, policies)
  const staleMs = Math.max(...hooks.hooks.map(({ stale_s: seconds }) => seconds)) * 1000
  const blocked = stack.adopt(createBlockedFollowers({ ...foundation, staleMs }), (one) => one.close())
  const brokerAuth = stack.adopt(
    createBrokerAuth({
      ...foundation,
      config: hooks,
      providers: providers.byName,
      material,
      blockedOf: blocked.follow,
      refusalsOf: ({ tenantId, hook }) => unauthorisedClients.logOf(tenantId, hook),
      policies,
      storeOf,
    }),
    (one) => one.close(),
  )
  await blocked.ready()
  const resources = stack.move()
  return {
    ...brokerAuth,
    clientAuthorities: authorities.length > 0 ? authorities : undefined,
    close: () => resources.disposeAsync(),
  }
}
