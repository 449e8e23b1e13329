import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { Secret } from '../core/secret.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import { type Db, firstPage, type Page } from '../db/db.ts'
import type { Peppers } from '../keys/deployment-keys.ts'
import { holdActingKey } from './acting-key.ts'
import { isAddressEntry } from './address-list.ts'
import { API_KEY_SECRET_BYTES, apiKeyDigest, formatApiKey, parseApiKey } from './api-key.ts'
import { type ApiKey, findApiKey, insertApiKey, listApiKeys, markRevoked, type StoredApiKey } from './api-key-store.ts'
import { assertDisplayName } from './display-name.ts'
import { isRole, isScope, isWithinRole, type Principal, type Role, type Scope, scopesOf } from './principal.ts'

export type { ApiKey } from './api-key-store.ts'

const MAX_ADDRESSES = 64

export interface NewApiKey {
  name: string
  /** Defaults to `viewer`, the least. */
  role?: string | undefined
  /** Default: all that the role has and the maker has too. */
  scopes?: readonly string[] | undefined
  expiresAt?: Date | undefined
  /** IP addresses and CIDR blocks; absent: those of the maker. */
  allowedAddresses?: readonly string[] | undefined
}

export interface ApiKeys {
  /**
   * Makes a key and returns its secret, once. A key never gives more than its maker has: role, scopes, life, addresses.
   *
   * @throws {AppError} `auth.forbidden` for more, `request.invalid` for a bad member, `auth.unauthenticated` when the maker
   * was revoked or expired meanwhile
   */
  create(caller: Caller, principal: Principal, input: NewApiKey): Promise<{ apiKey: ApiKey; secret: Secret<string> }>
  /** Newest first. */
  list(tenantId: string, page?: Page): Promise<ApiKey[]>
  /**
   * Refuses a key from now on, within a second on every replica. An API key cannot revoke one of a greater role.
   *
   * @throws {AppError} `object.not_found`, also when it is revoked already; `auth.forbidden`
   */
  revoke(caller: Caller, id: string): Promise<ApiKey>
}

export interface ApiKeysDeps {
  db: Db
  feed: ChangeFeed
  peppers: Pick<Peppers, 'active'>
  provider: Pick<CryptoProvider, 'randomBytes'>
  audit: Audit
  clock: Pick<Clock, 'now'>
}

const notFound = () => new AppError('object.not_found', 'No such object.')

const invalid = (message: string) => new AppError('request.invalid', message)

function parseRole(word: string): Role {
  if (!isRole(word)) throw invalid('role: must be viewer, editor, admin or owner.')
  return word
}

function parseScope(word: string, role: Role): Scope {
  if (!isScope(word)) throw invalid('scopes: an unknown word.')
  if (!scopesOf(role).has(word)) throw invalid(`scopes: the role ${role} does not have ${word}.`)
  return word
}

function decideScopes(input: NewApiKey, role: Role, principal: Principal): readonly Scope[] {
  if (input.scopes === undefined) return [...scopesOf(role)].filter((scope) => principal.scopes.has(scope))
  const wanted = [...new Set(input.scopes)].map((word) => parseScope(word, role))
  const missing = wanted.find((scope) => !principal.scopes.has(scope))
  if (missing) {
    throw new AppError('auth.forbidden', `Your API key lacks the scope ${missing}, so it cannot give it.`, {
      details: { scope: missing },
    })
  }
  return wanted
}

function decideExpiry(wanted: Date | undefined, maker: ApiKey, nowMs: number): Date | null {
  if (wanted === undefined) return maker.expiresAt
  if (!(wanted.getTime() > nowMs)) throw invalid('expires_at: must be in the future.')
  if (maker.expiresAt && wanted > maker.expiresAt) {
    throw new AppError('auth.forbidden', 'A key cannot outlive the one that makes it.')
  }
  return wanted
}

function decideAddresses(wanted: readonly string[] | undefined, maker: ApiKey): readonly string[] {
  if (wanted === undefined || wanted.length === 0) return maker.allowedAddresses
  if (wanted.length > MAX_ADDRESSES || !wanted.every(isAddressEntry)) {
    throw invalid(`allowed_addresses: must be at most ${MAX_ADDRESSES} IP addresses or CIDR blocks.`)
  }
  if (maker.allowedAddresses.length > 0 && !wanted.every((entry) => maker.allowedAddresses.includes(entry))) {
    throw new AppError('auth.forbidden', 'A key cannot be used from where the one that makes it cannot.')
  }
  return wanted
}

