import { getCompileCacheDir } from 'node:module'
import path from 'node:path'

/**
 * The environment of a thread: no secret of this process, but where its modules lie compiled. Without that it reads and strips
 * their TypeScript again, in several times the time and the memory.
 */
export function threadEnv(): Readonly<Record<string, string>> {
  const folder = getCompileCacheDir() // of this version of Node, below the one that is named
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: path.dirname(folder) }
}
