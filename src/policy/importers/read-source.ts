import { AppError } from '../../core/errors.ts'
import { type JsonLimits, parseStrictJson } from '../../core/strict-json.ts'
import { isJsonObject, kindOf, meant, type Problems, Reader } from '../problems.ts'
import type { ImportDraft } from './import-draft.ts'

/** Characters of a source; a policy of 100,000 rules takes about 20 million. */
const MAX_TEXT = 32_000_000
const LIMITS: JsonLimits = { maxDepth: 16, maxMembers: 1_000_000 }

/** The text of a source that is no JSON, without a byte order mark. */
export function readText(input: unknown, draft: ImportDraft, path = ''): string | undefined {
  if (typeof input !== 'string') return draft.refuse(path, `must be text, is ${kindOf(input)}`)
  if (input.length > MAX_TEXT) return draft.refuse(path, `longer than ${MAX_TEXT} characters`)
  return input.startsWith('\ufeff') ? input.slice(1) : input
}

/** Whether a value that somebody else has parsed keeps to the limits that a text is held to. */
function keepsLimits(input: unknown): boolean {
  let values = 0
  let level: readonly unknown[] = [input]
  for (let depth = 0; level.length > 0; depth++) {
    values += level.length
    if (depth > LIMITS.maxDepth || values > LIMITS.maxMembers) return false
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []))
  }
  return true
}

/** The value of a source that is JSON, given as text or parsed already; `undefined` with a problem. */
export function readJson(input: unknown, draft: ImportDraft, path = ''): unknown {
  if (typeof input !== 'string') {
    if (input !== undefined && keepsLimits(input)) return input
    return draft.refuse(path, input === undefined ? 'there is no document' : 'nested too deeply, or too large')
  }
  const text = readText(input, draft, path)
  if (text === undefined) return undefined
  try {
    return parseStrictJson(text, LIMITS)
  } catch (err) {
    if (!(err instanceof AppError)) throw err
    return draft.refuse(path, err.message.replace(/^Body/, 'the document'))
  }
}

export function readJsonObject(input: unknown, draft: ImportDraft, path = ''): Reader | undefined {
  const json = readJson(input, draft, path)
  if (isJsonObject(json)) return new Reader(json, path, draft.problems)
  if (json !== undefined) draft.refuse(path, `must be an object, is ${kindOf(json)}`)
  return undefined
}

/** Refuses members that a dialect does not have, and names the one that was meant: a source that ignores them is no guide. */
export function refuseUnknown(reader: Reader, vocabulary: readonly string[]): void {
  for (const name of Object.keys(reader.json)) {
    if (reader.problems.full) return
    if (vocabulary.includes(name)) continue
    const near = meant(name, vocabulary)
    reader.refuse(
      name,
      near === undefined
        ? `unknown member; known are ${vocabulary.join(', ')}`
        : `unknown member; did you mean ${near}?`,
    )
  }
}

/** Refuses the absence of members. */
export function requireMembers(reader: Reader, names: readonly string[]): void {
  for (const name of names) if (!reader.has(name)) reader.refuse(name, 'required')
}

function objectAt(value: unknown, path: string, problems: Problems): readonly Reader[] {
  if (isJsonObject(value)) return [new Reader(value, path, problems)]
  problems.add(path, `must be an object, is ${kindOf(value)}`)
  return []
}

/** The objects of a list; a problem for each element that is none. */
export function objectsOf(reader: Reader, name: string, maxLength: number): readonly Reader[] {
  return reader.list(name, maxLength).flatMap(({ value, path }) => objectAt(value, path, reader.problems))
}

/** The objects of a document that is a list. */
export function objectsIn(list: readonly unknown[], maxLength: number, { problems }: ImportDraft): readonly Reader[] {
  if (list.length > maxLength) problems.add('', `more than ${maxLength} elements`)
  return list.slice(0, maxLength).flatMap((value, i) => objectAt(value, `[${i}]`, problems))
}

/** The texts of a list, with their places; a problem for each element that is none. */
export function textsOf(reader: Reader, name: string, maxLength: number): readonly { text: string; path: string }[] {
  return reader.list(name, maxLength).flatMap(({ value, path }) => {
    if (typeof value === 'string' && value.isWellFormed()) return [{ text: value, path }]
    reader.problems.add(
      path,
      typeof value === 'string' ? 'not well-formed Unicode' : `must be text, is ${kindOf(value)}`,
    )
    return []
  })
}
