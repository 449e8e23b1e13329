import { HASH_ID, type LevelTable, PLUS_ID, type TopicLevels } from './level-table.ts'
import { type Ask, type Bucket, type Entry, type Extras, NONE, type PatternTrie, ROOT, WILD } from './pattern-trie.ts'
import type { Session } from './session.ts'

/** Whether a level with variables is this level of a topic; what no value can be used for is any level for a deny. */
function takes(texts: readonly string[] | undefined, strict: boolean, levels: TopicLevels, i: number): boolean {
  if (texts === undefined) return strict
  for (const text of texts) if (levels.is(i, text)) return true
  return false
}

/** Levels with variables at one node that are tried one by one; of more a session keeps a map. */
const FEW_TEMPLATES = 8

/** Judges the entries that a walk finds. */
export interface Judge {
  /** An entry whose pattern matches. */
  consider(entry: Entry): void
  /** An entry whose pattern has to be tried. */
  considerTried(entry: Entry): void
}

/** Hands a judge the entries of a bucket whose key the identity has. */
export function judgeBucket({ first, more, keyed }: Bucket, session: Session, judge: Pick<Judge, 'consider'>): void {
  if (first !== null) judge.consider(first)
  if (more !== null) for (const entry of more) judge.consider(entry)
  if (keyed === null) return
  for (const one of keyed) {
    const found = session.entriesOf(one)
    if (found === null) continue
    if (Array.isArray(found)) for (const entry of found) judge.consider(entry)
    else judge.consider(found)
  }
}

/** Finds the patterns of a trie that have to do with a topic, and hands them to a judge. One object is used again and again. */
export class Walk {
  #trie!: PatternTrie
  #levels!: TopicLevels
  #session!: Session
  #judge!: Judge
  #ask: Ask = 0
  #dollar = false
  /** Nodes that `covering` may still visit; what lies beyond is not found. */
  nodesLeft = Number.POSITIVE_INFINITY

