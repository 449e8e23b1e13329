import { LRUCache } from 'lru-cache'
import type { Log } from '../core/log.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import {
  contentTag,
  ownerKey,
  readSession,
  type Session,
  type SessionPlace,
  sessionId,
  sessionKey,
  userKey,
  writeSession,
} from './session.ts'
import { createSessionMemory, type Entry, entryOf, type LiveSession } from './session-memory.ts'
import { createSessionReads, type SeenRow } from './session-reads.ts'
import type { SessionStore } from './session-store.ts'
import { createWriteBehind } from './session-writes.ts'

export interface Sessions {
  /**
   * Whoever logged in with this name and client id: at once where it is known here, else from the database.
   *
   * @throws {AppError} `database.unavailable` where nobody knows: never seen here, or not confirmed for too long
   */
  find(username: string, clientId: string): LiveSession | undefined | Promise<LiveSession | undefined>
  /** Whether there is one in this process's memory, current or not. */
  isAtHand(username: string, clientId: string): boolean
  /** Every session of a name, for questions without a client id; `undefined` where there are too many to look at. */
  ofUser(username: string): Promise<readonly Session[] | undefined>
  /**
   * Replaces what was there. Resolves when it is written, or when writing takes longer than a login should wait: 100 ms, or
   * `waitMs` where that is less.
   */
  put(session: Session, waitMs?: number): Promise<LiveSession>
  /** Deletes what is over, unused, or beyond the bounds. @returns how many */
  sweep(): Promise<number>
  /** Sessions at hand. */
  readonly size: number
  close(): Promise<void>
}

export interface SessionLimits {
  readonly max: number
  readonly maxPerUser: number
  readonly idleMs: number
  readonly staleMs: number
}

export interface SessionsDeps {
  readonly place: SessionPlace
  readonly store: SessionStore
  readonly feed: Pick<ChangeFeed, 'announce' | 'on' | 'live'>
  readonly limits: SessionLimits
  readonly clock: { now(): number; monotonic(): number }
  readonly log: Log
}

/** Names without a session that are remembered as such, and for how long: a login elsewhere is seen within it. */
const ABSENT = { max: 10_000, maxSize: 16 * 1024 * 1024, ttl: 1_000 }
/** While changes cannot be heard of, what was seen in the database is looked up again after this. */
const CERTAIN_MS = 4_000
const MAX_OF_A_USER = 100
const HOUR_MS = 3_600_000

/** How much was known when a read began. */
interface Moment {
  readonly epoch: number
  readonly logins: number
}

