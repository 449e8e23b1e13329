import { LRUCache } from 'lru-cache'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { ChangeFeed } from '../../db/change-feed.ts'
import type { Db } from '../../db/db.ts'
import type { Blocked } from '../chain.ts'
import { type BlockedClient, createJudge, type Judge, UNKNOWN_LIST } from './blocked-client.ts'
import { readList, readRevisions } from './blocked-store.ts'

export interface BlockedFollowers {
  /** The list of a tenant, from memory; until it was read for the first time, everybody is refused. */
  follow(tenantId: string): Blocked
  /** Resolves when every list that is followed was read once, or could not be. */
  ready(): Promise<void>
  close(): void
}

export interface BlockedFollowersDeps {
  readonly db: Db
  readonly feed: Pick<ChangeFeed, 'on'>
  readonly clock: Clock
  readonly log: Log
  /**
   * How long a list serves while the database is away; then nobody knows who is blocked, and everybody is.
   */
  readonly staleMs?: number
}

const STALE_MS = 30_000
/** Should an announcement ever be lost, a change is known after this and the time of a read. */
const POLL_MS = 2_000
const MAX_REMEMBERED = 10_000

interface Known {
  readonly revision: string | undefined
  readonly entries: readonly BlockedClient[]
  readonly judge: Judge
  /** When the next entry expires. */
  readonly untilMs: number
}

/** Remembers what a list said of a subject: it says so until another list takes its place. */
function remembering(judge: Judge): Judge {
  const said = new LRUCache<string, { readonly id: string | undefined }>({ max: MAX_REMEMBERED })
  return (subject) => {
    const { clientId, username, ip } = subject
    if (clientId.length + (username?.length ?? 0) > 1_024) return judge(subject)
    const key = `${clientId.length},${username?.length},${clientId}${username}${ip}` // no two subjects have one
    const known = said.get(key)
    if (known) return known.id
    const id = judge(subject)
    said.set(key, { id })
    return id
  }
}

function know(revision: string | undefined, entries: readonly BlockedClient[], nowMs: number): Known {
  const live = entries.filter(({ expiresAt }) => expiresAt === null || expiresAt.getTime() > nowMs)
  const ends = live.map(({ expiresAt }) => expiresAt?.getTime() ?? Number.POSITIVE_INFINITY)
  const untilMs = ends.reduce((first, end) => Math.min(first, end), Number.POSITIVE_INFINITY)
  const judge = createJudge(live)
  const isCostly = live.some(({ type }) => type !== 'client_id' && type !== 'username')
  return { revision, entries: live, judge: isCostly ? remembering(judge) : judge, untilMs }
}

interface Follower {
  known: Known | undefined
  /** When the list was last known to be current, monotonic. */
  currentMs: number
  /** Announcements so far: a read that began before one of them may have missed it. */
  changes: number
  reading: Promise<void> | undefined
}

/**
 * Creates what keeps lists of blocked clients in memory: read again when a change is announced, and asked for its revision
 * every two seconds, in one question for all tenants.
 */
export function createBlockedFollowers(deps: BlockedFollowersDeps): BlockedFollowers {
  const { db, feed, clock, log, staleMs = STALE_MS } = deps
  const followers = new Map<string, Follower>()
  let isAway = false

  function wentAway(err: unknown): void {
    if (isAway) return
    isAway = true
    const { code } = err as { code?: unknown }
    log.warn(
      { code, stale_ms: staleMs },
      'the lists of blocked clients cannot be read; the last ones serve for a while',
    )
  }

  async function readOnce(tenantId: string, follower: Follower): Promise<void> {
    const { changes } = follower
    const startedMs = clock.monotonic()
    try {
      const { revision, entries } = await readList(db, tenantId)
      follower.known = know(revision, entries, clock.now())
      follower.currentMs = startedMs
      isAway = false
    } catch (err) {
      wentAway(err)
      return // the poll tries again
    }
    if (follower.changes !== changes) await readOnce(tenantId, follower)
  }

  function read(tenantId: string, follower: Follower): Promise<void> {
    follower.reading ??= readOnce(tenantId, follower).finally(() => {
      follower.reading = undefined
    })
    return follower.reading
  }

  feed.on('blocked_client', (tenantId) => {
    for (const [id, follower] of followers) {
      if (tenantId !== undefined && tenantId !== id) continue
      follower.changes++
      void read(id, follower)
    }
  })

  async function poll(): Promise<void> {
    const startedMs = clock.monotonic()
    try {
      const revisions = await readRevisions(db, [...followers.keys()])
      isAway = false
      for (const [tenantId, follower] of followers) {
        const isCurrent = follower.known && follower.known.revision === revisions.get(tenantId)
        if (isCurrent) follower.currentMs = startedMs
        else void read(tenantId, follower)
      }
    } catch (err) {
      wentAway(err)
    }
  }

  let isPolling = false
  const timer = setInterval(() => {
    if (followers.size === 0 || isPolling) return
    isPolling = true
    void poll().finally(() => {
      isPolling = false
    })
  }, POLL_MS)
  timer.unref()

  function judgeOf(follower: Follower): Blocked['judge'] {
    return (subject) => {
      const { known } = follower
      if (!known || clock.monotonic() - follower.currentMs > staleMs) return UNKNOWN_LIST
      if (clock.now() < known.untilMs) return known.judge(subject)
      follower.known = know(known.revision, known.entries, clock.now())
      return follower.known.judge(subject)
    }
  }

  return {
    follow(tenantId) {
      let follower = followers.get(tenantId)
      if (!follower) {
        follower = { known: undefined, currentMs: Number.NEGATIVE_INFINITY, changes: 0, reading: undefined }
        followers.set(tenantId, follower)
        void read(tenantId, follower)
      }
      return { judge: judgeOf(follower) }
    },
    async ready() {
      await Promise.all([...followers.values()].map(async ({ reading }) => reading))
    },
    close() {
      clearInterval(timer)
    },
  }
}