/** Makes a key and its secret; writes nothing. */
export function makeApiKey(
  { peppers, provider, clock }: Pick<ApiKeysDeps, 'peppers' | 'provider' | 'clock'>,
  tenant: { id: string; sandbox: boolean },
  grant: Pick<ApiKey, 'name' | 'role' | 'scopes' | 'expiresAt' | 'allowedAddresses'>,
): { stored: StoredApiKey; secret: Secret<string> } {
  const id = newId('key', clock.now())
  const secret = formatApiKey(tenant.sandbox ? 'test' : 'live', id, provider.randomBytes(API_KEY_SECRET_BYTES))
  const parts = parseApiKey(secret.reveal())
  if (!parts) throw new AppError('internal', 'A new API key cannot be read.')
  const pepper = peppers.active
  const stored = {
    ...grant,
    id,
    tenantId: tenant.id,
    sandbox: tenant.sandbox,
    digest: apiKeyDigest(pepper.mac, tenant.id, parts),
    pepperId: pepper.id,
    createdAt: new Date(clock.now()),
    revokedAt: null,
  }
  return { stored, secret }
}

/** The audit row of a change to a key; never its secret. */
export function apiKeyEvent(action: 'api_keys.create' | 'api_keys.revoke', caller: Caller, key: ApiKey): AuditEvent {
  const { id, name, role } = key
  const detail = {
    name,
    role,
    scopes: key.scopes.join(' '),
    expires_at: key.expiresAt?.toISOString() ?? null,
    allowed_addresses: key.allowedAddresses.join(' '),
  }
  return { ...caller, action, outcome: 'success', object: { kind: 'api_key', id }, detail }
}

function withoutSecrets({ digest: _digest, pepperId: _pepperId, sandbox: _sandbox, ...key }: StoredApiKey): ApiKey {
  return key
}

/** `forget` makes this process forget a revoked key before it answers; others hear of it a moment later. */
export function createApiKeys(deps: ApiKeysDeps & { forget: (keyId: string) => void }): ApiKeys {
  const { db, feed, clock, forget } = deps
  const change = createAuditedChange(deps)

  return {
    async create(caller, principal, input) {
      const role = parseRole(input.role ?? 'viewer')
      if (!isWithinRole(role, principal.role)) {
        throw new AppError('auth.forbidden', `A key with the role ${principal.role} cannot make one with ${role}.`)
      }
      assertDisplayName(input.name)
      const scopes = decideScopes(input, role, principal)
      return change(async (tx) => {
        const maker = await holdActingKey(tx, principal, clock.now(), 'share')
        const expiresAt = decideExpiry(input.expiresAt, maker, clock.now())
        const allowedAddresses = decideAddresses(input.allowedAddresses, maker)
        const tenant = { id: principal.tenantId, sandbox: principal.sandbox }
        const grant = { name: input.name, role, scopes, expiresAt, allowedAddresses }
        const { stored, secret } = makeApiKey(deps, tenant, grant)
        await insertApiKey(tx, stored)
        const apiKey = withoutSecrets(stored)
        return { result: { apiKey, secret }, events: [apiKeyEvent('api_keys.create', caller, apiKey)] }
      })
    },

    list: (tenantId, page = firstPage) => listApiKeys(db, tenantId, page),

    async revoke(caller, id) {
      const key = await findApiKey(db, caller.tenantId, id)
      if (!key || key.revokedAt) throw notFound()
      const actor = await findApiKey(db, caller.tenantId, caller.actor.id)
      if (actor && !isWithinRole(key.role, actor.role)) {
        throw new AppError('auth.forbidden', `A key with the role ${actor.role} cannot revoke one with ${key.role}.`)
      }
      const revokedAt = new Date(clock.now())
      const revoked = await change(async (tx) => {
        if (!(await markRevoked(tx, caller.tenantId, id, revokedAt))) throw notFound()
        await feed.announce(tx, 'api_key', id)
        return { result: { ...key, revokedAt }, events: [apiKeyEvent('api_keys.revoke', caller, key)] }
      })
      forget(id)
      return revoked
    },
  }
}
