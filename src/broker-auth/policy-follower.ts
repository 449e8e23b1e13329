import type { ChangeFeed } from '../db/change-feed.ts'
import type { ActivePolicy } from '../policies/active-policies.ts'

/** `policy` is absent, which denies everything, where there is no such policy or it is not understood. */
export interface Snapshot {
  readonly policy: ActivePolicy | undefined
}

/** The policy of a hook, at hand without waiting while it is known to be recent. */
export interface PolicyFollower {
  /**
   * The policy that decides now. Answers at once when it was read within a second; within four it answers with what it has
   * and reads again beside; then it waits for the database. One that does not answer changes nothing for `staleMs`, after
   * which nobody knows what decides: `undefined`.
   */
  current(): Snapshot | undefined | Promise<Snapshot | undefined>
}

export interface PolicyFollowerDeps {
  /** Reads what decides; throws when the database is out of reach. */
  readonly read: () => Promise<ActivePolicy | undefined>
  readonly feed: Pick<ChangeFeed, 'on'>
  /** The key under which the policy's changes are announced. */
  readonly topicKey: string
  readonly staleMs: number
  /** Milliseconds. */
  readonly monotonic: () => number
  /** Told when a policy that was there is so no more; what is missing from the start is told at the start. */
  readonly missing?: () => void
}

const FRESH_MS = 1_000
/** A change is announced, and then known at once; this is for one that was not, and leaves a second for the read. */
const USABLE_MS = 4_000
/** Milliseconds that a question waits for the database before what is known has to do. */
const WAIT_MS = 100

/** Milliseconds after a read that failed before another one is tried. */
const RETRY_MS = 250

interface Known {
  readonly snapshot: Snapshot
  readonly readAtMs: number
  /** Reads are numbered as they begin: one that ends late does not undo what a later one brought. */
  readonly number: number
  /** Announcements before the read began; with another one since, something newer may decide. */
  readonly changes: number
}

interface Read {
  readonly done: Promise<Known | undefined>
  /** Somebody has waited for it as long as anybody does. */
  isSlow: boolean
}

export function createPolicyFollower(deps: PolicyFollowerDeps): PolicyFollower {
  const { read, feed, topicKey, staleMs, monotonic, missing } = deps
  let known: Known | undefined
  let changes = 0
  let reads = 0
  let reading: (Read & { readonly changes: number }) | undefined
  let failedAtMs = Number.NEGATIVE_INFINITY

  feed.on('policy', (key) => {
    if (key === undefined || key === topicKey) changes++
  })

  /** A read that began after the last announcement, shared by all who need one. */
  function readAgain(): Read {
    if (reading?.changes === changes) return reading
    const began = { readAtMs: monotonic(), changes, number: ++reads }
    const done = read().then(
      (policy) => {
        const now: Known = { snapshot: { policy }, ...began }
        if (known === undefined || known.number < now.number) {
          if (policy === undefined && known?.snapshot.policy !== undefined) missing?.()
          known = now
        }
        return now
      },
      () => {
        failedAtMs = monotonic()
        return undefined
      },
    )
    const mine = { done, isSlow: false, changes }
    reading = mine
    void done.finally(() => {
      if (reading === mine) reading = undefined
    })
    return mine
  }

  function lastKnown(): Snapshot | undefined {
    return known !== undefined && monotonic() - known.readAtMs <= staleMs ? known.snapshot : undefined
  }

  async function wait(one: Read): Promise<Snapshot | undefined> {
    if (known === undefined) return (await one.done)?.snapshot // the question's own deadline is the only one
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, WAIT_MS, undefined)
    })
    const now = await Promise.race([one.done, late])
    clearTimeout(timer)
    if (now === undefined) one.isSlow = true
    return now?.snapshot ?? lastKnown()
  }

  return {
    current() {
      const ageMs = known === undefined ? Number.POSITIVE_INFINITY : monotonic() - known.readAtMs
      if (known?.changes === changes && ageMs <= USABLE_MS) {
        if (ageMs > FRESH_MS && monotonic() - failedAtMs > RETRY_MS) readAgain()
        return known.snapshot
      }
      if (known !== undefined && monotonic() - failedAtMs <= RETRY_MS) return lastKnown()
      const one = readAgain()
      return one.isSlow ? lastKnown() : wait(one)
    },
  }
}