/** Remembers who is logged in at one hook: in memory, and behind that in PostgreSQL for restarts and other replicas. */
export function createSessions(deps: SessionsDeps): Sessions {
  const { place, store, feed, limits, clock, log } = deps
  const absent = new LRUCache<string, true>({
    ...ABSENT,
    sizeCalculation: (_value, id) => id.length + 100,
    ttlResolution: 0,
    perf: { now: clock.monotonic },
  })
  const writes = createWriteBehind({ store, clock, log, announce: announceReplaced })
  const memory = createSessionMemory(limits, ({ key }) => writes.forget(key))
  /** When the feed was lost, or came back, by epoch: what was seen before that is confirmed again, or given up in the end. */
  const lostAtMs: number[] = []
  let logins = 0
  const reads = createSessionReads<Moment>({
    store,
    monotonic: () => clock.monotonic(),
    moment: () => ({ epoch: lostAtMs.length, logins }),
  })
  const loading = new Map<string, Promise<Entry | undefined>>()

  async function announceReplaced(
    tx: Parameters<ChangeFeed['announce']>[0],
    replaced: ReadonlyMap<string, string>,
  ): Promise<void> {
    for (const [key, tag] of replaced) await feed.announce(tx, 'broker_session', `${key}:${tag}`)
  }

  feed.on('broker_session', (message) => {
    if (message === undefined) {
      lostAtMs.push(clock.monotonic())
      absent.clear()
      return
    }
    const [hex = '', tag] = message.split(':')
    reads.changed(hex)
    const entry = memory.byKey(hex)
    if (entry && entry.tag !== tag) memory.delete(entry.id)
  })

  function keep(entry: Entry): Entry {
    absent.delete(entry.id)
    const gone = memory.put(entry)
    if (gone) writes.remove(gone.key)
    return entry
  }

  /** Takes over what the database says, unless a login of this process has come since the read began: that is newer. */
  function seen(key: Buffer, username: string, clientId: string, { text, began }: SeenRow<Moment>): Entry | undefined {
    const id = sessionId(username, clientId)
    const known = memory.peek(id)
    if (known && (writes.isWaiting(key) || known.login > began.logins)) return known
    if (text === undefined || writes.isGoing(key)) {
      memory.delete(id)
      absent.set(id, true)
      return undefined
    }
    const nowMs = clock.monotonic()
    if (known && known.tag === contentTag(text)) {
      known.epoch = began.epoch
      known.seenAtMs = nowMs
      return known
    }
    const entry = entryOf(readSession(text, username, clientId), key, text, began.epoch, nowMs)
    entry.touchedAtMs = Number.NEGATIVE_INFINITY // nobody here knows when it was used last
    return keep(entry)
  }

  function load(id: string, username: string, clientId: string): Promise<Entry | undefined> {
    const known = loading.get(id)
    if (known) return known
    const key = sessionKey(place, username, clientId)
    const one = reads
      .read(key)
      .then((row) => seen(key, username, clientId, row))
      .finally(() => loading.delete(id))
    loading.set(id, one)
    return one
  }

  /** One that may have changed unheard: it serves on while it is being confirmed, for a while. */
  function confirm(entry: Entry): LiveSession | Promise<LiveSession | undefined> {
    const { username, clientId } = entry.session
    const knownForMs = clock.monotonic() - (lostAtMs[entry.epoch] ?? entry.seenAtMs)
    if (knownForMs > limits.staleMs) return load(entry.id, username, clientId)
    if (!loading.has(entry.id) && !reads.isAway) load(entry.id, username, clientId).catch(() => undefined) // it serves all the same
    return entry
  }

  return {
    get size() {
      return memory.size
    },

    find(username, clientId) {
      const id = sessionId(username, clientId)
      const entry = memory.get(id)
      if (entry === undefined) return absent.get(id) ? undefined : load(id, username, clientId)
      const nowMs = clock.monotonic()
      if (nowMs - entry.touchedAtMs > Math.min(HOUR_MS, limits.idleMs / 4)) {
        entry.touchedAtMs = nowMs
        writes.touch(entry.key)
      }
      const isCertain = entry.epoch === lostAtMs.length && (feed.live || nowMs - entry.seenAtMs <= CERTAIN_MS)
      return isCertain ? entry : confirm(entry)
    },

    isAtHand: (username, clientId) => memory.peek(sessionId(username, clientId)) !== undefined,

    async ofUser(username) {
      const rows = await store.ofUser(userKey(place, username), MAX_OF_A_USER + 1)
      const here = memory.ofUser(username)
      const known = new Set(here.map(({ hex }) => hex))
      const elsewhere = [...rows].filter(([key]) => !known.has(key))
      if (here.length + elsewhere.length > MAX_OF_A_USER) return undefined
      // The client id is not in the row; that of the identity is the same.
      const ofRows = elsewhere.map(([, text]) => readSession(text, username, ''))
      // Of a session here that has been replaced elsewhere the row is the newer one: both count, for one that is not is enough.
      const replaced = here.flatMap(({ hex, tag }) => {
        const text = rows.get(hex)
        return text === undefined || contentTag(text) === tag ? [] : [readSession(text, username, '')]
      })
      return [...here.map(({ session }) => session), ...replaced, ...ofRows]
    },

    async put(session, waitMs) {
      const text = writeSession(session)
      const key = sessionKey(place, session.username, session.clientId)
      const entry = entryOf(session, key, text, lostAtMs.length, clock.monotonic())
      entry.login = ++logins
      keep(entry)
      const expiresAt = session.expiresAt === undefined ? null : new Date(session.expiresAt)
      const keys = { key, userKey: userKey(place, session.username), ownerKey: ownerKey(place, session) }
      await writes.save({ ...keys, session: text, expiresAt }, entry.tag, waitMs)
      return entry
    },

    sweep: () =>
      store.sweep(new Date(clock.now()), {
        unusedSince: new Date(clock.now() - limits.idleMs),
        max: limits.max,
        maxPerUser: limits.maxPerUser,
      }),

    close: () => writes.close(),
  }
}
