import fc from 'fast-check'

/** Takes a filter, share prefix and all, to one that matches nothing but names of the first. */
export type Narrow = (topic: string) => string

const fillings = fc.array(fc.constantFrom('+', 'a', 'b', 'c', 'z', '', 'xa'), { minLength: 4, maxLength: 4 })
const endings = fc.constantFrom('#', '', 'a', '+', 'a/#', '+/#', 'a/b', 'z', '/')

export const narrowingArbitrary: fc.Arbitrary<Narrow> = fc
  .tuple(fillings, endings)
  .map(([filling, ending]) => (topic) => {
    const prefix = /^\$share\/[^/]*\//.exec(topic)?.[0] ?? ''
    const levels = topic
      .slice(prefix.length)
      .split('/')
      .map((level, i) => (level === '+' ? (filling[i] ?? 'a') : level))
    if (levels.at(-1) === '#') levels.splice(-1, 1, ...(ending === '' ? [] : ending.split('/')))
    return levels.join('/') === '' ? topic : prefix + levels.join('/')
  })
