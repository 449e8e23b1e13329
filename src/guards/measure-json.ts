/** Bounds of a JSON value that others wrote. */
export interface JsonBounds {
  readonly maxDepth: number
  /** Values of every kind, nested ones included. */
  readonly maxValues: number
  /** Characters of strings and names together. */
  readonly maxCharacters: number
}

/** Says which bound a JSON value is beyond; `undefined` when none. Stops at the first, however large the value is. */
export function boundProblem(json: unknown, { maxDepth, maxValues, maxCharacters }: JsonBounds): string | undefined {
  const open: { readonly value: unknown; readonly depth: number }[] = [{ value: json, depth: 1 }]
  let values = 0
  let characters = 0
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, depth } = next
    if (++values > maxValues) return `holds more than ${maxValues} values`
    if (typeof value === 'string') characters += value.length
    else if (typeof value === 'object' && value !== null) {
      if (depth > maxDepth) return `is nested deeper than ${maxDepth}`
      const names = Array.isArray(value) ? [] : Object.keys(value)
      const nested: readonly unknown[] = Object.values(value)
      if (nested.length > maxValues) return `holds more than ${maxValues} values`
      for (const name of names) characters += name.length
      for (const one of nested) open.push({ value: one, depth: depth + 1 })
    }
    if (characters > maxCharacters) return `is longer than ${maxCharacters} characters`
  }
  return undefined
}

/** Values of a JSON value that is known to be shallow, itself included. */
export function countValues(json: unknown): number {
  if (typeof json !== 'object' || json === null) return 1
  return Object.values(json).reduce<number>((sum, one) => sum + countValues(one), 1)
}
