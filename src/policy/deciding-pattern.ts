import type { AccessRequest } from './access.ts'
import { canonical, covers, filterText, levelsOf, overlaps } from './levels.ts'
import type { Session } from './session.ts'
import { parseSubscriptionFilter } from './topic-filter.ts'
import { commonName } from './witness.ts'

/** The pattern that decided, as a record of the decision tells it. */
export interface DecidingPattern {
  /** Variables filled in, captures as `+`. */
  readonly pattern: string
  /** A name that a deny and a wider filter have in common; `null` where the deny takes all of the filter. */
  readonly example: string | null
}

/** Says which pattern decided the last request of a session; `null` where none did. Costs as much as that one pattern. */
export function decidingPattern(session: Session, { action, topic }: AccessRequest): DecidingPattern | null {
  const { decided: entry } = session
  if (entry === null) return null
  const { matcher, dollar, isDeny } = entry
  if (matcher.kind !== 'filter') return { pattern: matcher.text, example: null }
  const asked = action === 'subscribe' ? canonical(levelsOf(parseSubscriptionFilter(topic).filter)) : topic.split('/')
  const meets = isDeny ? overlaps : covers
  const filled = session.fill(entry).find(({ levels }) => meets(levels, asked, dollar))
  if (!filled) return { pattern: matcher.text, example: null }
  const isPartial = isDeny && !covers(filled.levels, asked, dollar)
  return { pattern: filterText(filled.levels), example: isPartial ? commonName(filled.levels, asked) : null }
}
