import { LRUCache } from 'lru-cache'
import type { Refusal } from '../chain.ts'
import { OTHERS, type UnauthorisedClient } from './unauthorised-client.ts'

/** What came together for one row since it was last written. */
export type PendingRefusal = Omit<UnauthorisedClient, 'id' | 'letInAt'>

/** That a client of a hook was let in; it may have no row. */
export interface LetIn {
  readonly tenantId: string
  readonly hook: string
  readonly clientId: string
  readonly at: Date
}

export interface PendingRefusals {
  /** Adds one; costs a look-up. */
  add(tenantId: string, hook: string, refusal: Refusal): void
  /** Adds that one was let in. */
  letIn(tenantId: string, hook: string, clientId: string): void
  /** Those that were let in, by tenant, which are then no longer pending. */
  takeLetIn(): ReadonlyMap<string, readonly LetIn[]>
  /** Refusals that are pending, by tenant, which is then no longer pending. */
  take(): ReadonlyMap<string, readonly PendingRefusal[]>
  /** What could not be written, to be taken again together with what has come meanwhile. */
  giveBack(rows: readonly PendingRefusal[]): void
  giveBackLetIn(rows: readonly LetIn[]): void
  readonly isEmpty: boolean
}

/**
 * New clients that a tenant may have rows for: so many at once, and so many more a second. Beyond that they are counted
 * together, so that a flood of made-up client ids does not drive the others out of the list.
 */
const BURST = 1_000
const NEW_PER_SECOND = 2
const MAX_KNOWN = 20_000
/** Rows that wait, should the database be away; of one tenant and of all. */
const MAX_PENDING = 2_000
const MAX_PENDING_IN_ALL = 20_000
/** Clients that were let in, of all tenants; of more at once the oldest are not told. */
const MAX_LET_IN = 20_000
const MAX_TENANTS = 10_000
const MAX_TEXT = 256

/** PostgreSQL keeps no NUL in a text, and half a character is none. */
const kept = (text: string) => text.slice(0, MAX_TEXT).toWellFormed().replaceAll('\0', '\ufffd')
const keptOrNull = (text: string | undefined) => (text === undefined ? null : kept(text))

function toPending(tenantId: string, hook: string, clientId: string, refusal: Refusal, at: Date): PendingRefusal {
  const isOthers = clientId === OTHERS
  const { username, ip, listener, tls, passwordProvided, reason, provider, entryId } = refusal
  return {
    tenantId,
    hook: kept(hook),
    clientId,
    username: isOthers ? null : keptOrNull(username),
    ip: keptOrNull(ip),
    listener: keptOrNull(listener),
    tls: tls ?? null,
    passwordProvided,
    reason,
    provider: keptOrNull(provider),
    entryId: keptOrNull(entryId),
    count: 1,
    firstAt: at,
    lastAt: at,
  }
}

/** Two of one row; the later one tells the details. */
function merged(a: PendingRefusal, b: PendingRefusal): PendingRefusal {
  const [early, late] = a.lastAt <= b.lastAt ? [a, b] : [b, a]
  return { ...late, count: a.count + b.count, firstAt: early.firstAt <= late.firstAt ? early.firstAt : late.firstAt }
}

interface Bucket {
  tokens: number
  filledMs: number
}

/** Creates what collects refusals between two writes. */
export function createPendingRefusals(clock: { now(): number; monotonic(): number }): PendingRefusals {
  let pending = new Map<string, Map<string, PendingRefusal>>()
  let size = 0
  const buckets = new LRUCache<string, Bucket>({ max: MAX_TENANTS })
  const known = new LRUCache<string, true>({ max: MAX_KNOWN })
  let entered = new Map<string, LetIn>()

  function mayBeNew(tenantId: string): boolean {
    const nowMs = clock.monotonic()
    const bucket = buckets.get(tenantId) ?? { tokens: BURST, filledMs: nowMs }
    bucket.tokens = Math.min(BURST, bucket.tokens + ((nowMs - bucket.filledMs) * NEW_PER_SECOND) / 1_000)
    bucket.filledMs = nowMs
    buckets.set(tenantId, bucket)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  function put(row: PendingRefusal): void {
    const rows = pending.get(row.tenantId) ?? new Map<string, PendingRefusal>()
    pending.set(row.tenantId, rows)
    const key = `${row.hook}\0${row.clientId}`
    const other = rows.get(key)
    if (other) rows.set(key, merged(other, row))
    else if (row.clientId !== OTHERS && (rows.size >= MAX_PENDING || size >= MAX_PENDING_IN_ALL)) {
      put({ ...row, clientId: OTHERS, username: null })
    } else {
      rows.set(key, row)
      size++
    }
  }

  function putLetIn(one: LetIn): void {
    const key = `${one.tenantId}\0${one.hook}\0${one.clientId}`
    const other = entered.get(key)
    if (other && other.at > one.at) return
    const [oldest] = entered.keys()
    if (!other && oldest !== undefined && entered.size >= MAX_LET_IN) entered.delete(oldest)
    entered.set(key, one)
  }

  return {
    add(tenantId, hook, refusal) {
      const clientId = kept(refusal.clientId)
      const key = `${tenantId}\0${hook}\0${clientId}`
      const hasRow = clientId !== OTHERS && (known.get(key) === true || mayBeNew(tenantId))
      if (hasRow) known.set(key, true)
      put(toPending(tenantId, hook, hasRow ? clientId : OTHERS, refusal, new Date(clock.now())))
    },
    take() {
      const taken = new Map([...pending].map(([tenantId, rows]) => [tenantId, [...rows.values()]]))
      pending = new Map()
      size = 0
      return taken
    },
    letIn(tenantId, hook, clientId) {
      putLetIn({ tenantId, hook: kept(hook), clientId: kept(clientId), at: new Date(clock.now()) })
    },
    takeLetIn() {
      const taken = Map.groupBy(entered.values(), ({ tenantId }) => tenantId)
      entered = new Map()
      return taken
    },
    giveBackLetIn(rows) {
      for (const row of rows) putLetIn(row)
    },
    giveBack(rows) {
      for (const row of rows) put(row)
    },
    get isEmpty() {
      return size === 0 && entered.size === 0
    },
  }
}
