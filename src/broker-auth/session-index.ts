/** Ids by name, each name's in the order of their coming. */
export interface Index {
  of(name: string): ReadonlySet<string>
  /** Behind those that are there. */
  add(name: string, id: string): void
  remove(name: string, id: string): void
}

const NONE: ReadonlySet<string> = new Set()

export function createIndex(): Index {
  const byName = new Map<string, Set<string>>()
  return {
    of: (name) => byName.get(name) ?? NONE,
    add(name, id) {
      const ids = byName.get(name) ?? new Set()
      ids.delete(id)
      byName.set(name, ids.add(id))
    },
    remove(name, id) {
      const ids = byName.get(name)
      ids?.delete(id)
      if (ids?.size === 0) byName.delete(name)
    },
  }
}
