import { type FileHandle, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { Secret } from '../core/secret.ts'
import { type Io, MisuseError } from './io.ts'
import { openToRead, readUpTo } from './text-file.ts'

const OTHERS = 0o077
const MAX_BYTES = 16_384

/** What a folder answers to `fsync` on file systems that have no such thing, as those of many memory sticks. */
const NO_FOLDER_SYNC: ReadonlySet<unknown> = new Set(['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'])

/** @throws {MisuseError} for a mode that lets others read */
function assertPrivate(file: string, mode: number): void {
  if ((mode & OTHERS) === 0) return
  const hint = `chmod 600 ${file}; where that does not help, as on FAT, mount it with umask=077`
  throw new MisuseError(`${file} can be read by others.`, hint)
}

/**
 * Reads a file that holds a root key, and only one that nobody else can read; `-` is standard input.
 *
 * @throws {MisuseError} when it is missing, open to others or too long
 */
export async function readRootFile(io: Io, file: string): Promise<Secret<string>> {
  if (file === '-') return new Secret(new TextDecoder().decode(await io.stdin(MAX_BYTES)))
  await using handle = await openToRead(file)
  assertPrivate(file, (await handle.stat()).mode)
  const bytes = await readUpTo(handle, MAX_BYTES)
  if (bytes.length > MAX_BYTES) throw new MisuseError(`${file} is not a root key file: it is too long.`)
  return new Secret(new TextDecoder().decode(bytes))
}

async function fill(handle: FileHandle, file: string, content: Secret<string>): Promise<void> {
  try {
    assertPrivate(file, (await handle.stat()).mode)
    await handle.writeFile(content.reveal())
    await handle.sync()
  } finally {
    await handle.close()
  }
  const folder = await open(path.dirname(path.resolve(file)), 'r')
  try {
    await folder.sync()
  } catch (err) {
    if (!NO_FOLDER_SYNC.has((err as NodeJS.ErrnoException).code)) throw err
  } finally {
    await folder.close()
  }
}

/**
 * Writes a root key to a new file that nobody else can read; it is on the disk when this returns, and gone when it throws.
 *
 * @throws {MisuseError} when the file is there already, cannot be made, or would be open to others
 */
export async function writeRootFile(file: string, content: Secret<string>): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'EEXIST') throw new MisuseError(`${file} exists and is not overwritten.`, 'choose another --out')
    if (err.code === 'ENOENT') throw new MisuseError(`${file}: there is no such folder.`)
    throw new MisuseError(`${file}: ${err.code ?? 'cannot be made'}.`)
  })
  try {
    await fill(handle, file, content)
  } catch (err) {
    await rm(file, { force: true })
    throw err
  }
}
