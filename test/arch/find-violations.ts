import fs from 'node:fs'
import { builtinModules } from 'node:module'
import path from 'node:path'
import { environmentReaders, homes, mayImport, portable } from './import-table.ts'
import { listSources, readSource } from './read-source.ts'

export interface Findings {
  /** How many files were read. */
  files: number
  /** One line each: `file: what is wrong`. */
  violations: readonly string[]
}

/** Judges every source file below a `src` folder by the import table. */
export function findViolations(srcFolder: string): Findings {
  const files = listSources(srcFolder)
  const violations = files.flatMap((file) => {
    const use = readSource(fs.readFileSync(path.join(srcFolder, file), 'utf8'), file)
    const problems = use.imports.flatMap((name) => judge(file, name) ?? [])
    if (use.computedImport) problems.push('imports a module that only an expression names')
    if (use.readsEnvironment && !environmentReaders.includes(file)) problems.push('reads process.env')
    return problems.map((problem) => `${file}: ${problem}`)
  })
  return { files: files.length, violations }
}

/** The row of the table that a path relative to `src` falls under: its folder, or its own name at the top. */
const rowOf = (file: string): string => file.split('/')[0] ?? file

function judge(file: string, name: string): string | undefined {
  if (name.startsWith('.')) return judgeRelative(file, name)
  if (name.startsWith('#')) return `imports ${name}: only test/ and scripts/ use # names`
  if (path.isAbsolute(name) || name.startsWith('file:')) return `imports ${name} by an absolute path`
  const home = homes.find((candidate) => candidate.package.test(packageOf(name)) || candidate.package.test(name))
  if (
    home !== undefined &&
    !home.places.some((place) => file === place || (place.endsWith('/') && file.startsWith(place)))
  )
    return `imports ${name}, whose home is ${home.places.join(', ')}`
  const isNodeModule = name.startsWith('node:') || builtinModules.includes(name)
  if (isNodeModule && portable.includes(rowOf(file))) return `imports ${name} in the portable set`
  return undefined
}

function judgeRelative(file: string, name: string): string | undefined {
  const target = path.posix.join(path.posix.dirname(file), name)
  if (target.startsWith('..')) return isPackageJson(target) ? undefined : `imports ${name} outside src/`
  if (!/\.(ts|tsx|json|sql)$/.test(target)) return `imports ${name} without its extension`
  const [from, to] = [rowOf(file), rowOf(target)]
  if (from === to) return undefined
  const allowed = mayImport[from]
  if (allowed === undefined) return `${from} is not in the import table`
  return allowed.includes(to) ? undefined : `${from} may not import ${to} (${name})`
}

const isPackageJson = (target: string): boolean => target === '../package.json' || target === '../openapi/openapi.json'

/** `@scope/name/sub/path` → `@scope/name`. */
function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/')
}
