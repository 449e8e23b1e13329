import { ANY, REST } from './levels.ts'
import { hasUnescapedDot } from './lint-regex.ts'
import type { Warnings } from './lint-warnings.ts'
import { literalPrefix } from './regex/check-regex.ts'
import type { Matcher, Rule } from './rule.ts'
import { isCapture } from './rule.ts'

/** The text that everything begins with that a pattern matches. */
function beginning(matcher: Matcher): string {
  return matcher.kind === 'regex' ? literalPrefix(matcher.parts) : matcher.text
}

function isEverything(matcher: Matcher): boolean {
  if (matcher.kind === 'regex') return matcher.text === '.*' || matcher.text === '.+'
  if (matcher.kind === 'eq') return matcher.text === '#' || matcher.text === '+/#'
  const { levels } = matcher
  return (
    levels.at(-1) === REST &&
    levels.length <= 2 &&
    levels.slice(0, -1).every((level) => level === ANY || isCapture(level))
  )
}

function hasWildcard(matcher: Matcher): boolean {
  if (matcher.kind === 'regex') return literalPrefix(matcher.parts) !== matcher.text.replaceAll('\\', '')
  return matcher.kind === 'filter' && matcher.levels.some((level) => typeof level === 'number' || isCapture(level))
}

function checkAllow(rule: Rule, i: number, matcher: Matcher, path: string, warnings: Warnings): void {
  const isForAny = matcher.kind !== 'eq' || rule.actions.has('subscribe')
  if (isEverything(matcher) && isForAny && rule.require.length === 0) {
    const message = 'allows every topic; name the part that is needed, as in "plant/#"'
    warnings.add('allow-everything', i, path, message)
  }
  const retains = rule.actions.has('publish') && rule.document.retain === undefined
  if (retains && hasWildcard(matcher)) {
    const message =
      'messages may be retained on any number of topics; write "retain": "forbid" or "strip" in the rule, or "any" where that is meant'
    warnings.add('retain-on-wildcard', i, path, message)
  }
}

/** Looks at one pattern by itself. */
export function checkPattern(rule: Rule, i: number, matcher: Matcher, path: string, warnings: Warnings): void {
  if (rule.effect === 'allow') checkAllow(rule, i, matcher, path, warnings)
  const start = beginning(matcher)
  if (start === '$share' || start.startsWith('$share/')) {
    const message =
      'matches nothing: filters are compared without their share prefix; write the filter alone, and its group as "shareGroups"'
    warnings.add('share-in-pattern', i, path, message)
  }
  if (start.startsWith('/')) {
    const message = '"/a" and "a" are different topics; leave the first slash out, unless the clients do write it'
    warnings.add('leading-slash', i, path, message)
  }
  const isText = (part: unknown) => typeof part === 'string'
  if (matcher.kind === 'regex' && matcher.parts.some((part) => isText(part) && hasUnescapedDot(part as string))) {
    const message = '`.` stands for any character, `/` too; write `\\.` for a dot, or `[^/]` for a character of a level'
    warnings.add('regex-unescaped-dot', i, path, message)
  }
}
