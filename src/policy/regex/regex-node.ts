import type { CharSet } from './char-set.ts'

/** A checked pattern. What a character, a class or an escape stands for is a set already; groups leave no trace. */
export type RegexNode =
  | { readonly kind: 'one'; readonly set: CharSet }
  | { readonly kind: 'hole'; readonly hole: number }
  | { readonly kind: 'sequence'; readonly items: readonly RegexNode[] }
  | { readonly kind: 'either'; readonly options: readonly RegexNode[] }
  /** `max` is `Infinity` where there is no upper bound. */
  | { readonly kind: 'repeat'; readonly item: RegexNode; readonly min: number; readonly max: number }

export function sequence(items: readonly RegexNode[]): RegexNode {
  const [only] = items
  return items.length === 1 && only ? only : { kind: 'sequence', items }
}

export function either(options: readonly RegexNode[]): RegexNode {
  const [only] = options
  return options.length === 1 && only ? only : { kind: 'either', options }
}

/** One literal for each character of `text`. */
export function literal(text: string): RegexNode {
  return sequence(
    Array.from(text, (character): RegexNode => {
      const c = character.codePointAt(0) as number
      return { kind: 'one', set: [c, c] }
    }),
  )
}

/** The character that a node stands for where it is a single one. */
function onlyCharacter(node: RegexNode): string | undefined {
  if (node.kind !== 'one' || node.set.length !== 2 || node.set[0] !== node.set[1]) return undefined
  return String.fromCodePoint(node.set[0] as number)
}

/** What every match starts with: literal characters, and numbers of variables. */
export type Head = readonly (string | number)[]

/** Cuts off the literals and variables that every match starts with. What is repeated or has alternatives stays. */
export function splitHead(node: RegexNode): { head: Head; rest: RegexNode } {
  const character = onlyCharacter(node)
  if (character !== undefined) return { head: [character], rest: sequence([]) }
  if (node.kind === 'hole') return { head: [node.hole], rest: sequence([]) }
  if (node.kind !== 'sequence') return { head: [], rest: node }
  const head: (string | number)[] = []
  for (const [i, item] of node.items.entries()) {
    const first = splitHead(item)
    head.push(...first.head)
    const isUsedUp = first.rest.kind === 'sequence' && first.rest.items.length === 0
    if (!isUsedUp) return { head, rest: sequence([first.rest, ...node.items.slice(i + 1)]) }
  }
  return { head, rest: sequence([]) }
}

/** How often variables stand in a node when its repetitions are written out. */
export function holeCount(node: RegexNode): number {
  switch (node.kind) {
    case 'one':
      return 0
    case 'hole':
      return 1
    case 'sequence':
      return node.items.reduce((sum, item) => sum + holeCount(item), 0)
    case 'either':
      return node.options.reduce((sum, option) => sum + holeCount(option), 0)
    case 'repeat':
      return times(node) * holeCount(node.item)
  }
}

/** Copies of its item that a repetition is written out to. */
function times({ min, max }: { min: number; max: number }): number {
  return Math.max(max === Number.POSITIVE_INFINITY ? min : max, 1)
}

/** At most so many instructions does a node compile to, variables aside: a number that may be far beyond what can be compiled. */
export function programSize(node: RegexNode): number {
  switch (node.kind) {
    case 'one':
    case 'hole':
      return 1
    case 'sequence':
      return node.items.reduce((sum, item) => sum + programSize(item), 1)
    case 'either':
      return node.options.reduce((sum, option) => sum + programSize(option) + 1, 0)
    case 'repeat':
      return times(node) * (programSize(node.item) + 1) + 1
  }
}

/** How often the innermost part of nested counted repetitions is written out: `(a{3}){4}` makes 12 copies. */
export function copies(node: RegexNode): number {
  switch (node.kind) {
    case 'one':
    case 'hole':
      return 1
    case 'sequence':
      return node.items.reduce((most, item) => Math.max(most, copies(item)), 1)
    case 'either':
      return node.options.reduce((most, option) => Math.max(most, copies(option)), 1)
    case 'repeat':
      return times(node) * copies(node.item)
  }
}

/** Puts a node in the place of every variable. */
export function fillHoles(node: RegexNode, filled: (hole: number) => RegexNode): RegexNode {
  switch (node.kind) {
    case 'one':
      return node
    case 'hole':
      return filled(node.hole)
    case 'sequence':
      return sequence(node.items.map((item) => fillHoles(item, filled)))
    case 'either':
      return either(node.options.map((option) => fillHoles(option, filled)))
    case 'repeat':
      return { ...node, item: fillHoles(node.item, filled) }
  }
}
