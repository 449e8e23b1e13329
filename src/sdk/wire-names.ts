/** Members whose content belongs to the caller: nothing inside them is renamed. */
const OPAQUE: ReadonlySet<string> = new Set([
  'values',
  'metadata',
  'message',
  'details',
  'guards',
  'user_properties',
  'userProperties',
])

const toSnake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const toCamel = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename))
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value)
    .filter(([, content]) => content !== undefined)
    .map(([name, content]) => [rename(name), OPAQUE.has(name) ? content : renamed(content, rename)])
  return Object.fromEntries(members) as unknown
}

/** Writes the members of a value in snake_case, as the wire has them; leaves out what is `undefined`. */
export function toWire(value: unknown): unknown {
  return renamed(value, toSnake)
}

/** Reads members that the wire has in snake_case as camelCase. */
export function fromWire(value: unknown): unknown {
  return renamed(value, toCamel)
}
