import type { CapturePlace, CompiledRule, FilledPattern, IndexedTemplate, KeyedMember } from './compiled-rule.ts'
import type { TopicRegex } from './regex/compile-regex.ts'
import type { Matcher, PatternLevel } from './rule.ts'

/** What is asked of an index; each has its own entries at the same nodes. */
export const asks = { publish: 0, receive: 1, subscribe: 2, unsubscribe: 3 } as const

export type Ask = (typeof asks)[keyof typeof asks]

/** One pattern of one rule. */
export interface Entry {
  readonly rule: CompiledRule
  /** Those of the rule, beside each other because every judgement reads them. */
  readonly order: number
  readonly priority: number
  readonly isDeny: boolean
  readonly matcher: Matcher
  /** Levels of a filter or eq as they are indexed; empty for a regex. */
  readonly levels: readonly PatternLevel[]
  readonly dollar: boolean
  readonly templates: readonly IndexedTemplate[]
  /** A regex without variables; they are filled in by each session. */
  readonly regexes: readonly TopicRegex[] | null
  /** Where captures stand, as long as no variable before them spans levels. */
  readonly captures: readonly CapturePlace[]
  /** What a pattern without variables comes to; `null` for others. */
  readonly filled: readonly FilledPattern[] | null
  /** Nothing but its pattern and its key decides whether the rule applies, and it changes nothing. */
  readonly isPlainForNames: boolean
  readonly isPlainForFilters: boolean
}

/** Entries that match the same topics, in order. Those with a key are found by the value of the identity. */
export interface Bucket {
  /** Most buckets hold one entry. */
  first: Entry | null
  more: Entry[] | null
  keyed: KeyedEntries[] | null
}

/** Entries by the value that a member of the identity must have. */
export interface KeyedEntries {
  readonly member: KeyedMember
  readonly byValue: Map<string, Entry | Entry[]>
}

/** Children of a node that depend on the identity, and patterns that only share its prefix and have to be tried. */
export interface Extras {
  readonly templates: { readonly template: IndexedTemplate; readonly dollar: boolean; readonly node: number }[]
  readonly tried: Entry[][]
}

/** No node. */
export const NONE = 0
/** Patterns that begin with a text, or with a wildcard that also stands for names that begin with `$`. */
export const ROOT = 1
/** Patterns that begin with a wildcard which leaves such names out. */
export const WILD = 2

/** Columns of a node; four of END and four of REST, one for each ask. */
const ANY = 0
const CAPTURE = 1
const FIRST_CHILD = 2
const NEXT_SIBLING = 3
const LABEL = 4
const EXTRAS = 5
const END = 6
const REST = 10
const WIDTH = 16

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const next = new Int32Array(array.length * 2)
  next.set(array)
  return next
}

function edgeHash(node: number, level: number): number {
  const hash = Math.imul(node, 0x9e37_79b1) ^ Math.imul(level, 0x85eb_ca6b)
  return hash ^ (hash >>> 15)
}

/**
 * Patterns by their levels, in arrays of numbers: a node is a row, and a row is one cache line. Bucket and extras are found by
 * number, 0 is none.
 */
export class PatternTrie {
  #rows = new Int32Array(WIDTH * 16)
  /** Three numbers a slot: node, level, child. */
  #edges = new Int32Array(3 * 32)
  #edgeCount = 0
  /** The last child of each node, so that children are visited in the order in which they came. */
  readonly #lastChildren = new Map<number, number>()
  readonly #templateChildren = new Map<string, number>()
  #nodeCount = 3
  readonly #buckets: (Bucket | null)[] = [null]
  readonly #extras: (Extras | null)[] = [null]

  /** Whether it has no patterns. */
  get isEmpty(): boolean {
    return this.#buckets.length === 1 && this.#extras.length === 1
  }

  #addNode(label: number): number {
    const node = this.#nodeCount++
    if (node * WIDTH >= this.#rows.length) this.#rows = grown(this.#rows)
    this.#rows[node * WIDTH + LABEL] = label
    return node
  }

  #insertEdge(node: number, level: number, child: number): void {
    const mask = this.#edges.length / 3 - 1
    let slot = edgeHash(node, level) & mask
    while (this.#edges[slot * 3] !== NONE) slot = (slot + 1) & mask
    this.#edges.set([node, level, child], slot * 3)
  }

