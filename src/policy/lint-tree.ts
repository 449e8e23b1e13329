import { ANY, canonical, type Levels, REST } from './levels.ts'
import type { PatternLevel } from './rule.ts'
import { isCapture } from './rule.ts'

/** The key of a level with one text, or with the same variables in the same places; a capture is a `+`. */
export function levelKey(level: PatternLevel): string {
  if (level === ANY || isCapture(level)) return '+'
  if (level === REST) return '#'
  return typeof level === 'string' ? level : `\u0000${level.text}` // no pattern holds a NUL
}

/** Writes levels as they are written in a document. */
export function patternText(levels: readonly PatternLevel[]): string {
  const textOf = (level: PatternLevel) => {
    if (typeof level === 'string') return level
    if (isCapture(level)) return `+:${level.capture}`
    return typeof level === 'object' ? level.text : level === ANY ? '+' : '#'
  }
  return levels.map(textOf).join('/')
}

/** The one form of patterns that match the same names, where they have neither captures nor variables. */
export function canonicalLevels(levels: readonly PatternLevel[]): readonly PatternLevel[] {
  return levels.some((level) => typeof level === 'object') ? levels : canonical(levels as Levels)
}

/** Patterns, level by level; every node holds what is known of the patterns that lead to it. */
export class LevelNode<T> {
  #children: Map<string, LevelNode<T>> | undefined
  readonly value: T

  constructor(value: T) {
    this.value = value
  }

  child(key: string): LevelNode<T> | undefined {
    return this.#children?.get(key)
  }

  /** The child under a key, made with a value of its own where there is none; `undefined` when the budget has no more nodes. */
  grow(key: string, createValue: () => T, budget: LintBudget): LevelNode<T> | undefined {
    const known = this.child(key)
    if (known || !budget.takeNode()) return known
    const child = new LevelNode(createValue())
    this.#children ??= new Map()
    this.#children.set(key, child)
    return child
  }
}

/**
 * Steps and nodes that comparing the rules of a document may take: seconds, and some hundred megabytes. Rules for which there
 * is nothing left are not compared, which is said in a warning.
 */
export class LintBudget {
  #steps = 2_000_000
  #nodes = 1_000_000

  /** Whether nothing more can be compared. */
  get isSpent(): boolean {
    return this.#steps < 0
  }

  /** Whether everything was compared. */
  get wasEnough(): boolean {
    return this.#steps >= 0 && this.#nodes >= 0
  }

  takeStep(): boolean {
    return --this.#steps >= 0
  }

  takeNode(): boolean {
    return --this.#nodes >= 0
  }
}
