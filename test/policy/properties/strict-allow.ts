import fc from 'fast-check'
import type { AccessRequest } from '#src/policy/access.ts'
import { createSession } from '#src/policy/decide.ts'
import { documentArbitrary, withoutTexts } from './arbitrary/document.ts'
import { identityArbitrary } from './arbitrary/identity.ts'
import { subscriptionArbitrary } from './arbitrary/request.ts'
import { compileDocument } from './compile-document.ts'
import type { Tally } from './tally.ts'

const cases = fc.record({
  document: documentArbitrary.map(withoutTexts),
  identity: identityArbitrary,
  requests: fc.array(subscriptionArbitrary, { minLength: 20, maxLength: 20 }),
})

/** Levels of the documents, one that no document speaks of, and the empty one. */
const levels = ['a', 'b', 'xa', '$s', '', 'z']
const tails = ['', 'a', 'b', 'z', '/', 'a/b', 'b/z', '/a', 'z/a', 'a/b/b', '$s']

const known = new Map<string, readonly string[]>()

/** Names that a filter matches: every wildcard filled in with each of the levels above. */
export function someNames(filter: string): readonly string[] {
  let names = known.get(filter)
  if (names === undefined) {
    names = filter
      .split('/')
      .reduce<readonly string[]>(
        (starts, level, i) => {
          const join = (start: string, text: string) => (i === 0 ? text : `${start}/${text}`)
          if (level === '#') return starts.flatMap((start) => [start, ...tails.map((tail) => join(start, tail))])
          return starts.flatMap((start) => (level === '+' ? levels : [level]).map((text) => join(start, text)))
        },
        [''],
      )
      .filter((name) => name !== '' && !(name.startsWith('$') && /^[+#]/.test(filter)))
    known.set(filter, names)
  }
  return names
}

/** A name with nothing at its edges, which is what a regex is held to where deliveries are checked. */
const isInner = (name: string, filter: string) =>
  !name.split('/').includes('') && !(filter.endsWith('/#') && name.split('/').length < filter.split('/').length)

function split({ topic }: AccessRequest): { prefix: string; filter: string } {
  const prefix = /^\$share\/[^/]*\//.exec(topic)?.[0] ?? ''
  return { prefix, filter: topic.slice(prefix.length) }
}

/**
 * Looks for a subscription that is granted although one of its names, asked for alone, is refused. Throws with the smallest
 * one it finds. Grants that rely on filtered deliveries promise less and are passed over.
 */
export function checkStrictAllows(options: { seed: number; numRuns: number }, tally: Tally): void {
  const property = fc.property(cases, ({ document, identity, requests }) => {
    const session = createSession(compileDocument(document), identity)
    const hasRegex = document.rules.some(({ topics }) =>
      topics?.some((one) => typeof one === 'object' && 'regex' in one),
    )
    for (const [i, requestFor] of requests.entries()) {
      const request = requestFor(document)
      const delivery = i % 2 === 0
      const { decision, reason } = session.decide(request, delivery)
      tally.add('policies × filters')
      if (decision === 'deny' || reason === 'filtered') continue
      tally.add('strict allows')
      const { prefix, filter } = split(request)
      if (document.rules.some(({ effect }) => effect === 'deny')) tally.add('strict allows beside a deny')
      if (/[+#]/.test(filter)) tally.add('strict allows of more than one name')
      for (const name of someNames(filter)) {
        if (delivery && hasRegex && !isInner(name, filter)) continue
        const alone = session.decide({ ...request, topic: prefix + name }, delivery)
        // A limit on the length or the depth of names is no matter of rules.
        if (alone.reason.startsWith('invalid-topic:too-')) continue
        tally.add('names')
        if (alone.decision === 'deny')
          throw new Error(`${JSON.stringify({ identity, request, delivery })}: ${reason}, but ${name}: ${alone.reason}`)
      }
    }
  })
  fc.assert(property, options)
}
