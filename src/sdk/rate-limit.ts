/** One quota of the caller, by the last answer that told. In cost units; a publish costs one. */
export interface Quota {
  /** `key` or `tenant`. */
  readonly name: string
  /** Units in a window. */
  readonly quota: number
  readonly windowS: number
  /** Units left in the window, and seconds until it ends; absent where the answer did not say. */
  readonly left: number | undefined
  readonly resetS: number | undefined
}

/** Longest header that is looked at, and most of its items. */
const MAX_CHARACTERS = 1_000
const ITEM = /^"([a-z-]{1,32})"((?:;[a-z]{1,8}=\d{1,15})+)$/

/** Reads `"name";a=1;b=2, …`; what has another shape is left out: nothing depends on it. */
function itemsOf(header: string | null): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const items = new Map<string, ReadonlyMap<string, number>>()
  if (header === null || header.length > MAX_CHARACTERS) return items
  for (const text of header.split(',')) {
    const [, name, parameters = ''] = ITEM.exec(text.trim()) ?? []
    if (name === undefined) continue
    const pairs = parameters.slice(1).split(';')
    items.set(name, new Map(pairs.map((pair) => [pair.split('=')[0] ?? '', Number(pair.split('=')[1])])))
  }
  return items
}

/**
 * Reads `RateLimit-Policy` and `RateLimit`. Hints for pacing: nobody signed them.
 *
 * @see draft-ietf-httpapi-ratelimit-headers-10
 */
export function parseQuotas(policy: string | null, rateLimit: string | null): Quota[] {
  const left = itemsOf(rateLimit)
  const quotas: Quota[] = []
  for (const [name, parameters] of itemsOf(policy)) {
    const [quota, windowS] = [parameters.get('q'), parameters.get('w')]
    if (quota === undefined || windowS === undefined) continue
    quotas.push({ name, quota, windowS, left: left.get(name)?.get('r'), resetS: left.get(name)?.get('t') })
  }
  return quotas
}
