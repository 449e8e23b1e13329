import { z } from 'zod'
import type { CursorScope } from './cursor.ts'
import { readCursor, writeCursor } from './cursor.ts'
import type { OperationRequest } from './operation.ts'
import type { Services } from './services.ts'

/** Query of every list. */
export const pageQuery = z.strictObject({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(200)
    .default(100)
    .meta({ description: 'Items on a page: 1 to 200, 100 when absent' }),
  cursor: z.string().max(2048).optional().meta({ description: '`meta.next_cursor` of the page before' }),
})

export interface Page<Item> {
  items: readonly Item[]
  /** Where the next page begins; `null` on the last one. */
  nextAfter: string | null
}

type ListRequest = OperationRequest<unknown, z.output<typeof pageQuery>, unknown>

/** Reads a page and one item more, which tells whether another page follows. */
export function pagesOf<Item extends { id: string }>(
  list: (page: { limit: number; after: string | undefined }) => Promise<readonly Item[]>,
): (page: { limit: number; after: string | undefined }) => Promise<Page<Item>> {
  return async ({ limit, after }) => {
    const found = await list({ limit: limit + 1, after })
    const items = found.slice(0, limit)
    return { items, nextAfter: found.length > limit ? (items.at(-1)?.id ?? null) : null }
  }
}

/** The query without `cursor`, `name=value` pairs sorted by name. */
function canonicalQuery({ cursor: _cursor, ...query }: z.output<typeof pageQuery>): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined)
  return pairs
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`)
    .sort()
    .join('&')
}

/** Reads one page of a list and renders it, with a cursor that only this caller can use for this query. */
export async function answerPage<Item, Wire>(
  { keys, clock }: Pick<Services, 'keys' | 'clock'>,
  operation: string,
  { caller, principal, query }: ListRequest,
  read: (page: { limit: number; after: string | undefined }) => Promise<Page<Item>>,
  render: (item: Item) => Wire,
): Promise<{ data: Wire[]; meta: { next_cursor?: string } }> {
  const scope: CursorScope = {
    tenantId: caller.tenantId,
    keyId: principal.keyId,
    operation,
    query: canonicalQuery(query),
  }
  const nowS = Math.floor(clock.now() / 1000)
  const after = query.cursor === undefined ? undefined : readCursor(keys.cursor.mac, scope, query.cursor, nowS)
  const { items, nextAfter } = await read({ limit: query.limit, after })
  return {
    data: items.map(render),
    meta: nextAfter === null ? {} : { next_cursor: writeCursor(keys.cursor.mac, scope, nextAfter, nowS) },
  }
}
