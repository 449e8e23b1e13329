import { type Bytes, equalBytes } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import type { MacKey } from '../crypto/provider.ts'
import { createCache } from '../db/cache.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Queryable } from '../db/db.ts'
import { unauthenticated } from './acting-key.ts'
import { createAddressTest } from './address-list.ts'
import { type ApiKeyKind, apiKeyDigest, parseApiKey } from './api-key.ts'
import { findPresentedKey } from './api-key-store.ts'
import { type Principal, scopesOf } from './principal.ts'

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
}

interface KnownKey {
  principal: Principal
  kind: ApiKeyKind
  digest: Bytes
  expiresAtMs: number
  isAllowedFrom: (address: string) => boolean
}

const KEYS_MAX = 10_000
const KEY_TTL_MS = 300_000

export function createAuthenticate(deps: {
  db: Queryable
  feed: ChangeFeed
  pepper: { id: string; mac: MacKey }
  clock: Pick<Clock, 'now'>
}): Authenticate {
  const { db, feed, pepper, clock } = deps
  const keys = createCache<KnownKey>({ feed, topic: 'api_key', max: KEYS_MAX, ttlMs: KEY_TTL_MS, load })

  async function load(keyId: string): Promise<KnownKey | undefined> {
    const stored = await findPresentedKey(db, keyId)
    if (stored?.pepperId !== pepper.id) return undefined
    const { tenantId, role, sandbox } = stored
    const ofRole = scopesOf(role)
    return {
      principal: {
        tenantId,
        keyId,
        role,
        sandbox,
        scopes: new Set(stored.scopes.filter((scope) => ofRole.has(scope))),
      },
      kind: sandbox ? 'test' : 'live',
      digest: stored.digest,
      expiresAtMs: stored.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
      isAllowedFrom: createAddressTest(stored.allowedAddresses),
    }
  }

  /** The checksum is judged before the database is asked, so that noise costs no query. */
  async function findCaller(presented: string | undefined, address: string): Promise<Principal | undefined> {
    const parts = presented === undefined ? undefined : parseApiKey(presented)
    const known = parts && (await keys.get(parts.keyId))
    if (!known || !equalBytes(known.digest, apiKeyDigest(pepper.mac, known.principal.tenantId, parts))) return undefined
    const isUsable = known.kind === parts.kind && known.expiresAtMs > clock.now() && known.isAllowedFrom(address)
    return isUsable ? known.principal : undefined
  }

  async function authenticate(presented: string | undefined, address: string): Promise<Principal> {
    const principal = await findCaller(presented, address)
    if (!principal) throw unauthenticated()
    return principal
  }
  return Object.assign(authenticate, { forget: (keyId: string) => keys.forget(keyId) })
}
