import type { CallOptions, Connection } from './connection.ts'
import { SealwireError } from './sealwire-error.ts'
import { fromWire } from './wire-names.ts'
import { pageOf } from './wrapper.ts'

/** The most that the server puts on a page. */
const ITEMS_PER_PAGE = 200
const MAX_PAGES = 50

type Filter = Readonly<Record<string, string>>

export interface WholeList {
  items: unknown[]
  /** Ids of what is stored and not understood by the server. */
  notUnderstood: string[]
}

/**
 * Reads every page of a list, within the time and the repetitions of one call; a repetition goes on at the page that failed.
 *
 * @throws {SealwireError} `answer.too_large` for a list over 50 pages of 200 items
 */
export async function readWhole(
  { repeat, send }: Pick<Connection, 'repeat' | 'send'>,
  path: string,
  options: CallOptions | undefined,
  filter: Filter = {},
): Promise<WholeList> {
  const query = new URLSearchParams({ limit: String(ITEMS_PER_PAGE), ...filter })
  const first = { method: 'GET', path: `${path}?${query}` } as const
  const whole: WholeList = { items: [], notUnderstood: [] }
  let pages = 0
  let next: string | undefined = first.path
  return repeat(first, options, async (signal) => {
    while (next !== undefined) {
      if (pages === MAX_PAGES) {
        const message = `The list is longer than ${MAX_PAGES} pages of ${ITEMS_PER_PAGE} items.`
        throw new SealwireError('answer.too_large', message, { outcome: 'unknown' })
      }
      const page = pageOf(await send({ ...first, path: next }, undefined, signal))
      for (const item of page.items) whole.items.push(fromWire(item))
      whole.notUnderstood.push(...page.notUnderstood)
      next = page.nextCursor === undefined ? undefined : `${first.path}&cursor=${encodeURIComponent(page.nextCursor)}`
      pages++
    }
    return whole
  })
}

/** As {@link readWhole}, of what the server understands in every case. */
export async function readPages(
  connection: Pick<Connection, 'repeat' | 'send'>,
  path: string,
  options: CallOptions | undefined,
  filter?: Filter,
): Promise<unknown[]> {
  return (await readWhole(connection, path, options, filter)).items
}
