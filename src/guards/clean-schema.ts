import type { SchemaNode, SchemaOutline } from './schema-outline.ts'

type Json = boolean | Readonly<Record<string, unknown>>

/**
 * Writes a schema anew from its outline, for the validator that makes code of it: keywords that are judged, local
 * references that name an entry of `$defs`, and nothing else of what its author wrote. `undefined` when it would be
 * larger than `maxNodes`. The references lead in no circle, and to a schema each.
 */
export function cleanSchema(outline: SchemaOutline, maxNodes: number): Json | undefined {
  const names = new Map<SchemaNode, string>()
  const definitions: Record<string, Json> = {}
  let nodes = 0

  const nameOf = (target: SchemaNode): string => {
    const known = names.get(target)
    if (known !== undefined) return known
    const own = /^#\/(?:\$defs|definitions)\/([A-Za-z][\w-]*)$/.exec(target.pointer)?.[1]
    const free = own !== undefined && ![...names.values()].includes(own)
    const name = free ? own : `${names.size}-${own ?? 'schema'}`
    names.set(target, name)
    definitions[name] = write(target)
    return name
  }
  const write = (node: SchemaNode): Json => {
    if (++nodes > maxNodes) return true
    if (typeof node.assertions === 'boolean') return node.assertions
    const clean: Record<string, unknown> = { ...node.assertions }
    for (const [keyword, schemas] of node.applicators) {
      if (schemas instanceof Map) {
        clean[keyword] = Object.fromEntries([...schemas].map(([name, one]: [string, SchemaNode]) => [name, write(one)]))
      } else if (Array.isArray(schemas)) clean[keyword] = schemas.map(write)
      else clean[keyword] = write(schemas as SchemaNode)
    }
    const target = node.ref === null ? undefined : outline.target(node.ref)
    if (target) clean['$ref'] = `#/$defs/${nameOf(target)}`
    return clean
  }

  const root = write(outline.root)
  if (nodes > maxNodes) return undefined
  return typeof root === 'boolean' || names.size === 0 ? root : { ...root, $defs: definitions }
}
