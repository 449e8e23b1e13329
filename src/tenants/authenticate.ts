import type { Audit } from '../audit/audit.ts'
import { type Bytes, equalBytes } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { createCache } from '../db/cache.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import type { Peppers } from '../keys/deployment-keys.ts'
import { unauthenticated } from './acting-key.ts'
import { createAddressTest } from './address-list.ts'
import { type ApiKeyDigester, type ApiKeyKind, createApiKeyDigester, parseApiKey } from './api-key.ts'
import { findPresentedKey } from './api-key-store.ts'
import { type Principal, scopesOf } from './principal.ts'
import { createRedigest } from './redigest.ts'

/**
 * Finds out who presents an API key, from which address.
 *
 * @throws {AppError} `auth.unauthenticated`, one text for every reason: absent, malformed, unknown, wrong secret, revoked,
 * expired, of the other kind, from an address that is not allowed
 */
export interface Authenticate {
  (presented: string | undefined, address: string): Promise<Principal>
  /** Forgets a key in this process at once; the others learn of it by the change feed. */
  forget(keyId: string): void
  /** Resolves when no digest is on its way to another pepper. */
  settled(): Promise<void>
}

interface KnownKey {
  principal: Principal
  kind: ApiKeyKind
  digest: Bytes
  digestOf: ApiKeyDigester
  pepperId: string
  expiresAtMs: number
  isAllowedFrom: (address: string) => boolean
}

const KEYS_MAX = 10_000
const KEY_TTL_MS = 300_000

export function createAuthenticate(deps: {
  db: Db
  feed: ChangeFeed
  peppers: Peppers
  audit: Audit
  clock: Pick<Clock, 'now'>
  log: Log
}): Authenticate {
  const { db, feed, peppers, clock } = deps
  const redigest = createRedigest(deps)
  const keys = createCache<KnownKey>({ feed, topic: 'api_key', max: KEYS_MAX, ttlMs: KEY_TTL_MS, load })

  async function load(keyId: string): Promise<KnownKey | undefined> {
    const stored = await findPresentedKey(db, keyId)
    if (!stored) return undefined
    if (!peppers.find(stored.pepperId)) await peppers.refresh() // another process may have made one a moment ago
    const { tenantId, role, sandbox, rateLimit } = stored
    const ofRole = scopesOf(role)
    return {
      principal: {
        tenantId,
        keyId,
        role,
        sandbox,
        ...(rateLimit === null ? {} : { rateLimit }),
        scopes: new Set(stored.scopes.filter((scope) => ofRole.has(scope))),
      },
      kind: sandbox ? 'test' : 'live',
      digest: stored.digest,
      digestOf: createApiKeyDigester(tenantId, keyId),
      pepperId: stored.pepperId,
      expiresAtMs: stored.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
      isAllowedFrom: createAddressTest(stored.allowedAddresses),
    }
  }

  /** The checksum is judged before the database is asked, so that noise costs no query. */
  async function findCaller(presented: string | undefined, address: string): Promise<Principal | undefined> {
    const parts = presented === undefined ? undefined : parseApiKey(presented)
    const known = parts && (await keys.get(parts.keyId))
    const pepper = known && peppers.find(known.pepperId)
    if (!pepper) return undefined
    const { principal, pepperId } = known
    if (!equalBytes(known.digest, known.digestOf(pepper, parts.secret))) return undefined
    const isUsable = known.kind === parts.kind && known.expiresAtMs > clock.now() && known.isAllowedFrom(address)
    if (!isUsable) return undefined
    if (pepperId !== peppers.active.id) redigest({ tenantId: principal.tenantId, pepperId }, parts)
    return principal
  }

  async function authenticate(presented: string | undefined, address: string): Promise<Principal> {
    const principal = await findCaller(presented, address)
    if (!principal) throw unauthenticated()
    return principal
  }
  return Object.assign(authenticate, {
    forget: (keyId: string) => keys.forget(keyId),
    settled: () => redigest.settled(),
  })
}
