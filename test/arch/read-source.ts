import fs from 'node:fs'
import path from 'node:path'
import { parseAst } from 'rolldown/parseAst'

/** What one source file asks for from outside itself. */
export interface SourceUse {
  /** Every module it names: static and dynamic imports, re-exports, imports of types, `require`, `import.meta.resolve`. */
  imports: readonly string[]
  /** Whether a module is named by an expression, so that nobody can say which. */
  computedImport: boolean
  /** Whether it reaches the environment of the process. */
  readsEnvironment: boolean
  /** The variables that it names as `process.env.NAME` or `process.env['NAME']`. */
  variables: readonly string[]
}

interface Node {
  type: string
  [member: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
const nameOf = (value: unknown): unknown => (isNode(value) ? (value['name'] ?? value['value']) : undefined)

/** Reads a TypeScript source text. Throws where it does not parse. */
export function readSource(text: string, file: string): SourceUse {
  const imports: string[] = []
  let computedImport = false
  let readsEnvironment = false
  const variables: string[] = []
  const constants = new Map<unknown, unknown>()
  const take = (given: unknown) => {
    const source = isNode(given) && given.type === 'Identifier' ? constants.get(given['name']) : given
    if (isNode(source) && source.type === 'Literal' && typeof source['value'] === 'string')
      imports.push(source['value'])
    else if (isNode(source) && isPlainTemplate(source)) imports.push(templateStart(source))
    else computedImport = true
  }
  const visit = (node: Node) => {
    switch (node.type) {
      case 'ImportDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
      case 'TSImportType':
        take(node['source'])
        break
      case 'ExportNamedDeclaration':
        if (node['source']) take(node['source'])
        break
      case 'TSExternalModuleReference':
        take(node['expression'])
        break
      case 'CallExpression':
        if (isResolving(node['callee'])) take((node['arguments'] as unknown[])[0])
        break
      case 'MemberExpression':
        if (isEnvironment(node)) readsEnvironment = true
        if (isEnvironment(node['object'])) variables.push(String(nameOf(node['property'])))
        break
      case 'VariableDeclarator':
        constants.set(nameOf(node['id']), node['init'])
        if (isProcess(node['init']) && isNode(node['id']) && node['id'].type === 'ObjectPattern')
          readsEnvironment = true
        break
    }
    for (const value of Object.values(node)) {
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child)
    }
  }
  visit(parseAst(text, { lang: file.endsWith('x') ? 'tsx' : 'ts' }, file) as unknown as Node)
  if (imports.some((name) => /^(node:)?process$/.test(name))) readsEnvironment = true
  return { imports, computedImport, readsEnvironment, variables }
}

/** `@scope/name-${platform}` names its package well enough to be judged; `${anything}` does not. */
function isPlainTemplate(node: Node): boolean {
  return node.type === 'TemplateLiteral' && /^(node:|@[a-z0-9-]+\/|[a-z0-9-]+\/)/.test(templateStart(node))
}

function templateStart(node: Node): string {
  const [first] = node['quasis'] as { value: { cooked: string } }[]
  return first?.value.cooked ?? ''
}

function isProcess(value: unknown): boolean {
  if (!isNode(value)) return false
  return nameOf(value) === 'process' || (value.type === 'MemberExpression' && nameOf(value['property']) === 'process')
}

/** `process.env`, `globalThis.process['env']`. */
function isEnvironment(value: unknown): boolean {
  return (
    isNode(value) &&
    value.type === 'MemberExpression' &&
    isProcess(value['object']) &&
    nameOf(value['property']) === 'env'
  )
}

/** `require(x)`, `require.resolve(x)`, `import.meta.resolve(x)`. */
function isResolving(callee: unknown): boolean {
  if (!isNode(callee)) return false
  if (callee.type === 'Identifier') return callee['name'] === 'require'
  if (callee.type !== 'MemberExpression' || nameOf(callee['property']) !== 'resolve') return false
  const object = callee['object']
  return nameOf(object) === 'require' || (isNode(object) && object.type === 'MetaProperty')
}

/** Lists the source files below a folder, as sorted paths relative to it with forward slashes. */
export function listSources(folder: string): string[] {
  if (!fs.existsSync(folder)) return []
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|tsx|mts)$/.test(file))
    .map((file) => file.split(path.sep).join('/'))
    .sort()
}