  #start(trie: PatternTrie, ask: Ask, levels: TopicLevels, session: Session, judge: Judge): void {
    this.#trie = trie
    this.#ask = ask
    this.#levels = levels
    this.#session = session
    this.#judge = judge
    this.#dollar = levels.startsWithDollar
  }

  #take(bucket: Bucket | null): void {
    if (bucket !== null) judgeBucket(bucket, this.#session, this.#judge)
  }

  #takeTried(extras: Extras): void {
    for (const entry of extras.tried[this.#ask] ?? [])
      if (this.#session.hasKey(entry.rule)) this.#judge.considerTried(entry)
  }

  /** Finds the patterns that match a name. */
  name(trie: PatternTrie, ask: Ask, levels: TopicLevels, session: Session, judge: Judge): void {
    this.#start(trie, ask, levels, session, judge)
    this.#visitName(ROOT, 0)
    if (!this.#dollar && trie.hasWild) this.#visitName(WILD, 0)
  }

  #visitName(node: number, i: number): void {
    const trie = this.#trie
    const levels = this.#levels
    this.#take(trie.rest(node, this.#ask))
    const extras = trie.extras(node)
    if (extras) this.#takeTried(extras)
    if (i === levels.count) {
      this.#take(trie.end(node, this.#ask))
      return
    }
    const id = levels.ids[i] as number
    const child = id === 0 ? NONE : trie.child(node, id)
    if (child !== NONE) this.#visitName(child, i + 1)
    const any = trie.any(node)
    if (any !== NONE) this.#visitName(any, i + 1)
    const capture = trie.capture(node)
    if (capture !== NONE) this.#visitName(capture, i + 1)
    if (extras) this.#visitTemplates(extras, i, this.#visitName)
  }

  #visitTemplates(extras: Extras, i: number, visit: (node: number, i: number) => void): void {
    const { templates } = extras
    if (templates.length > FEW_TEMPLATES) {
      for (const node of this.#session.childrenOf(extras, this.#levels.at(i), this.#dollar))
        visit.call(this, node, i + 1)
      return
    }
    for (const { template, dollar, node } of templates) {
      const texts = this.#session.textsOf(template)
      if (texts === undefined && !dollar && this.#dollar) continue // a first level that became `+`
      if (takes(texts, template.strict, this.#levels, i)) visit.call(this, node, i + 1)
    }
  }

  /** Finds the patterns that cover a filter in canonical form; captures need a literal level. */
  covering(trie: PatternTrie, ask: Ask, levels: TopicLevels, session: Session, judge: Judge): void {
    this.#start(trie, ask, levels, session, judge)
    this.#visitCovering(ROOT, 0)
    if (!this.#dollar && trie.hasWild) this.#visitCovering(WILD, 0)
  }

  #visitCovering(node: number, i: number): void {
    if (this.nodesLeft-- <= 0) return
    const trie = this.#trie
    const extras = trie.extras(node)
    if (extras) this.#takeTried(extras)
    this.#take(trie.rest(node, this.#ask))
    if (i === this.#levels.count) {
      this.#take(trie.end(node, this.#ask))
      return
    }
    const id = this.#levels.ids[i] as number
    if (id === HASH_ID) {
      // What became `+/#` is `#`.
      if (i === 0) this.#eachTakingAny(extras, (next) => this.#take(trie.rest(next, this.#ask)))
      return
    }
    const any = trie.any(node)
    if (any !== NONE) this.#visitCovering(any, i + 1)
    if (id === PLUS_ID) {
      this.#eachTakingAny(extras, (next) => this.#visitCovering(next, i + 1))
      return
    }
    const child = id === 0 ? NONE : trie.child(node, id)
    if (child !== NONE) this.#visitCovering(child, i + 1)
    const capture = trie.capture(node)
    if (capture !== NONE) this.#visitCovering(capture, i + 1)
    if (extras) this.#visitTemplates(extras, i, this.#visitCovering)
  }

  /** Variables of denies that cannot be used take any level, so a wildcard too. */
  #eachTakingAny(extras: Extras | null, visit: (node: number) => void): void {
    for (const { template, node } of extras?.templates ?? [])
      if (template.strict && this.#session.textsOf(template) === undefined) visit(node)
  }

  /** Finds the patterns that have a name in common with a filter in canonical form. */
  overlapping(trie: PatternTrie, ask: Ask, levels: TopicLevels, session: Session, judge: Judge): void {
    const { levels: table } = session.compiled
    this.#start(trie, ask, levels, session, judge)
    this.#visitOverlapping(ROOT, 0, table)
    if (!this.#dollar && trie.hasWild) this.#visitOverlapping(WILD, 0, table)
  }

  #visitOverlapping(node: number, i: number, table: LevelTable): void {
    const trie = this.#trie
    const extras = trie.extras(node)
    if (extras) this.#takeTried(extras)
    this.#take(trie.rest(node, this.#ask))
    const id = i === this.#levels.count ? NONE : (this.#levels.ids[i] as number)
    if (i === this.#levels.count || id === HASH_ID) this.#take(trie.end(node, this.#ask))
    if (i === this.#levels.count) return
    if (id === HASH_ID || id === PLUS_ID) {
      this.#visitChildren(node, id === HASH_ID ? i : i + 1, table) // a `#` stays where it is
      return
    }
    const child = id === 0 ? NONE : trie.child(node, id)
    if (child !== NONE) this.#visitOverlapping(child, i + 1, table)
    const any = trie.any(node)
    if (any !== NONE) this.#visitOverlapping(any, i + 1, table)
    const capture = trie.capture(node)
    if (capture !== NONE) this.#visitOverlapping(capture, i + 1, table)
    if (extras) this.#visitTemplates(extras, i, (next, at) => this.#visitOverlapping(next, at, table))
  }

  /** Visits all children that a wildcard reaches, with the filter from level `next` on. */
  #visitChildren(node: number, next: number, table: LevelTable): void {
    const trie = this.#trie
    const isFirst = node === ROOT || node === WILD
    for (let child = trie.firstChild(node); child !== NONE; child = trie.nextSibling(child)) {
      // A wildcard in the first level does not stand for names that begin with `$`.
      if (!isFirst || table.textOf(trie.label(child)).charCodeAt(0) !== 0x24) this.#visitOverlapping(child, next, table)
    }
    const any = trie.any(node)
    if (any !== NONE) this.#visitOverlapping(any, next, table)
    const capture = trie.capture(node)
    if (capture !== NONE) this.#visitOverlapping(capture, next, table)
    for (const { template, node: child } of trie.extras(node)?.templates ?? []) {
      const texts = this.#session.textsOf(template)
      const reachable =
        texts === undefined ? template.strict : texts.some((text) => !isFirst || text.charCodeAt(0) !== 0x24)
      if (reachable) this.#visitOverlapping(child, next, table)
    }
  }

  /**
   * Finds the patterns that compare the text of a filter level by level, wildcards as text. A capture takes any level, of an
   * allow only one that is no wildcard.
   */
  text(trie: PatternTrie, ask: Ask, levels: TopicLevels, session: Session, isDeny: boolean, judge: Judge): void {
    this.#start(trie, ask, levels, session, judge)
    this.#visitText(ROOT, 0, isDeny)
  }

  #visitText(node: number, i: number, isDeny: boolean): void {
    const trie = this.#trie
    const extras = trie.extras(node)
    if (extras) this.#takeTried(extras)
    if (i === this.#levels.count) {
      this.#take(trie.end(node, this.#ask))
      return
    }
    const id = this.#levels.ids[i] as number
    const child = id === 0 ? NONE : trie.child(node, id)
    if (child !== NONE) this.#visitText(child, i + 1, isDeny)
    const capture = trie.capture(node)
    if (capture !== NONE && (isDeny || (id !== PLUS_ID && id !== HASH_ID))) this.#visitText(capture, i + 1, isDeny)
    if (extras) this.#visitTemplates(extras, i, (next, at) => this.#visitText(next, at, isDeny))
  }
}
