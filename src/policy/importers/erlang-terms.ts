import { quote } from '../problems.ts'

/** A term of Erlang: atoms and tuples are objects, so that no text passes for one. */
export type ErlangTerm =
  | string
  | number
  | { readonly atom: string }
  | { readonly tuple: readonly ErlangTerm[] }
  | readonly ErlangTerm[]

/** What is wrong with a text of terms, and in which line. */
export interface ErlangProblem {
  readonly line: number
  readonly message: string
}

export interface ErlangStatement {
  readonly line: number
  readonly term: ErlangTerm
}

const MAX_DEPTH = 16
const BLANKS = /\s+/y
const COMMENT = /%[^\n]*/y
const TOKEN = /[{}[\],.]|<<|>>|-?\d{1,15}(?!\d)|[a-z][\w@]*/y
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  s: ' ',
  b: '\b',
  f: '\f',
  v: '\v',
  e: '\u001b',
  d: '\u007f',
}

class ErlangReader {
  readonly #text: string
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text
  }

  #fail(message: string): never {
    throw new ErlangSyntaxError(this.#line, message)
  }

  #skipTo(end: number): string {
    const text = this.#text.slice(this.#at, end)
    this.#line += text.split('\n').length - 1
    this.#at = end
    return text
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const length = pattern.exec(this.#text)?.[0].length ?? 0
    return this.#skipTo(this.#at + length)
  }

  #takeQuoted(quote: string): string {
    for (let end = this.#at + 1; end < this.#text.length; end++) {
      if (this.#text[end] === '\\') end++
      else if (this.#text[end] === quote) return this.#skipTo(end + 1)
    }
    return this.#fail(`${quote} without its partner`)
  }

  /** The next token; empty at the end of the text. */
  #next(): string {
    while (this.#take(BLANKS) !== '' || this.#take(COMMENT) !== '');
    const first = this.#text[this.#at]
    if (first === undefined) return ''
    const token = first === '"' || first === "'" ? this.#takeQuoted(first) : this.#take(TOKEN)
    if (token === '') this.#fail(`cannot be read from ${quote(this.#text.slice(this.#at, this.#at + 16))} on`)
    return token
  }

  #unquoted(token: string): string {
    return token.slice(1, -1).replace(/\\([\s\S])/g, (_, c: string) => {
      if (/[0-7x^]/.test(c)) this.#fail('an escape by number is not read; write the character')
      return ESCAPES[c] ?? c
    })
  }

  #elements(close: string, depth: number): ErlangTerm[] {
    const elements: ErlangTerm[] = []
    let token = this.#next()
    if (token === close) return elements
    for (;;) {
      elements.push(this.#term(token, depth + 1))
      token = this.#next()
      if (token === close) return elements
      if (token !== ',')
        this.#fail(`expects , or ${close}${token === '' ? ' before the end' : `, not ${quote(token)}`}`)
      token = this.#next()
    }
  }

  #term(token: string, depth: number): ErlangTerm {
    if (depth > MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH}`)
    if (token === '{') return { tuple: this.#elements('}', depth) }
    if (token === '[') return this.#elements(']', depth)
    if (token.startsWith('"')) return this.#unquoted(token)
    if (token.startsWith("'")) return { atom: this.#unquoted(token) }
    if (/^-?\d/.test(token)) return Number(token)
    if (/^[a-z]/.test(token)) return { atom: token }
    if (!token.startsWith('<<'))
      this.#fail(token === '' ? 'ends in the middle of a term' : `a term does not begin with ${quote(token)}`)
    const text = this.#next()
    if (!text.startsWith('"') || this.#next() !== '>>') this.#fail('a binary is <<"text">>')
    return this.#unquoted(text)
  }

  /** The statements up to the end, each a term and a dot. */
  *statements(): Generator<ErlangStatement> {
    for (let token = this.#next(); token !== ''; token = this.#next()) {
      const line = this.#line
      const term = this.#term(token, 1)
      if (this.#next() !== '.') this.#fail('a term ends with a dot')
      yield { line, term }
    }
  }
}

class ErlangSyntaxError extends Error {
  readonly line: number

  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

/** Reads terms as `file:consult` does: atoms, numbers, texts, binaries of text, tuples and lists, each statement with a dot. */
export function parseErlangTerms(text: string, maxStatements: number): readonly ErlangStatement[] | ErlangProblem {
  const statements: ErlangStatement[] = []
  try {
    for (const statement of new ErlangReader(text).statements()) {
      if (statements.length === maxStatements)
        return { line: statement.line, message: `more than ${maxStatements} terms` }
      statements.push(statement)
    }
  } catch (err) {
    if (err instanceof ErlangSyntaxError) return { line: err.line, message: err.message }
    throw err
  }
  return statements
}
