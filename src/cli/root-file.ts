import { open } from 'node:fs/promises'
import path from 'node:path'
import { Secret } from '../core/secret.ts'
import { MisuseError } from './io.ts'
import { openToRead } from './text-file.ts'

const OTHERS = 0o077
const MAX_BYTES = 16_384

/**
 * Reads a file that holds a root key, and only one that nobody else can read.
 *
 * @throws {MisuseError} when it is missing, open to others or too long
 */
export async function readRootFile(file: string): Promise<Secret<string>> {
  await using handle = await openToRead(file)
  const { mode, size } = await handle.stat()
  if ((mode & OTHERS) !== 0) throw new MisuseError(`${file} can be read by others.`, `chmod 600 ${file}`)
  if (size > MAX_BYTES) throw new MisuseError(`${file} is not a root key file: it is too long.`)
  return new Secret(await handle.readFile('utf8'))
}

/**
 * Writes a root key to a new file of mode 0600; it is on the disk when this returns.
 *
 * @throws {MisuseError} when the file is there already, or cannot be made
 */
export async function writeRootFile(file: string, content: Secret<string>): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'EEXIST') throw new MisuseError(`${file} exists and is not overwritten.`, 'choose another --out')
    throw new MisuseError(`${file}: ${err.code ?? 'cannot be made'}.`)
  })
  try {
    await handle.writeFile(content.reveal())
    await handle.sync()
  } finally {
    await handle.close()
  }
  const folder = await open(path.dirname(path.resolve(file)), 'r')
  await folder.sync().finally(() => folder.close())
}
