import { isJsonObject, kindOf, Reader } from './problems.ts'
import { textRegexProblem } from './regex/check-regex.ts'
import { compileTextRegex } from './regex/compile-regex.ts'

/** Judges a value of the identity: its text, where it has one, and the value itself, which `exists` looks at. */
export type TextTest = (text: string | undefined, value: unknown) => boolean

const OPERATORS = ['eq', 'in', 'glob', 'regex', 'exists', 'not']
const MAX_TEXT = 1_024
const MAX_LIST = 1_000
const MAX_DEPTH = 8

/** Matches a glob: `*` is any run of characters, everything else itself. Time is at most the product of the lengths. */
function globMatches(pieces: readonly string[], text: string): boolean {
  const [first = '', ...rest] = pieces
  const last = rest.pop()
  if (last === undefined) return text === first
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false
  const end = text.length - last.length
  let at = first.length
  for (const piece of rest) {
    const found = text.indexOf(piece, at)
    if (found === -1 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}

function parseRegexTest(reader: Reader): TextTest | undefined {
  const pattern = reader.text('regex', MAX_TEXT)
  const mode = reader.word('mode', ['full', 'search']) ?? 'full'
  if (pattern === undefined) return undefined
  const problem = textRegexProblem(pattern)
  if (problem) return reader.refuse('regex', `${problem.message} (at character ${problem.position + 1})`)
  const matches = compileTextRegex(pattern, mode)
  return (text) => text !== undefined && matches(text)
}

function parseIn(reader: Reader): TextTest {
  const listed = reader.list('in', MAX_LIST).flatMap(({ value, path }) => {
    if (typeof value === 'string' && value.length <= MAX_TEXT) return [value]
    reader.problems.add(path, `must be text of at most ${MAX_TEXT} characters`)
    return []
  })
  const wanted = new Set(listed)
  return (text) => text !== undefined && wanted.has(text)
}

function parseOperator(reader: Reader, operator: string, depth: number): TextTest | undefined {
  if (operator === 'regex') return parseRegexTest(reader)
  if (operator === 'in') return parseIn(reader)
  if (operator === 'not') {
    const test = parseTextCondition(reader, 'not', depth + 1)
    return test && ((text, value) => !test(text, value))
  }
  if (operator === 'exists') {
    const wanted = reader.boolean('exists', true)
    return (_, value) => (value !== undefined && value !== null) === wanted
  }
  const wanted = reader.text(operator, MAX_TEXT)
  if (wanted === undefined) return undefined
  if (operator === 'eq') return (text) => text === wanted
  const pieces = wanted.split('*')
  return (text) => text !== undefined && globMatches(pieces, text)
}

/** Reads a comparison: a text, or an object with exactly one operator. */
export function parseTextCondition(parent: Reader, name: string, depth = 1): TextTest | undefined {
  const value = parent.json[name]
  if (typeof value === 'string') {
    const wanted = parent.text(name, MAX_TEXT)
    return (text) => text !== undefined && text === wanted
  }
  if (!isJsonObject(value)) return parent.refuse(name, `must be text or an object, is ${kindOf(value)}`)
  if (depth > MAX_DEPTH) return parent.refuse(name, `nested deeper than ${MAX_DEPTH}`)
  const reader = new Reader(value, parent.at(name), parent.problems)
  reader.refuseUnknown([...OPERATORS, 'mode'])
  const operators = OPERATORS.filter((one) => reader.has(one))
  const [operator] = operators
  if (operator === undefined || operators.length > 1)
    return parent.refuse(name, `must have exactly one of ${OPERATORS.join(', ')}`)
  if (reader.has('mode') && operator !== 'regex') reader.refuse('mode', 'belongs to regex')
  return parseOperator(reader, operator, depth)
}
