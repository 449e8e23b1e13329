import { isIP } from 'node:net'

/** How a host turns a name of few labels into the names that are asked for (resolv.conf(5)). */
export interface SearchRules {
  readonly search: readonly string[]
  /** A name with so many dots is asked for as it is before the search list is tried. */
  readonly ndots: number
}

/** As many as any resolver of ours asks for; the deadline of a lookup covers them all. */
const MAX_SEARCH = 6
const MAX_NDOTS = 15

function linesOf(text: string): string[][] {
  return text.split('\n').map((line) =>
    line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/),
  )
}

/** Addresses of a name in the text of a hosts file, in their order (hosts(5)). */
export function addressesInHosts(text: string, hostname: string): readonly string[] {
  const wanted = hostname.toLowerCase()
  const lower = text.toLowerCase()
  if (!lower.includes(wanted)) return [] // at every dial, and some hosts files have as many lines as there are advertisers
  return linesOf(lower).flatMap(([address = '', ...names]) =>
    isIP(address) !== 0 && names.includes(wanted) ? [address] : [],
  )
}

/** Reads `search`, `domain` and `options ndots:n`; of the first two, the last one holds. */
export function parseSearchRules(text: string): SearchRules {
  let search: readonly string[] = []
  let ndots = 1
  for (const [keyword = '', ...words] of linesOf(text)) {
    if (keyword === 'search') search = words
    else if (keyword === 'domain') search = words.slice(0, 1)
    else if (keyword === 'options') {
      const given = words.map((word) => /^ndots:(\d{1,3})$/.exec(word)?.[1]).findLast((digits) => digits !== undefined)
      if (given !== undefined) ndots = Math.min(MAX_NDOTS, Number(given))
    }
  }
  const domains = search.map((domain) => domain.replace(/\.$/, '')).filter((domain) => domain !== '')
  return { search: domains.slice(0, MAX_SEARCH), ndots }
}

/** The names to ask for, in their order; none is longer than DNS allows. */
export function searchNames(hostname: string, { search, ndots }: SearchRules): readonly string[] {
  const dots = hostname.split('.').length - 1
  const searched = search.map((domain) => `${hostname}.${domain}`).filter((name) => name.length <= 253)
  return dots >= ndots ? [hostname, ...searched] : [...searched, hostname]
}
