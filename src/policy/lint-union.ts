import { ANY, REST } from './levels.ts'
import type { Coverage } from './lint-coverage.ts'
import type { FilterMatcher, PatternLevel, Rule } from './rule.ts'
import { isCapture } from './rule.ts'

/**
 * The filter that several allow rules take in full while none does alone, which is refused; `undefined` without one. Levels
 * can be any text, so that a `+` is covered by a `+` or not at all: what rules can share out among them is how long the topics
 * of a `#` are. So these are `a` and `a/+/#` for `a/#`, or `a`, `a/+` and `a/+/+/#`; `matcher` is the one with `#`.
 */
export function sharedOut(
  rule: Rule,
  { levels }: FilterMatcher,
  coverage: Coverage,
): readonly PatternLevel[] | undefined {
  if (rule.effect === 'deny' || !rule.actions.has('subscribe') || rule.require.length > 0) return undefined
  if (levels.at(-1) !== REST || levels.some(isCapture)) return undefined
  const before: readonly PatternLevel[] = levels.slice(0, -1)
  const fixed = before.findLastIndex((level) => level !== ANY) + 1
  for (let length = fixed; length < before.length; length++) {
    const filter: readonly PatternLevel[] = [...before.slice(0, length), REST]
    if (coverage.grants(filter, rule)) return undefined
    const shorter = before.slice(length).map((_, plus) => before.slice(0, length + plus))
    if (shorter.every((one) => one.length === 0 || coverage.grants(one, rule))) return filter
  }
  return undefined
}
