import { AppError } from './errors.ts'

export interface JsonLimits {
  /** Nested arrays and objects, the outermost counting as one. */
  maxDepth: number
  /** Members of all objects together. */
  maxMembers: number
}

export const defaultJsonLimits: JsonLimits = { maxDepth: 32, maxMembers: 100_000 }

const QUOTE = 0x22
const BACKSLASH = 0x5c

function refuse(what: string): never {
  throw new AppError('request.invalid', `Body: ${what}.`)
}

/** Index just behind the string that starts at `start`; the text is not yet known to be JSON, so the end may be missing. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === QUOTE) return i + 1
    if (c === BACKSLASH) i++
  }
  return refuse('an unterminated string')
}

function nameOf(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1)
  if (!raw.includes('\\')) return raw
  try {
    return JSON.parse(text.slice(start, end)) as string
  } catch {
    return refuse('a member name is not a JSON string')
  }
}

function addName(names: Set<string>, name: string): void {
  const known = names.size // asking with `has` first would look every name up twice
  if (names.add(name).size === known) refuse(`member ${JSON.stringify(name.slice(0, 64))} occurs twice`)
}

const UNUSED: Set<string> = new Set()

/**
 * Judges depth and number of members in one pass over the text, without building anything, so that a hostile body costs no
 * more than its length; with `comparesNames` also duplicate names, after their escapes are decoded.
 */
function scan(text: string, limits: JsonLimits, comparesNames: boolean): void {
  /** One entry for each open bracket: the names so far for an object, `undefined` for an array. */
  const open: (Set<string> | undefined)[] = []
  let expectsName = false
  let members = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === QUOTE) {
      const end = endOfString(text, i)
      const names = open.at(-1)
      if (expectsName && names) {
        if (++members > limits.maxMembers) refuse(`more than ${limits.maxMembers} members`)
        if (comparesNames) addName(names, nameOf(text, i, end))
        expectsName = false
      }
      i = end - 1
    } else if (c === 0x7b || c === 0x5b) {
      open.push(c === 0x5b ? undefined : comparesNames ? new Set() : UNUSED)
      if (open.length > limits.maxDepth) refuse(`nested deeper than ${limits.maxDepth}`)
      expectsName = c === 0x7b
    } else if (c === 0x7d || c === 0x5d) {
      open.pop()
      expectsName = false
    } else if (c === 0x2c) {
      expectsName = open.at(-1) !== undefined
    }
  }
}

/**
 * Parses JSON and refuses what parsers disagree about: duplicate members (RFC 8259 §4), nesting beyond `maxDepth`, more
 * than `maxMembers` members. `__proto__` becomes an own member like any other and never touches a prototype.
 *
 * @throws {AppError} `request.invalid`
 */
export function parseStrictJson(text: string, limits: JsonLimits = defaultJsonLimits): unknown {
  scan(text, limits, false)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (err) {
    throw new AppError('request.invalid', 'Body: not JSON.', { cause: err })
  }
  scan(text, limits, true) // the costly part comes last: a text that is too much, or no JSON, never gets here
  return value
}
