import fc from 'fast-check'
import type { MatcherDocument, RuleDocument } from '#src/policy/document.ts'
import { narrowingArbitrary } from './narrowing.ts'
import type { Flavour } from './rule.ts'
import { plainFilter, weighted } from './texts.ts'

const literally = (filter: string) => filter.replaceAll('${', () => '$${')

/** What makes an allow one that carves no hole, or not for everybody. */
type Kind = 'plain' | 'dollar' | 'eq' | 'capture' | 'require' | 'qos' | 'when' | 'variable' | 'share'

function holeRule(filter: string, kind: Kind): Partial<RuleDocument> {
  const first = (level: string) => [literally(filter).replace(/^[^/#]+/, () => level)]
  const matcher = (one: MatcherDocument) => ({ topics: [one] })
  switch (kind) {
    case 'plain':
      return matcher(literally(filter))
    case 'dollar':
      return matcher({ filter: literally(filter), dollar: true })
    case 'eq':
      return matcher({ eq: literally(filter) })
    case 'capture':
      return { topics: first('+:s') }
    case 'require':
      return { ...matcher(literally(filter)), require: [{ in: 'scopes', any: ['a'] }] }
    case 'qos':
      return { ...matcher(literally(filter)), qos: [1, 2] }
    case 'when':
      return { ...matcher(literally(filter)), when: { tls: true } }
    case 'variable':
      return { topics: first('${clientId}') }
    case 'share':
      return { ...matcher(literally(filter)), shareGroups: ['g'] }
  }
}

/** Rules of three tiers that meet: a deny that an allow above it takes back, and an allow of everything below. */
export const carveOutArbitrary: fc.Arbitrary<(flavour: Flavour) => readonly RuleDocument[]> = fc
  .record({
    hole: plainFilter,
    cut: narrowingArbitrary,
    kind: weighted<Kind>([
      [8, 'plain'],
      [1, 'dollar'],
      [1, 'eq'],
      [3, 'capture'],
      [3, 'require'],
      [2, 'qos'],
      [2, 'when'],
      [2, 'variable'],
      [2, 'share'],
    ]),
    actions: fc.constantFrom<(Pick<RuleDocument, 'actions'> | undefined)[]>({ actions: ['subscribe'] }, undefined),
  })
  .map(({ hole, cut, kind, actions }) => (flavour) => [
    {
      id: 'hole',
      effect: 'allow',
      priority: 5,
      ...actions,
      ...holeRule(hole, kind === 'share' && flavour !== 'shares' ? 'plain' : kind),
    },
    { id: 'wall', effect: 'deny', priority: 4, topics: [literally(cut(hole))], ...actions },
    { id: 'base', effect: 'allow', priority: -2, topics: ['#'], ...actions },
  ])
