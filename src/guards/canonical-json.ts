/** One text for equal JSON values, members in the order of their names, so that equality is that of texts. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`
}

/** Reports whether no two elements are equal JSON values, in time linear in their size. */
export function areUnique(elements: readonly unknown[]): boolean {
  return new Set(elements.map(canonicalJson)).size === elements.length
}
