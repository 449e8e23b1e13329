/** `${path}`, `${path|enc}`, `${path|path}`, `${path[]}`. */
export interface Variable {
  /** Aliases are already replaced by what they stand for. */
  readonly path: string
  readonly isList: boolean
  readonly modifier: 'enc' | 'path' | null
}

export type Part = string | Variable

/** Variables by the name that a document gives them. */
export type Aliases = Readonly<Record<string, string>>

export function resolveAlias(path: string, aliases: Aliases): string {
  return Object.hasOwn(aliases, path) ? (aliases[path] ?? path) : path
}

function parseVariable(text: string, aliases: Aliases): Variable {
  const [reference = '', modifier = null] = text.split('|')
  if (modifier !== null && modifier !== 'enc' && modifier !== 'path') throw new Error(`modifier ${modifier}`)
  const isList = reference.endsWith('[]')
  return { path: resolveAlias(isList ? reference.slice(0, -2) : reference, aliases), isList, modifier }
}

/** Splits a text into literal text and variables. `$${` is a literal `${`. */
export function parseTemplate(text: string, aliases: Aliases): readonly Part[] {
  const parts: Part[] = []
  const addText = (literal: string) => {
    const last = parts.at(-1)
    if (typeof last === 'string') parts[parts.length - 1] = last + literal
    else parts.push(literal)
  }
  for (const token of text.match(/\$\$\{|\$\{[^}]*\}|[^$]+|\$/g) ?? []) {
    if (token === '$${') addText('${')
    else if (token.startsWith('${')) parts.push(parseVariable(token.slice(2, -1), aliases))
    else addText(token)
  }
  return parts
}

/** One level of a pattern as written: its parts, or a capture. */
export interface PatternLevel {
  readonly parts: readonly Part[]
  readonly capture: string | null
}

/** Splits the parts of a filter or eq into levels, and recognises the captures. */
export function parseLevels(text: string, aliases: Aliases): readonly PatternLevel[] {
  const levels: Part[][] = [[]]
  for (const part of parseTemplate(text, aliases)) {
    if (typeof part !== 'string') {
      levels.at(-1)?.push(part)
      continue
    }
    for (const [i, piece] of part.split('/').entries()) {
      if (i > 0) levels.push([])
      if (piece !== '') levels.at(-1)?.push(piece)
    }
  }
  return levels.map((parts) => {
    const [only] = parts
    const capture = parts.length === 1 && typeof only === 'string' ? /^\+:(\w+)$/.exec(only) : null
    return { parts, capture: capture?.[1] ?? null }
  })
}
