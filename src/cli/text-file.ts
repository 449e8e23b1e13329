import { type FileHandle, open } from 'node:fs/promises'
import { type Io, MisuseError } from './io.ts'

/** Opens a file for reading. @throws {MisuseError} when it is not there or may not be read */
export async function openToRead(file: string): Promise<FileHandle> {
  const handle = await open(file, 'r').catch((err: NodeJS.ErrnoException) => {
    throw new MisuseError(`${file}: ${err.code === 'ENOENT' ? 'no such file' : (err.code ?? 'cannot be opened')}.`)
  })
  if (!(await handle.stat()).isDirectory()) return handle
  await handle.close()
  throw new MisuseError(`${file}: is a folder.`)
}

/** All of a file of known size, or of one that has none, such as a pipe, up to one byte more than is wanted. */
export async function readUpTo(handle: FileHandle, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of handle.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes > maxBytes) break
  }
  return new Uint8Array(Buffer.concat(chunks))
}

/**
 * Reads text from a file, or from standard input where it is `-`; without a byte order mark.
 *
 * @throws {MisuseError} when it cannot be read, is longer than `maxBytes` or is no UTF-8
 */
export async function readTextFile(io: Io, file: string, maxBytes: number): Promise<string> {
  let bytes: Uint8Array
  if (file === '-') bytes = await io.stdin(maxBytes)
  else {
    await using handle = await openToRead(file)
    bytes = await readUpTo(handle, maxBytes)
  }
  if (bytes.length > maxBytes) throw new MisuseError(`${file}: is longer than ${maxBytes / 1024 / 1024} MiB.`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (err) {
    if (!(err instanceof TypeError)) throw err
    throw new MisuseError(`${file}: is not UTF-8.`)
  }
}
