/**
 * A regular expression to be taken apart by derivatives: what is left to match after a character is again one.
 *
 * @see J. A. Brzozowski, Derivatives of Regular Expressions, JACM 11 (1964)
 */
export interface Expression {
  /** One for all that are built alike, so that a walk over derivatives ends. */
  readonly id: number
  /** Whether it matches the empty text. */
  readonly isNullable: boolean
  /** What it is a choice of. Choices inside choices are taken apart, or derivatives would not end. */
  readonly options?: readonly Expression[]
  derive(c: string): Expression
}

const known = new Map<string, Expression>()

/** The expression of this shape, made once; its derivatives are worked out once as well. */
function shaped(shape: string, make: (id: number) => Expression): Expression {
  const found = known.get(shape)
  if (found !== undefined) return found
  const made = make(known.size)
  const derivatives = new Map<string, Expression>()
  const expression = {
    ...made,
    derive(c: string) {
      const derivative = derivatives.get(c) ?? made.derive(c)
      derivatives.set(c, derivative)
      return derivative
    },
  }
  known.set(shape, expression)
  return expression
}

/** Matches no text at all. */
export const nothing: Expression = shaped('nothing', (id) => ({ id, isNullable: false, derive: () => nothing }))
const emptyText: Expression = shaped('empty', (id) => ({ id, isNullable: true, derive: () => nothing }))

/** One character. `name` says which, the same for the same. */
export function oneOf(name: string, holds: (c: string) => boolean): Expression {
  return shaped(`<${name}`, (id) => ({ id, isNullable: false, derive: (c) => (holds(c) ? emptyText : nothing) }))
}

export function sequence(all: readonly Expression[]): Expression {
  return all.reduceRight((rest, first) => pair(first, rest), emptyText)
}

function pair(a: Expression, b: Expression): Expression {
  if (a === nothing || b === nothing) return nothing
  if (a === emptyText) return b
  if (b === emptyText) return a
  return shaped(`${a.id}.${b.id}`, (id) => ({
    id,
    isNullable: a.isNullable && b.isNullable,
    derive(c) {
      const first = pair(a.derive(c), b)
      return a.isNullable ? either([first, b.derive(c)]) : first
    },
  }))
}

export function either(choices: readonly Expression[]): Expression {
  const flat = choices.flatMap((one) => one.options ?? [one]).filter((one) => one !== nothing)
  const options = [...new Set(flat)].sort((a, b) => a.id - b.id)
  const [only = nothing] = options
  if (options.length < 2) return only
  return shaped(options.map(({ id }) => id).join('|'), (id) => ({
    id,
    isNullable: options.some(({ isNullable }) => isNullable),
    options,
    derive: (c) => either(options.map((one) => one.derive(c))),
  }))
}

export function anyNumberOf(inner: Expression): Expression {
  return shaped(`${inner.id}*`, (id) => ({
    id,
    isNullable: true,
    derive: (c) => pair(inner.derive(c), anyNumberOf(inner)),
  }))
}

export const optional = (inner: Expression): Expression => either([emptyText, inner])

/** From `least` to `most` of one after the other. */
export function repeated(inner: Expression, least: number, most: number): Expression {
  if (most === 0) return emptyText
  if (most === Number.POSITIVE_INFINITY && least === 0) return anyNumberOf(inner)
  const all = pair(inner, repeated(inner, Math.max(0, least - 1), most - 1))
  return least > 0 ? all : optional(all)
}
