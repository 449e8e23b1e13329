import { meantKey } from './meant-key.ts'
import { countValues } from './measure-json.ts'
import { quote } from './problems.ts'
import { formatNames } from './schema-formats.ts'
import { keywordKind, refusedKeyword, schemaKeywords } from './schema-keywords.ts'

/** One schema inside a schema: what of it is judged, and nothing else. */
export interface SchemaNode {
  /** Where it stands, as a JSON pointer in a fragment: `#/properties/a`. */
  readonly pointer: string
  /** Keywords that are judged by their value alone; for a schema `true` or `false` that is all there is. */
  readonly assertions: boolean | Readonly<Record<string, unknown>>
  /** Schemas under each applicator: one, a list, or by name. */
  readonly applicators: readonly (readonly [keyword: string, schemas: Schemas])[]
  readonly ref: string | null
}

/** Nodes are looked up by their pointers, and a table of very long names is slow. */
const MAX_POINTER_LENGTH = 4_096

type Schemas = SchemaNode | readonly SchemaNode[] | ReadonlyMap<string, SchemaNode>

type JsonObject = Readonly<Record<string, unknown>>

function isObject(json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}

function step(pointer: string, name: string | number): string {
  return `${pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** The schemas below a node, applicators and keywords aside. */
export function childrenOf({ applicators }: SchemaNode): readonly SchemaNode[] {
  return applicators.flatMap(([, schemas]) => {
    if (schemas instanceof Map) return [...schemas.values()]
    return Array.isArray(schemas) ? (schemas as readonly SchemaNode[]) : [schemas as SchemaNode]
  })
}

/** What a schema document consists of. Reads it once; the caller has bounded its size and depth. */
export class SchemaOutline {
  readonly root: SchemaNode
  readonly problems: string[] = []
  /** Regular expressions of `pattern` and `patternProperties`, with the place of the first use. */
  readonly patterns = new Map<string, string>()
  readonly #nodes = new Map<string, SchemaNode>()
  readonly #anchors = new Map<string, SchemaNode>()
  readonly #id: string

  constructor(json: unknown) {
    const { $id, $schema, ...rest }: JsonObject = isObject(json) ? json : {}
    this.#id = typeof $id === 'string' ? $id.replace(/#$/, '') : ''
    if ($schema !== undefined && $schema !== 'https://json-schema.org/draft/2020-12/schema')
      this.#refuse('#/$schema', 'must be "https://json-schema.org/draft/2020-12/schema", or left out')
    this.root = this.#read(isObject(json) ? rest : json, '#')
    for (const { pointer, ref } of this.#nodes.values()) {
      if (ref !== null && !this.target(ref))
        this.#refuse(step(pointer, '$ref'), 'names no schema of this document; others are not fetched')
    }
  }

  /** The schema that a `$ref` of this document names; `undefined` when there is none. */
  target(ref: string): SchemaNode | undefined {
    const local = this.#id !== '' && ref.startsWith(this.#id) ? ref.slice(this.#id.length) : ref
    if (local === '' || local === '#') return this.root
    if (!local.startsWith('#/')) return local.startsWith('#') ? this.#anchors.get(local.slice(1)) : undefined
    try {
      return this.#nodes.get(`#${decodeURIComponent(local.slice(1))}`)
    } catch {
      return undefined // no percent-encoding
    }
  }

  #refuse(pointer: string, message: string): void {
    this.problems.push(`${quote(pointer)} ${message}`)
  }

  #read(json: unknown, pointer: string): SchemaNode {
    if (pointer.length > MAX_POINTER_LENGTH) {
      this.#refuse(pointer, `stands under names that are longer than ${MAX_POINTER_LENGTH} characters together`)
      return { pointer, assertions: true, applicators: [], ref: null }
    }
    const node = this.#parse(json, pointer)
    this.#nodes.set(pointer, node)
    const anchor = isObject(json) ? json['$anchor'] : undefined
    if (typeof anchor === 'string') this.#anchors.set(anchor, node)
    return node
  }

  #parse(json: unknown, pointer: string): SchemaNode {
    if (typeof json === 'boolean') return { pointer, assertions: json, applicators: [], ref: null }
    if (!isObject(json)) {
      this.#refuse(pointer, 'must be a schema: an object, true or false')
      return { pointer, assertions: true, applicators: [], ref: null }
    }
    const assertions: Record<string, unknown> = {}
    const applicators: (readonly [string, Schemas])[] = []
    let ref: string | null = null
    for (const [keyword, value] of Object.entries(json)) {
      const at = step(pointer, keyword)
      const kind = keywordKind(keyword)
      if (kind === undefined) this.#refuse(at, unknownKeyword(keyword))
      else if (kind === 'reference') ref = this.#reference(value, at)
      else if (kind === 'assertion') assertions[keyword] = this.#assertion(keyword, value, at)
      else if (kind === 'definitions') this.#named(value, at)
      else if (kind !== 'annotation') applicators.push([keyword, this.#schemas(kind, keyword, value, at)])
    }
    return { pointer, assertions, applicators, ref }
  }

  #reference(value: unknown, at: string): string | null {
    if (typeof value === 'string') return value
    this.#refuse(at, 'must be text')
    return null
  }

  #assertion(keyword: string, value: unknown, at: string): unknown {
    if (keyword === 'pattern' && typeof value === 'string') this.#pattern(value, at)
    if (keyword === 'format' && !formatNames.some((one) => one === value))
      this.#refuse(at, `must be one of ${formatNames.join(', ')}`)
    return value
  }

  #pattern(pattern: string, at: string): void {
    if (!this.patterns.has(pattern)) this.patterns.set(pattern, at)
  }

  #schemas(kind: string, keyword: string, value: unknown, at: string): Schemas {
    if (kind.endsWith('-named')) {
      const named = this.#named(value, at)
      if (keyword === 'patternProperties') for (const name of named.keys()) this.#pattern(name, step(at, name))
      return named
    }
    if (!kind.endsWith('-many')) return this.#read(value, at)
    if (Array.isArray(value)) return value.map((one: unknown, i) => this.#read(one, step(at, i)))
    this.#refuse(at, 'must be a list of schemas')
    return []
  }

  #named(value: unknown, at: string): ReadonlyMap<string, SchemaNode> {
    if (!isObject(value)) this.#refuse(at, 'must be an object of schemas')
    const entries = isObject(value) ? Object.entries(value) : []
    const named = new Map<string, SchemaNode>()
    for (const [name, schema] of entries) {
      if (name === '__proto__') this.#refuse(at, 'names __proto__, which cannot be judged')
      else named.set(name, this.#read(schema, step(at, name)))
    }
    return named
  }
}

function unknownKeyword(keyword: string): string {
  const why = refusedKeyword(keyword)
  if (why !== undefined) return why
  const meant = meantKey(keyword, schemaKeywords)
  return meant === undefined ? 'is an unknown keyword' : `is an unknown keyword; did you mean ${meant}?`
}

/** Values that a node is judged by, without the schemas in it. */
export function ownWeight({ assertions, applicators }: SchemaNode): number {
  const named = applicators.reduce((sum, [, schemas]) => sum + (schemas instanceof Map ? schemas.size : 1), 0)
  return countValues(assertions) + named
}
