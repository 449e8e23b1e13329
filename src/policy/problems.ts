/** What is wrong with one place of a document. */
export interface PolicyProblem {
  /** As in `rules[3].topics[0].regex`; empty for the document itself. */
  readonly path: string
  readonly message: string
}

/** Problems that are told at once; a document with more has more. */
const MAX_PROBLEMS = 100

/** Collects problems while a document is read to its end. */
export class Problems {
  readonly found: PolicyProblem[] = []

  get full(): boolean {
    return this.found.length >= MAX_PROBLEMS
  }

  /** Returns nothing, in place of the value that could not be read. */
  add(path: string, message: string): undefined {
    if (!this.full) this.found.push({ path, message })
    return undefined
  }
}

export type JsonObject = Readonly<Record<string, unknown>>

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What a value is, in words that complete "must be text, is …"; never the value itself. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** Longest text that is quoted in a message. */
const QUOTED = 64

export function quote(text: string): string {
  return JSON.stringify(text.length <= QUOTED ? text : `${text.slice(0, QUOTED).toWellFormed()}…`)
}

function editDistanceAtMost2(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 2) return false
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      next[j] = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + same)
    }
    row = next
  }
  return (row[b.length] ?? 3) <= 2
}

/** The word of a vocabulary that a misspelt one was probably meant to be. */
export function meant(word: string, vocabulary: readonly string[]): string | undefined {
  if (word.length > 40) return undefined
  const bare = (text: string) => text.toLowerCase().replace(/[-_]/g, '')
  return vocabulary.find((one) => bare(one) === bare(word)) ?? vocabulary.find((one) => editDistanceAtMost2(one, word))
}

/** Reads members of one object of a document: every problem is collected with its path, and a default stands in. */
export class Reader {
  readonly json: JsonObject
  readonly path: string
  readonly problems: Problems

  constructor(json: JsonObject, path: string, problems: Problems) {
    this.json = json
    this.path = path
    this.problems = problems
  }

  at(name: string): string {
    const step = /^[A-Za-z_][\w-]{0,63}$/.test(name) ? name : `[${quote(name)}]`
    return this.path === '' || step.startsWith('[') ? `${this.path}${step}` : `${this.path}.${step}`
  }

  refuse(name: string, message: string): undefined {
    return this.problems.add(this.at(name), message)
  }

  has(name: string): boolean {
    return Object.hasOwn(this.json, name) && this.json[name] !== undefined
  }

  /** Refuses members that are not in the vocabulary; `x-…` is for the author's own use. */
  refuseUnknown(vocabulary: readonly string[]): void {
    for (const name of Object.keys(this.json)) {
      if (this.problems.full) return
      if (vocabulary.includes(name) || name.startsWith('x-')) continue
      const near = meant(name, vocabulary)
      this.refuse(
        name,
        near === undefined
          ? `unknown member; known are ${vocabulary.join(', ')}`
          : `unknown member; did you mean ${near}?`,
      )
    }
  }

  text(name: string, maxLength: number): string | undefined {
    if (!this.has(name)) return undefined
    const value = this.json[name]
    if (typeof value !== 'string') this.refuse(name, `must be text, is ${kindOf(value)}`)
    else if (value.length > maxLength) this.refuse(name, `longer than ${maxLength} characters`)
    else if (!value.isWellFormed()) this.refuse(name, 'not well-formed Unicode')
    else return value
    return undefined
  }

  boolean(name: string, fallback: boolean): boolean {
    if (!this.has(name)) return fallback
    const value = this.json[name]
    if (typeof value === 'boolean') return value
    this.refuse(name, `must be true or false, is ${kindOf(value)}`)
    return fallback
  }

  integer(name: string, min: number, max: number): number | undefined {
    if (!this.has(name)) return undefined
    const value = this.json[name]
    if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number
    this.refuse(name, `must be a whole number from ${min} to ${max}`)
    return undefined
  }

  word<W extends string>(name: string, words: readonly W[]): W | undefined {
    if (!this.has(name)) return undefined
    const value = this.json[name]
    const word = words.find((one) => one === value)
    if (word === undefined) this.refuse(name, `must be ${words.map((one) => JSON.stringify(one)).join(' or ')}`)
    return word
  }

  /** The elements of a list, with the path of each. */
  list(name: string, maxLength: number): readonly { value: unknown; path: string }[] {
    if (!this.has(name)) return []
    const value = this.json[name]
    if (!Array.isArray(value)) this.refuse(name, `must be a list, is ${kindOf(value)}`)
    else if (value.length > maxLength) this.refuse(name, `more than ${maxLength} elements`)
    else return value.map((element: unknown, i) => ({ value: element, path: `${this.at(name)}[${i}]` }))
    return []
  }

  object(name: string): Reader | undefined {
    if (!this.has(name)) return undefined
    const value = this.json[name]
    if (isJsonObject(value)) return new Reader(value, this.at(name), this.problems)
    this.refuse(name, `must be an object, is ${kindOf(value)}`)
    return undefined
  }
}
