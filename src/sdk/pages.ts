import type { CallOptions, Connection } from './connection.ts'
import { SealwireError } from './sealwire-error.ts'
import { fromWire } from './wire-names.ts'
import { pageOf } from './wrapper.ts'

/** The most that the server puts on a page. */
const ITEMS_PER_PAGE = 200
const MAX_PAGES = 50

/**
 * Reads every page of a list, within the time and the repetitions of one call; a repetition goes on at the page that failed.
 *
 * @throws {SealwireError} `answer.too_large` for a list over 50 pages of 200 items
 */
export async function readPages(
  { repeat, send }: Pick<Connection, 'repeat' | 'send'>,
  path: string,
  options: CallOptions | undefined,
): Promise<unknown[]> {
  const first = { method: 'GET', path: `${path}?limit=${ITEMS_PER_PAGE}` } as const
  const items: unknown[] = []
  let pages = 0
  let next: string | undefined = first.path
  return repeat(first, options, async (signal) => {
    while (next !== undefined) {
      if (pages === MAX_PAGES) {
        const message = `The list is longer than ${MAX_PAGES} pages of ${ITEMS_PER_PAGE} items.`
        throw new SealwireError('answer.too_large', message, { outcome: 'unknown' })
      }
      const page = pageOf(await send({ ...first, path: next }, undefined, signal))
      for (const item of page.items) items.push(fromWire(item))
      next = page.nextCursor === undefined ? undefined : `${first.path}&cursor=${encodeURIComponent(page.nextCursor)}`
      pages++
    }
    return items
  })
}
