import { type FileHandle, open, unlink } from 'node:fs/promises'
import { parseRecipient, type Recipient, serialiseRecipient } from '../sdk/index.ts'
import { MisuseError } from './io.ts'

const OTHERS = 0o077

async function openOrExplain(file: string, flags: string, mode?: number): Promise<FileHandle> {
  try {
    return await open(file, flags, mode)
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'EEXIST') {
      throw new MisuseError(
        `${file} exists and is not overwritten.`,
        'a recipient that is lost cannot be made again; choose another --out',
      )
    }
    if (code === 'ENOENT')
      throw new MisuseError(`${file}: no such file.`, 'enrol once: sealwire recipients enroll --out FILE')
    throw new MisuseError(`${file}: ${code ?? 'cannot be opened'}.`)
  }
}

/**
 * Reads a recipient file, and only one that nobody else can read.
 *
 * @throws {MisuseError} when it is missing or open to others
 * @throws {SealwireError} `request.invalid` when it is not a recipient file
 */
export async function readRecipientFile(file: string): Promise<Recipient> {
  await using handle = await openOrExplain(file, 'r')
  const { mode } = await handle.stat()
  if ((mode & OTHERS) !== 0) throw new MisuseError(`${file} can be read by others.`, `chmod 600 ${file}`)
  return parseRecipient(await handle.readFile('utf8'))
}

/**
 * Makes a new file of mode 0600, fills it with the recipient that `enrol` returns, and removes it when that fails. The file
 * comes first, so that no recipient is enrolled that cannot be kept.
 *
 * @throws {MisuseError} when the file exists or cannot be made
 */
export async function writeRecipientFile(file: string, enrol: () => Promise<Recipient>): Promise<Recipient> {
  await using handle = await openOrExplain(file, 'wx', 0o600)
  try {
    const recipient = await enrol()
    await handle.writeFile(serialiseRecipient(recipient))
    await handle.sync()
    return recipient
  } catch (err) {
    await unlink(file)
    throw err
  }
}
