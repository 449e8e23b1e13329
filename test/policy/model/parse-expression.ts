import { anyNumberOf, type Expression, either, oneOf, optional, repeated, sequence } from './regular-expression.ts'

type Holds = (c: string) => boolean

const isLineEnd: Holds = (c) => /[\n\r\u0085\u2028\u2029]/.test(c)
const named: Readonly<Record<string, RegExp>> = { d: /[0-9]/, w: /[A-Za-z0-9_]/, s: /[ \t\n\v\f\r]/ }

/** `\d`, `\W` and their like, or a character that stands for itself. */
function parseEscape(letter: string): Holds {
  const set = named[letter.toLowerCase()]
  if (set === undefined) return (c) => c === letter
  return letter in named ? (c) => set.test(c) : (c) => !set.test(c)
}

/** Reads the subset of topic regexes: a recursive descent over characters. */
class Reader {
  readonly #characters: readonly string[]
  #at = 0

  constructor(source: string) {
    this.#characters = Array.from(source)
  }

  get isDone(): boolean {
    return this.#at >= this.#characters.length
  }

  #take(): string {
    const c = this.#characters[this.#at++]
    if (c === undefined) throw new Error('the regex ends early')
    return c
  }

  #takeIf(text: string): boolean {
    const isThere = this.#characters.slice(this.#at, this.#at + text.length).join('') === text
    if (isThere) this.#at += text.length
    return isThere
  }

  alternation(): Expression {
    const options = [this.#concatenation()]
    while (this.#takeIf('|')) options.push(this.#concatenation())
    return either(options)
  }

  #concatenation(): Expression {
    const all: Expression[] = []
    while (!this.isDone && !['|', ')'].includes(this.#characters[this.#at] ?? '')) all.push(this.#repetition())
    return sequence(all)
  }

  #repetition(): Expression {
    let inner = this.#atom()
    for (;;) {
      if (this.#takeIf('*')) inner = anyNumberOf(inner)
      else if (this.#takeIf('+')) inner = sequence([inner, anyNumberOf(inner)])
      else if (this.#takeIf('?')) inner = optional(inner)
      else if (this.#takeIf('{')) inner = this.#counted(inner)
      else return inner
    }
  }

  #counted(inner: Expression): Expression {
    let text = ''
    while (!this.#takeIf('}')) text += this.#take()
    const [least = '', most = least] = text.split(',')
    return repeated(inner, Number(least), most === '' ? Number.POSITIVE_INFINITY : Number(most))
  }

  #atom(): Expression {
    const start = this.#at
    const single = (holds: Holds) => oneOf(this.#characters.slice(start, this.#at).join(''), holds)
    if (this.#takeIf('\\Q')) return this.#quoted()
    const c = this.#take()
    if (c === '(') {
      this.#takeIf('?:')
      const inner = this.alternation()
      if (!this.#takeIf(')')) throw new Error('a group is not closed')
      return inner
    }
    if (c === '.') return single((other) => !isLineEnd(other))
    if (c === '[') return single(this.#class())
    const holds = c === '\\' ? parseEscape(this.#take()) : (other: string) => other === c
    return single(holds)
  }

  #quoted(): Expression {
    const all: Expression[] = []
    while (!this.isDone && !this.#takeIf('\\E')) {
      const c = this.#take()
      all.push(oneOf(`\\Q${c}`, (other) => other === c))
    }
    return sequence(all)
  }

  #class(): Holds {
    const isNegated = this.#takeIf('^')
    const members: Holds[] = []
    while (!this.#takeIf(']')) {
      const first = this.#take()
      if (first === '\\') members.push(parseEscape(this.#take()))
      else if (this.#characters[this.#at] === '-' && this.#characters[this.#at + 1] !== ']') {
        this.#take()
        const last = this.#take()
        members.push((c) => (c.codePointAt(0) ?? 0) >= (first.codePointAt(0) ?? 0) && c <= last)
      } else members.push((c) => c === first)
    }
    return (c) => members.some((holds) => holds(c)) !== isNegated
  }
}

/** Reads a topic regex; it has to be in the subset of the specification. */
export function parseExpression(source: string): Expression {
  const reader = new Reader(source)
  const expression = reader.alternation()
  if (!reader.isDone) throw new Error(`${source} is no regex`)
  return expression
}
