import { LRUCache } from 'lru-cache'
import { isId } from '../core/ids.ts'
import type { Log } from '../core/log.ts'
import { createCache } from '../db/cache.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Queryable } from '../db/db.ts'
import { type CompiledPolicy, compilePolicyInSlices } from '../policy/compile-policy.ts'
import { parsePolicyInSlices } from '../policy/parse-policy.ts'
import type { Policy } from '../policy/rule.ts'
import { selectActiveRevision } from './policy-store.ts'
import { selectRevision } from './revision-store.ts'

/** The policy that decides right now. */
export interface ActivePolicy {
  readonly policyId: string
  readonly revision: number
  readonly compiled: CompiledPolicy
}

export interface ActivePolicies {
  /**
   * Without SQL on a hit, and never older than five seconds. `undefined`, which must deny, for a policy that is not there
   * and for a document that this release does not understand.
   *
   * @throws {AppError} `database.unavailable`
   */
  active(tenantId: string, policyId: string): Promise<ActivePolicy | undefined>
  /** For a writer of this process, whose announcement is still on its way when its next request comes. */
  forget(tenantId: string, policyId: string): void
}

export interface ActivePoliciesDeps {
  db: Queryable
  feed: Pick<ChangeFeed, 'on' | 'live'>
  log: Log
  /** Milliseconds, monotonic. */
  now?: () => number
}

const MAX_KNOWN = 10_000
const TTL_MS = 5_000
/** Bytes that compiled policies may take together, about: what a pattern takes was measured. */
const MAX_COMPILED_BYTES = 512 * 1024 * 1024
const BYTES_PER_PATTERN = 1_000
/** A regex with its automaton, once it is used. */
const BYTES_PER_REGEX = 20_000

/** `null` for a document that is kept but no longer understood. */
interface Compiled {
  readonly policy: CompiledPolicy | null
  readonly size: number
}

function sizeOf(policy: Policy | undefined, text: string): number {
  const matchers = policy?.rules.flatMap((rule) => rule.matchers) ?? []
  const regexes = matchers.filter(({ kind }) => kind === 'regex').length
  return 1 + 2 * text.length + matchers.length * BYTES_PER_PATTERN + regexes * BYTES_PER_REGEX
}

/** The key under which a policy's changes are announced. */
export function policyTopicKey(tenantId: string, policyId: string): string {
  return `${tenantId}/${policyId}`
}

/** `undefined`, which no parser takes for a policy, where the text is no JSON. */
function decode(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Knows which revision decides, and keeps it compiled. A revision never changes, so it is compiled once, whatever is
 * announced; which one decides is forgotten with every announcement.
 */
export function createActivePolicies({ db, feed, log, now }: ActivePoliciesDeps): ActivePolicies {
  const revisions = createCache<number>({
    feed,
    topic: 'policy',
    max: MAX_KNOWN,
    ttlMs: TTL_MS,
    load: (key) => {
      const [tenantId = '', id = ''] = key.split('/')
      return selectActiveRevision(db, tenantId, id)
    },
    ...(now && { now }),
  })
  const compiled = new LRUCache<string, Compiled>({ maxSize: MAX_COMPILED_BYTES, sizeCalculation: ({ size }) => size })
  /** Callers that ask together share one compilation, also while nothing else is cached. */
  const compiling = new Map<string, Promise<Compiled | undefined>>()

  async function compile(tenantId: string, policyId: string, revision: number): Promise<Compiled | undefined> {
    const stored = await selectRevision(db, tenantId, policyId, revision)
    if (!stored) return undefined // deleted a moment ago
    const { policy, problems } = await parsePolicyInSlices(decode(stored.text))
    if (!policy) {
      const fields = { tenant_id: tenantId, policy_id: policyId, revision, problems: problems.length }
      log.error(fields, 'a stored policy is not understood any more; it denies everything')
    }
    return { policy: policy ? await compilePolicyInSlices(policy) : null, size: sizeOf(policy, stored.text) }
  }

  async function compiledOf(tenantId: string, policyId: string, revision: number): Promise<Compiled | undefined> {
    const key = `${tenantId}/${policyId}/${revision}`
    const known = compiled.get(key) ?? compiling.get(key)
    if (known) return known
    const work = compile(tenantId, policyId, revision)
      .then((value) => {
        if (value) compiled.set(key, value)
        return value
      })
      .finally(() => compiling.delete(key))
    compiling.set(key, work)
    return work
  }

  return {
    async active(tenantId, policyId) {
      if (!isId('pol', policyId)) return undefined
      const revision = await revisions.get(policyTopicKey(tenantId, policyId))
      if (revision === undefined) return undefined
      const policy = (await compiledOf(tenantId, policyId, revision))?.policy
      return policy ? { policyId, revision, compiled: policy } : undefined
    },
    forget: (tenantId, policyId) => revisions.forget(policyTopicKey(tenantId, policyId)),
  }
}
