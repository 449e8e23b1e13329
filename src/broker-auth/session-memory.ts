import { LRUCache } from 'lru-cache'
import { contentTag, ownerOf, type Session, sessionId } from './session.ts'
import { createIndex } from './session-index.ts'

/** A session at hand, with room for what is worked out of it; a changed session is another object. */
export interface LiveSession {
  readonly session: Session
  /** What the policy makes of it, kept by whoever decides. */
  prepared?: unknown
}

/** A session in memory, with its row and how much is known of that. */
export interface Entry extends LiveSession {
  readonly id: string
  readonly key: Buffer
  readonly hex: string
  readonly tag: string
  readonly bytes: number
  /** Losses of the feed before it was last seen in the database; with another one since it has to be seen again. */
  epoch: number
  seenAtMs: number
  touchedAtMs: number
  /** Which login of this process it came by; 0 for one that was read. */
  login: number
}

/** What sessions at hand may take together, about. */
const MAX_BYTES = 256 * 1024 * 1024
const BYTES_OF_AN_ENTRY = 2_000
/** What rules come to when they are compiled, in multiples of their JSON: 30 to 50 was measured, 200 where all are regexes. */
const COMPILED = 50

/** Bytes of a session, about: its text, as much again for what is made of it, and the rules that it brought. */
export function bytesOf({ rules }: Session, text: string): number {
  return BYTES_OF_AN_ENTRY + 2 * text.length + (rules === undefined ? 0 : COMPILED * JSON.stringify(rules).length)
}

/** @param text what its row holds */
export function entryOf(session: Session, key: Buffer, text: string, epoch: number, nowMs: number): Entry {
  return {
    session,
    id: sessionId(session.username, session.clientId),
    key,
    hex: key.toString('hex'),
    tag: contentTag(text),
    bytes: bytesOf(session, text) + session.username.length + session.clientId.length,
    epoch,
    seenAtMs: nowMs,
    touchedAtMs: nowMs,
    login: 0,
  }
}

/** Sessions by id, by key and by name; the least recently used go, told to `evicted`. */
export function createSessionMemory(
  { max, maxPerUser }: { readonly max: number; readonly maxPerUser: number },
  evicted: (entry: Entry) => void,
) {
  /** Ids by the name that was sent; by whose they are, the oldest login first. */
  const users = createIndex()
  const owners = createIndex()
  const byKey = new Map<string, Entry>()
  const entries = new LRUCache<string, Entry>({
    max,
    maxSize: MAX_BYTES,
    sizeCalculation: ({ bytes }) => bytes,
    dispose(entry, id, reason) {
      if (byKey.get(entry.hex) === entry) byKey.delete(entry.hex)
      users.remove(entry.session.username, id)
      owners.remove(ownerOf(entry.session), id)
      if (reason === 'evict') evicted(entry)
    },
  })
  return {
    get size() {
      return entries.size
    },
    /** Marks it as used. */
    get: (id: string) => entries.get(id),
    peek: (id: string) => entries.peek(id),
    byKey: (hex: string) => byKey.get(hex),
    ofUser: (username: string): Entry[] => [...users.of(username)].flatMap((id) => entries.peek(id) ?? []),
    delete: (id: string) => entries.delete(id),
    /** @returns the oldest login of the same owner, where that was one too many and had to go */
    put(entry: Entry): Entry | undefined {
      const { id, session } = entry
      entries.set(id, entry)
      byKey.set(entry.hex, entry)
      users.add(session.username, id)
      const owner = ownerOf(session)
      owners.add(owner, id)
      if (owners.of(owner).size <= maxPerUser) return undefined
      const [oldest = id] = owners.of(owner)
      const gone = entries.peek(oldest)
      entries.delete(oldest)
      return gone
    },
  }
}
