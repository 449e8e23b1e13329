import { POLICY_SCHEMA, type PolicyDocument, type RuleDocument } from '../document.ts'
import { MAX_RULES, parsePolicy } from '../parse-policy.ts'
import { Problems, quote } from '../problems.ts'
import type { ImportNote, ImportResult } from './import-result.ts'

const MAX_NOTES = 1_000
const MAX_ID = 128
/** Values in all rules: a source can come to more than it says, where one list stands for many rules. */
const MAX_VALUES = 2_000_000
const RULE_PATH = /^rules\[(\d+)\](?:\.(.+))?$/

function isUsableId(name: string): boolean {
  return name !== '' && name.length <= MAX_ID && name.isWellFormed() && !/\p{Cc}/u.test(name)
}

function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce<number>((sum, member) => sum + countValues(member), 1)
}

/** Collects what an importer finds, and makes a document of it that `parsePolicy` accepts. */
export class ImportDraft {
  readonly problems = new Problems()
  readonly #notes = new Map<string, ImportNote>()
  #notesLeftOut = 0
  readonly #rules: RuleDocument[] = []
  /** Where in the source each rule comes from. */
  readonly #origins: string[] = []
  #values = 0
  #isTooLarge = false
  readonly #ids = new Set<string>()
  /** Where to go on counting for a name that occurs often. */
  readonly #twins = new Map<string, number>()

  /** Notes one place once, however often it is read. */
  note(kind: ImportNote['kind'], path: string, message: string): undefined {
    const key = `${kind} ${path} ${message}`
    if (this.#notes.has(key)) return undefined
    if (this.#notes.size < MAX_NOTES) this.#notes.set(key, { path, kind, message })
    else this.#notesLeftOut++
    return undefined
  }

  /** Returns nothing, in place of the value that could not be read; so does `note`. */
  refuse(path: string, message: string): undefined {
    return this.problems.add(path, message)
  }

  /** Keeps a name of the source as the id of a rule where it can be one and is not taken; notes where it is not. */
  idFor(name: string, path: string, fallback: string): string {
    const wanted = isUsableId(name) ? name : fallback
    let id = wanted
    for (let n = this.#twins.get(wanted) ?? 2; this.#ids.has(id); n++) {
      id = `${wanted.slice(0, MAX_ID - 8).toWellFormed()}~${n}`
      this.#twins.set(wanted, n + 1)
    }
    this.#ids.add(id)
    if (id !== name && name !== fallback)
      this.note(
        'changed',
        path,
        `the rule is called ${quote(id)}: ids are unique, not empty and at most ${MAX_ID} characters`,
      )
    return id
  }

  /** Ids that the source does not name: counted, without a note. */
  countedId(stem: string): string {
    return this.idFor(stem, '', stem)
  }

  /** Whether no more rules are taken; there is a problem already. */
  get isTooLarge(): boolean {
    return this.#isTooLarge
  }

  addRule(origin: string, rule: RuleDocument): void {
    if (this.#isTooLarge) return
    this.#values += countValues(rule)
    this.#isTooLarge = this.#rules.length === MAX_RULES || this.#values > MAX_VALUES
    if (this.#isTooLarge) this.refuse('', `comes to more than ${MAX_RULES} rules, or ${MAX_VALUES} values in them`)
    if (this.#isTooLarge) return
    this.#rules.push(rule)
    this.#origins.push(origin)
  }

  /** Words a problem of the document in terms of the source. */
  #inSource(path: string, message: string): { path: string; message: string } {
    const [, index, member] = RULE_PATH.exec(path) ?? []
    if (index === undefined) return { path: '', message: path === '' ? message : `${path}: ${message}` }
    const origin = this.#origins[Number(index)] ?? ''
    return { path: origin, message: member === undefined ? message : `cannot be expressed: ${member}: ${message}` }
  }

  finish(head: Omit<PolicyDocument, 'schema' | 'rules'>): ImportResult {
    if (this.problems.found.length > 0) return { document: undefined, problems: this.problems.found }
    const document: PolicyDocument = { schema: POLICY_SCHEMA, ...head, rules: this.#rules }
    const { problems } = parsePolicy(document)
    if (problems.length > 0)
      return { document: undefined, problems: problems.map(({ path, message }) => this.#inSource(path, message)) }
    const notes = [...this.#notes.values()]
    if (this.#notesLeftOut > 0)
      notes.push({ path: '', kind: 'ambiguous', message: `${this.#notesLeftOut} more notes are left out here` })
    return { document, notes }
  }
}
