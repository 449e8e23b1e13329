import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const root = path.resolve(import.meta.dirname, '..')

interface Manifest {
  version: string
  license: string
  dependencies: Record<string, string>
}

/** What goes to npm: ESM with declarations, and no dependency but noble, in the versions that were tested. */
function manifestOf({ version, license, dependencies }: Manifest) {
  const noble = Object.entries(dependencies).filter(([name]) => name.startsWith('@noble/'))
  return {
    name: '@sealwire/sdk',
    version,
    description:
      'Client of Sealwire: publish to and subscribe from MQTT brokers; every answer verified and opened locally.',
    license,
    type: 'module',
    sideEffects: false,
    engines: { node: '>=20.3' },
    exports: { '.': { types: './sdk/index.d.ts', default: './sdk/index.js' } },
    dependencies: Object.fromEntries(noble),
  }
}

/**
 * Emits the SDK as a package of its own: JavaScript and declarations of the SDK and of what it imports, a manifest, the
 * licence and a README. Replaces `outDir`.
 *
 * @throws when the compiler finds an error; its report is the message
 */
export async function buildSdk(outDir: string): Promise<void> {
  await rm(outDir, { recursive: true, force: true })
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc')
  const project = path.join(root, 'src/sdk/tsconfig.build.json')
  await promisify(execFile)(process.execPath, [compiler, '-p', project, '--outDir', outDir]).catch((err: unknown) => {
    throw new Error(`The SDK does not compile:\n${(err as { stdout?: string }).stdout ?? ''}`, { cause: err })
  })
  await mkdir(outDir, { recursive: true })
  const manifest = manifestOf(JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as Manifest)
  await writeFile(path.join(outDir, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  await copyFile(path.join(root, 'src/sdk/README.md'), path.join(outDir, 'README.md'))
  await copyFile(path.join(root, 'LICENSE'), path.join(outDir, 'LICENSE'))
}

// The launcher imports what it runs, so `import.meta.main` would be false.
if (process.argv[1] === import.meta.filename) {
  const outDir = path.join(root, 'dist/sdk')
  await buildSdk(outDir)
  process.stdout.write(`${outDir}\n`)
}
