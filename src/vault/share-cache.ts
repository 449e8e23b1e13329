import { LRUCache } from 'lru-cache'
import { type Bytes, copyBytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { toHex } from '../core/hex.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { encodeContext, type RecordContext, type StoredRecord } from './record.ts'

const SHARES_MAX = 10_000
/** Milliseconds that an unwrapped share stays in memory. */
const SHARE_TTL_MS = 300_000

/** The name under which an entry is cached and its changes are announced. */
export function vaultTopicKey(tenantId: string, entryId: string): string {
  return `${tenantId}/${entryId}`
}

/** The encryption context of a share: the key wrapper authenticates tenant, entry and version. */
export function shareContext({ tenantId, entryId, version }: RecordContext) {
  const ids = { tenant_id: tenantId, entry_id: entryId, version: String(version) }
  return { ...ids, purpose: 'vault-share' as const }
}

export interface ShareCache {
  /**
   * Unwraps the share of a record; the caller gets a copy and wipes it. One request to the key wrapper at a time for each.
   *
   * @throws {AppError} `kms.unavailable`
   */
  unwrap(context: RecordContext, record: Pick<StoredRecord, 'shareKmsKeyId' | 'wrappedShare'>): Promise<Bytes>
}

/**
 * Keeps unwrapped shares for at most five minutes, under KMS key, whole context and hash of the wrap, so that a hit never
 * answers for another row. A change of the entry, or a lost change feed, wipes them.
 */
export function createShareCache(deps: {
  wrapper: KeyWrapper
  provider: Pick<CryptoProvider, 'sha384'>
  feed: ChangeFeed
  clock: Pick<Clock, 'monotonic'>
}): ShareCache {
  const { wrapper, provider, feed, clock } = deps
  const shares = new LRUCache<string, Bytes>({
    max: SHARES_MAX,
    ttl: SHARE_TTL_MS,
    ttlAutopurge: true,
    ttlResolution: 0,
    perf: { now: () => clock.monotonic() },
    dispose: (share) => wipe(share),
  })
  const running = new Map<string, Promise<Bytes>>()
  /** Counts what was forgotten, so that an unwrap from before does not come back. */
  let generation = 0

  feed.on('vault', (topicKey) => {
    generation++
    running.clear()
    if (topicKey === undefined) shares.clear()
    else for (const key of shares.keys()) if (key.startsWith(`${topicKey}/`)) shares.delete(key)
  })

  async function load(
    key: string,
    context: RecordContext,
    record: Pick<StoredRecord, 'shareKmsKeyId' | 'wrappedShare'>,
  ) {
    const begun = generation
    const share = await wrapper.unwrap(record.shareKmsKeyId, record.wrappedShare, shareContext(context))
    if (begun === generation && feed.live) shares.set(key, copyBytes(share))
    return share
  }

  return {
    async unwrap(context, record) {
      const ids = [record.shareKmsKeyId, toHex(encodeContext(context)), toHex(provider.sha384(record.wrappedShare))]
      const key = [vaultTopicKey(context.tenantId, context.entryId), ...ids].join('/')
      const kept = shares.get(key)
      if (kept) return copyBytes(kept)
      let loading = running.get(key)
      if (!loading) {
        loading = load(key, context, record)
        running.set(key, loading)
        const end = () => running.get(key) === loading && running.delete(key)
        loading.then((share) => {
          end()
          setImmediate(() => wipe(share)) // everybody who waits for it takes a copy before the next turn of the loop
        }, end)
      }
      return copyBytes(await loading)
    },
  }
}
