import { identityFields } from './identity.ts'

/** `${path}` in a pattern: a value of the identity. */
export interface Variable {
  /** As written, without `${` and `}`. */
  readonly text: string
  /** Path into the identity, aliases resolved. */
  readonly path: readonly string[]
  /** `enc` percent-encodes what a level may not hold; `path` lets the value span levels. */
  readonly modifier: 'enc' | 'path' | null
  /** `[]`: one alternative for each element. */
  readonly each: boolean
}

export type TemplatePart = string | Variable

/** What is wrong with a template, and at which character of it. */
export interface TemplateProblem {
  readonly message: string
  readonly position: number
}

export type Aliases = ReadonlyMap<string, readonly string[]>

const STEP = '[^.{}|\\[\\]$\\s]+'
const EXPRESSION = new RegExp(`^(${STEP}(?:\\.${STEP})*)(\\[\\])?(?:\\|([A-Za-z]*))?$`)
const fields: ReadonlySet<string> = new Set(identityFields)

/** Names the field of the identity that a misspelt one resembles. */
function resembling(name: string): string {
  const near = identityFields.find((field) => field.toLowerCase() === name.toLowerCase())
  return near === undefined
    ? 'use a member of the identity (claims.…, cert.cn, clientId …) or an alias'
    : `write ${near}`
}

/** Resolves a path or an alias of one; the words that say why not, where it is neither. */
export function resolvePath(text: string, aliases: Aliases): readonly string[] | string {
  const alias = aliases.get(text)
  if (alias) return alias
  const path = text.split('.')
  const [first = ''] = path
  if (!fields.has(first)) return `no identity has ${JSON.stringify(first)}; ${resembling(first)}`
  if (path.some((step) => step === '')) return 'a path has no empty steps'
  const deep = first === 'claims' || first === 'cert'
  if (deep && path.length === 1)
    return `${first} has members: name one, as in ${first === 'cert' ? 'cert.cn' : 'claims.email'}`
  if (!deep && path.length > 1) return `${first} has no members`
  return path
}

function parseVariable(text: string, aliases: Aliases): Variable | string {
  const match = EXPRESSION.exec(text)
  if (!match) return 'a variable is ${path}, ${path|enc}, ${path|path} or ${path[]}'
  const [, name = '', each, modifier] = match
  if (modifier !== undefined && modifier !== 'enc' && modifier !== 'path')
    return `${JSON.stringify(modifier)} is no modifier; use enc or path`
  const path = resolvePath(name, aliases)
  if (typeof path === 'string') return path
  return { text, path, modifier: modifier ?? null, each: each !== undefined }
}

/**
 * Takes a pattern apart into literal text and variables, before anything is substituted; `$${` is a literal `${`.
 *
 * @returns the parts, literals never empty and never beside each other, or the first problem
 */
export function parseTemplate(text: string, aliases: Aliases): readonly TemplatePart[] | TemplateProblem {
  const parts: TemplatePart[] = []
  let literal = ''
  for (let at = 0; at < text.length; ) {
    const start = text.indexOf('${', at)
    if (start === -1) {
      literal += text.slice(at)
      break
    }
    if (start > at && text[start - 1] === '$') {
      literal += `${text.slice(at, start - 1)}\${`
      at = start + 2
      continue
    }
    literal += text.slice(at, start)
    const end = text.indexOf('}', start)
    if (end === -1) return { message: '`${` without `}`; a literal one is written `$${`', position: start }
    const variable = parseVariable(text.slice(start + 2, end), aliases)
    if (typeof variable === 'string') return { message: variable, position: start }
    if (literal !== '') parts.push(literal)
    literal = ''
    parts.push(variable)
    at = end + 1
  }
  if (literal !== '') parts.push(literal)
  return parts
}