  #growEdges(): void {
    const old = this.#edges
    this.#edges = new Int32Array(old.length * 2)
    for (let i = 0; i < old.length; i += 3)
      if (old[i] !== NONE) this.#insertEdge(old[i] as number, old[i + 1] as number, old[i + 2] as number)
  }

  /** The child behind a literal level. */
  child(node: number, level: number): number {
    const edges = this.#edges
    const mask = edges.length / 3 - 1
    for (let slot = edgeHash(node, level) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * 3
      if (edges[at] === NONE) return NONE
      if (edges[at] === node && edges[at + 1] === level) return edges[at + 2] as number
    }
  }

  addChild(node: number, level: number): number {
    const known = this.child(node, level)
    if (known !== NONE) return known
    const child = this.#addNode(level)
    if (++this.#edgeCount * 6 > this.#edges.length) this.#growEdges()
    this.#insertEdge(node, level, child)
    const last = this.#lastChildren.get(node)
    if (last === undefined) this.#rows[node * WIDTH + FIRST_CHILD] = child
    else this.#rows[last * WIDTH + NEXT_SIBLING] = child
    this.#lastChildren.set(node, child)
    return child
  }

  #addIn(node: number, column: number): number {
    const known = this.#rows[node * WIDTH + column] as number
    if (known !== NONE) return known
    const child = this.#addNode(NONE)
    this.#rows[node * WIDTH + column] = child
    return child
  }

  addAny(node: number): number {
    return this.#addIn(node, ANY)
  }

  addCapture(node: number): number {
    return this.#addIn(node, CAPTURE)
  }

  addTemplate(node: number, template: IndexedTemplate, dollar: boolean): number {
    const name = `${node} ${template.number} ${dollar}`
    const known = this.#templateChildren.get(name)
    if (known !== undefined) return known
    const child = this.#addNode(NONE)
    this.#extrasAt(node).templates.push({ template, dollar, node: child })
    this.#templateChildren.set(name, child)
    return child
  }

  /** Whether a walk has to begin at `WILD` too. */
  hasWild = false

  /** Forgets what only building needs. */
  finish(): void {
    const row = WILD * WIDTH
    this.hasWild = this.#rows.subarray(row, row + WIDTH).some((one) => one !== NONE)
    this.#lastChildren.clear()
    this.#templateChildren.clear()
  }

  #extrasAt(node: number): Extras {
    const known = this.extras(node)
    if (known) return known
    const made: Extras = { templates: [], tried: [[], [], [], []] }
    this.#rows[node * WIDTH + EXTRAS] = this.#extras.push(made) - 1
    return made
  }

  addTried(node: number, ask: Ask, entry: Entry): void {
    this.#extrasAt(node).tried[ask]?.push(entry)
  }

  any(node: number): number {
    return this.#rows[node * WIDTH + ANY] as number
  }

  capture(node: number): number {
    return this.#rows[node * WIDTH + CAPTURE] as number
  }

  firstChild(node: number): number {
    return this.#rows[node * WIDTH + FIRST_CHILD] as number
  }

  nextSibling(node: number): number {
    return this.#rows[node * WIDTH + NEXT_SIBLING] as number
  }

  /** The level that leads to a literal child. */
  label(node: number): number {
    return this.#rows[node * WIDTH + LABEL] as number
  }

  extras(node: number): Extras | null {
    const at = this.#rows[node * WIDTH + EXTRAS] as number
    return at === NONE ? null : (this.#extras[at] as Extras)
  }

  /** Patterns that end at a node. */
  end(node: number, ask: Ask): Bucket | null {
    const at = this.#rows[node * WIDTH + END + ask] as number
    return at === NONE ? null : (this.#buckets[at] as Bucket)
  }

  /** Patterns that end at a node with `#`. */
  rest(node: number, ask: Ask): Bucket | null {
    const at = this.#rows[node * WIDTH + REST + ask] as number
    return at === NONE ? null : (this.#buckets[at] as Bucket)
  }

  bucketAt(node: number, isRest: boolean, ask: Ask): Bucket {
    const place = node * WIDTH + (isRest ? REST : END) + ask
    const known = this.#buckets[this.#rows[place] as number]
    if (known) return known
    const made = createBucket()
    this.#rows[place] = this.#buckets.push(made) - 1
    return made
  }
}

export function createBucket(): Bucket {
  return { first: null, more: null, keyed: null }
}

/** Appends unless the last one decides whatever gets that far; entries come in the order of their rules. */
function append(entries: Entry[], entry: Entry, closes: (entry: Entry) => boolean): void {
  const last = entries.at(-1)
  if (last === undefined || !closes(last)) entries.push(entry)
}

/** Adds an entry to a bucket, under its key if its rule has one. One that could never decide is left out. */
export function addToBucket(bucket: Bucket, entry: Entry, closes: (entry: Entry) => boolean): void {
  const { key } = entry.rule
  if (!key) {
    if (bucket.first === null) bucket.first = entry
    else if (!closes(bucket.first)) {
      bucket.more ??= []
      append(bucket.more, entry, closes)
    }
    return
  }
  bucket.keyed ??= []
  let keyed = bucket.keyed.find(({ member }) => member === key.member)
  if (!keyed) {
    keyed = { member: key.member, byValue: new Map() }
    bucket.keyed.push(keyed)
  }
  for (const value of new Set(key.values)) {
    const known = keyed.byValue.get(value)
    if (known === undefined) keyed.byValue.set(value, entry)
    else if (Array.isArray(known)) append(known, entry, closes)
    else if (!closes(known)) keyed.byValue.set(value, [known, entry])
  }
}
