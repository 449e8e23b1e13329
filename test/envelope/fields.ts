/** A path to a leaf of an envelope: `['encrypted', 'key_id']`, `['signature', 'inclusion_proof', 'hashes', 0]`. */
export type Path = readonly (string | number)[]

type Tree = Record<string | number, unknown>

/** Every path to a value that is neither object nor array. */
export function leavesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  return Object.entries(value).flatMap(([name, member]) => leavesOf(member, [...path, name]))
}

export function getAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((tree, name) => (tree as Tree)[name], value)
}

/** A copy with the member at `path` replaced; `undefined` leaves it out. */
export function setAt<T>(value: T, path: Path, member: unknown): T {
  const copy = structuredClone(value)
  const parent = getAt(copy, path.slice(0, -1)) as Tree
  const name = path.at(-1) ?? ''
  if (member === undefined) delete parent[name]
  else parent[name] = member
  return copy
}
