import type { Log } from '../core/log.ts'
import type { ChangeFeed } from '../db/change-feed.ts'

/** Milliseconds between two reloads while one fails, or the change feed is away. */
export const RETRY_MS = 500
/** The same while only keys that are not in use do not open. */
const RETRY_UNUSED_MS = 5_000

interface Followed {
  /** Reads the keys again. */
  refresh(): Promise<void>
  /** Keys that should be open and are not: those that failed, and those that are still being opened. */
  unopened(): { failed: readonly string[]; isOpening: boolean }
}

/** Reloads keys at every announced change, and as often as it takes where a reload fails or nothing can be announced. */
export function createFollower({ refresh, unopened }: Followed) {
  let retry: NodeJS.Timeout | undefined
  let closed = false

  function follow(feed: Pick<ChangeFeed, 'on' | 'live'>, log: Log): void {
    let said = ''
    /** Says it once, until it is mended or something else is wrong: all this is tried twice a second. */
    function warn(fields: object, message: string): void {
      const saying = JSON.stringify(fields)
      if (said !== saying) log.warn(fields, message)
      said = saying
    }
    function again(afterMs: number): void {
      clearTimeout(retry)
      retry = closed ? undefined : setTimeout(() => void hear(), afterMs).unref()
    }
    async function hear(): Promise<void> {
      try {
        await refresh()
        const { failed, isOpening } = unopened()
        if (failed.length === 0) said = ''
        else warn({ keys: failed }, 'keys that are not in use now did not open')
        if (!feed.live || isOpening) again(RETRY_MS)
        else if (failed.length > 0) again(RETRY_UNUSED_MS)
      } catch (err) {
        if (closed) return
        warn({ code: (err as { code?: unknown }).code }, 'keys did not reload; the ones before stay in use')
        again(RETRY_MS)
      }
    }
    feed.on('deployment_key', () => void hear())
    void hear() // what was announced between the first load and now was not heard
  }

  function close(): void {
    closed = true
    clearTimeout(retry)
  }

  return { follow, close }
}
