import { meantKey } from './meant-key.ts'
import { kindOf, type Problems, quote } from './problems.ts'

type JsonObject = Readonly<Record<string, unknown>>

function isObject(json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

export interface Range {
  readonly min: number
  readonly max: number
}

/** How one element of a list is read; `undefined` when it has a problem, which is then on record. */
export type ReadElement<T> = (json: unknown, path: string) => T | undefined

/**
 * Reads the keys of one object of a document. Every problem is put on record with its path and a default stands in, so
 * that reading goes on. `done` refuses the keys that nobody asked for.
 */
export class SectionReader {
  readonly path: string
  readonly #problems: Problems
  readonly #json: JsonObject
  readonly #known = new Set<string>()
  readonly #snake: boolean
  readonly #readable: boolean

  /** With `snake`, `a_b` is another spelling of the key `a-b`; both at once are a problem. */
  constructor(json: unknown, path: string, problems: Problems, { snake = false }: { snake?: boolean } = {}) {
    this.path = path
    this.#problems = problems
    this.#snake = snake
    this.#json = isObject(json) ? json : {}
    this.#readable = isObject(json)
    if (!this.#readable) problems.add(path, `must be an object, is ${kindOf(json)}`)
  }

  at(key: string): string {
    const step = /^[\w-]{1,64}$/.test(key) ? key : `[${quote(key)}]`
    return this.path === '' || step.startsWith('[') ? `${this.path}${step}` : `${this.path}.${step}`
  }

  refuse(key: string, message: string): void {
    this.#problems.add(this.at(key), message)
  }

  keys(): readonly string[] {
    return Object.keys(this.#json)
  }

  /** The value of a key; `undefined` when it is absent. */
  value(key: string): unknown {
    this.#known.add(key)
    const other = key.replaceAll('-', '_')
    if (!this.#snake || other === key || !Object.hasOwn(this.#json, other)) return this.#own(key)
    this.#known.add(other)
    if (Object.hasOwn(this.#json, key)) this.refuse(other, `is written twice: ${key} and ${other} are one key`)
    return this.#own(other)
  }

  #own(key: string): unknown {
    return Object.hasOwn(this.#json, key) ? this.#json[key] : undefined
  }

  has(key: string): boolean {
    return this.value(key) !== undefined
  }

  require(...keys: readonly string[]): void {
    for (const key of keys) if (!this.has(key) && this.#readable) this.refuse(key, 'is missing')
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.value(key)
    if (value === undefined || typeof value === 'boolean') return value ?? fallback
    this.refuse(key, `must be true or false, is ${kindOf(value)}`)
    return fallback
  }

  integer(key: string, { min, max }: Range): number | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
    this.refuse(key, `must be a whole number from ${min} to ${max}`)
    return undefined
  }

  text(key: string, maxLength: number): string | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    const problem = textProblem(value, maxLength)
    if (problem === undefined) return value as string
    this.refuse(key, problem)
    return undefined
  }

  word<W extends string>(key: string, words: readonly W[]): W | undefined {
    const value = this.value(key)
    if (value === undefined) return undefined
    const word = words.find((one) => one === value)
    if (word === undefined) this.refuse(key, `must be ${words.map((one) => JSON.stringify(one)).join(' or ')}`)
    return word
  }

  list<T>(key: string, maxLength: number, read: ReadElement<T>): readonly T[] {
    const value = this.value(key)
    if (value === undefined) return []
    if (!Array.isArray(value)) {
      this.refuse(key, `must be a list, is ${kindOf(value)}`)
      return []
    }
    if (value.length > maxLength) {
      this.refuse(key, `has more than ${maxLength} elements`)
      return []
    }
    const elements = value.map((json: unknown, i) => read(json, `${this.at(key)}[${i}]`))
    return elements.filter((one) => one !== undefined)
  }

  /** The object under a key, or an empty one in its place. */
  section(key: string): SectionReader {
    return this.sectionIfPresent(key) ?? new SectionReader({}, this.at(key), this.#problems)
  }

  sectionIfPresent(key: string): SectionReader | undefined {
    const value = this.value(key)
    return value === undefined ? undefined : new SectionReader(value, this.at(key), this.#problems)
  }

  /** Refuses every key that was not asked for, and names the one that was probably meant. */
  done(): void {
    for (const key of Object.keys(this.#json)) {
      if (this.#known.has(key)) continue
      if (this.#problems.full) return
      const known = [...this.#known]
      const meant = meantKey(key, known)
      const hint = meant === undefined ? `known are ${known.join(', ')}` : `did you mean ${meant}?`
      this.refuse(key, `unknown key; ${hint}`)
    }
  }
}

/** What keeps a value from being a text of the document; `undefined` when it is one. */
export function textProblem(value: unknown, maxLength: number): string | undefined {
  if (typeof value !== 'string') return `must be text, is ${kindOf(value)}`
  if (value.length > maxLength) return `is longer than ${maxLength} characters`
  return value.isWellFormed() ? undefined : 'is not well-formed Unicode'
}
