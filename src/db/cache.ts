import { LRUCache } from 'lru-cache'
import type { ChangeFeed, ChangeTopic } from './change-feed.ts'

export interface CacheOptions<V> {
  feed: Pick<ChangeFeed, 'on' | 'live'>
  topic: ChangeTopic
  /** Values kept at most; the least recently used one goes first. */
  max: number
  /** The longest that a value serves, should an announcement ever be lost. */
  ttlMs: number
  /** Reads from the database; `undefined` when there is no such thing, which is not remembered. */
  load: (key: string) => Promise<V | undefined>
  /** Milliseconds, monotonic. */
  now?: () => number
}

export interface Cache<V> {
  get(key: string): Promise<V | undefined>
  /** For a writer of this process, whose announcement is still on its way when its next request comes. */
  forget(key: string): void
}

/**
 * Caches what the database says until it is announced to have changed. Callers that ask together share one load; a change
 * that is announced during a load keeps its result out of the cache, and callers after it start another one. While the feed
 * is not live every call loads.
 */
export function createCache<V extends NonNullable<unknown>>(options: CacheOptions<V>): Cache<V> {
  const { feed, topic, max, ttlMs, load, now = () => performance.now() } = options
  const values = new LRUCache<string, V>({ max, ttl: ttlMs, ttlResolution: 0, perf: { now } })
  /** Loads whose result may still be kept; whoever removes one from here makes it forgotten. */
  const loading = new Map<string, Promise<V | undefined>>()

  function forget(key: string | undefined): void {
    if (key === undefined) {
      values.clear()
      loading.clear()
    } else {
      values.delete(key)
      loading.delete(key)
    }
  }
  feed.on(topic, forget)

  async function loadOnce(key: string): Promise<V | undefined> {
    const result = load(key)
    loading.set(key, result)
    try {
      const value = await result
      if (value !== undefined && loading.get(key) === result) values.set(key, value)
      return value
    } finally {
      if (loading.get(key) === result) loading.delete(key)
    }
  }

  return {
    async get(key) {
      if (!feed.live) return load(key)
      return values.get(key) ?? loading.get(key) ?? loadOnce(key)
    },
    forget,
  }
}
