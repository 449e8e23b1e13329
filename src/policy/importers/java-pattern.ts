import type { MatcherDocument } from '../document.ts'
import { MAX_PATTERN_LENGTH } from '../parse-matcher.ts'
import { quote } from '../problems.ts'
import { regexProblem } from '../regex/check-regex.ts'
import { foreignFilterProblem, literalText, type PatternPiece } from './foreign-filter.ts'
import type { ImportDraft } from './import-draft.ts'

/** Stands for `${cn}`, the common name of the client's certificate, which TBMQ quotes before it compiles the pattern. */
const CN = { variable: 'cert.cn' } as const

type Token = string | typeof CN | { readonly wild: '+' | '#' }

const TOKEN = /\$\{cn\}|\[\^\/\]\+|\.\*$|\\Q([\s\S]*?)(?:\\E|$)|\\([^A-Za-z0-9])|[^\\^$.|?*+()[\]{}#]/y

/** Takes the anchors off, which change nothing where the whole text is matched. */
function withoutAnchors(pattern: string): string {
  const start = pattern.startsWith('^') ? pattern.slice(1) : pattern
  if (!start.endsWith('$')) return start
  let backslashes = 0
  while (start.at(-2 - backslashes) === '\\') backslashes++
  return backslashes % 2 === 0 ? start.slice(0, -1) : start
}

/** The pattern as literals, whole-level wildcards and variables; `undefined` where it says more than a filter can. */
function tokensOf(pattern: string): Token[] | undefined {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < pattern.length) {
    const match = TOKEN.exec(pattern)
    if (!match) return undefined
    const [text, quoted, escaped] = match
    if (text === '${cn}') tokens.push(CN)
    else if (text === '[^/]+') tokens.push({ wild: '+' })
    else if (text === '.*') tokens.push({ wild: '#' })
    else if (/[+#]/.test(quoted ?? escaped ?? '')) return undefined
    else tokens.push(quoted ?? escaped ?? text)
  }
  return tokens
}

/** Whether each wildcard of the tokens has a level to itself. */
function wildcardsStandAlone(tokens: readonly Token[]): boolean {
  return tokens.every((token, i) => {
    if (typeof token === 'string' || !('wild' in token)) return true
    const [before, after] = [tokens[i - 1] ?? '/', tokens[i + 1] ?? '/']
    return (
      typeof before === 'string' &&
      (before === '' || before.endsWith('/')) &&
      typeof after === 'string' &&
      after.startsWith('/')
    )
  })
}

function filterOf(tokens: readonly Token[]): string | undefined {
  if (!wildcardsStandAlone(tokens)) return undefined
  const pieces = tokens.reduce<PatternPiece[]>((joined, token) => {
    const piece = typeof token === 'object' && 'wild' in token ? token.wild : token
    const last = joined.at(-1)
    if (typeof piece === 'string' && typeof last === 'string') joined[joined.length - 1] = last + piece
    else joined.push(piece)
    return joined
  }, [])
  if (foreignFilterProblem(pieces) !== undefined) return undefined
  return pieces.map((piece) => (typeof piece === 'string' ? literalText(piece) : `\${${CN.variable}}`)).join('')
}

/** Says why `${` of a pattern cannot be kept; `undefined` when it can. */
function braceProblem(pattern: string, hasCn: boolean): string | undefined {
  for (const { index } of pattern.matchAll(/\$\{/g)) {
    if (!pattern.startsWith('${cn}', index)) {
      if (index > 0 && pattern[index - 1] === '\\') return 'write the { behind \\$ as \\{'
      return 'the only variable of a pattern is ${cn}'
    }
    if (!hasCn) return '${cn} belongs to the rules of X.509 credentials'
    if (index > 0 && /[\\$]/.test(pattern[index - 1] ?? '')) return '${cn} stands by itself, without \\ or $ before it'
  }
  return undefined
}

/**
 * Translates a Java regular expression that TBMQ matches whole topics by. What a filter says too is written as one, with a
 * note about the spots where they differ; the rest stays a regular expression.
 */
export function javaMatcher(
  source: string,
  { path, hasCn, draft }: { path: string; hasCn: boolean; draft: ImportDraft },
): MatcherDocument | undefined {
  if (source.length > MAX_PATTERN_LENGTH) return draft.refuse(path, `longer than ${MAX_PATTERN_LENGTH} characters`)
  const pattern = withoutAnchors(source)
  if (pattern === '') return draft.note('dropped', path, 'an empty pattern matches no topic')
  const brace = braceProblem(pattern, hasCn)
  if (brace !== undefined) return draft.refuse(path, `${quote(source)}: ${brace}`)
  const tokens = tokensOf(pattern)
  const filter = tokens && filterOf(tokens)
  if (filter === undefined) {
    if (/(^|\/)(\+|#)(\/|$)/.test(pattern))
      draft.note(
        'ambiguous',
        path,
        'looks like a topic filter; as a regular expression + and # are no wildcards, and it was read as one',
      )
    const problem = regexProblem(
      pattern.split('${cn}').flatMap((text, i) => (i === 0 ? [text] : [{ hole: i - 1 }, text])),
    )
    if (problem) return draft.refuse(path, `${quote(source)}: cannot be expressed: ${problem.message}`)
    return { regex: pattern.replaceAll('${cn}', '${cert.cn}'), dollar: true }
  }
  if (/(^|\/)\+(\/|$)/.test(filter))
    draft.note('changed', path, '[^/]+ is written as +, which also takes an empty level')
  if (filter.endsWith('/#')) draft.note('changed', path, '/.* is written as /#, which also takes the level above')
  return { filter, dollar: true }
}
