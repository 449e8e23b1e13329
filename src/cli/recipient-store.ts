import { type FileHandle, open, realpath, rename, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { parseRecipient, type Recipient, SealwireError, serialiseRecipient } from '../sdk/index.ts'
import { MisuseError } from './io.ts'

const OTHERS = 0o077

async function openOrExplain(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'r')
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'ENOENT')
      throw new MisuseError(`${file}: no such file.`, 'enrol once: sealwire recipients enroll --out FILE')
    throw new MisuseError(`${file}: ${code ?? 'cannot be opened'}.`)
  }
}

/**
 * Reads a recipient file, and only one that nobody else can read. Where it lies does not matter.
 *
 * @throws {MisuseError} when it is missing or open to others
 * @throws {SealwireError} `request.invalid` when it is not a recipient file
 */
export async function readRecipientFile(file: string): Promise<Recipient> {
  await using handle = await openOrExplain(file)
  const { mode } = await handle.stat()
  if ((mode & OTHERS) !== 0) throw new MisuseError(`${file} can be read by others.`, `chmod 600 ${file}`)
  return parseRecipient(await handle.readFile('utf8'))
}

/** How a new recipient comes to be kept. */
export interface Enrolling {
  /** Enrols one; `keep` is called with it, and returns when it is durably written, before the server switches to it. */
  enrol(keep: (recipient: Recipient) => Promise<void>): Promise<Recipient>
  /** Finishes one that was kept when its enrolment was interrupted. */
  confirm(recipient: Recipient): Promise<unknown>
  /** Whether the file is there and makes way for the new one; else it must not exist. */
  replaces: boolean
  /** Told what to do about what is left. */
  hint(text: string): void
}

const pendingOf = (file: string) => `${file}.pending`

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file)
    return true
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw err
  }
}

/** Makes the pending file, which also keeps a second command away; `undefined` when it is there. */
async function createPending(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(pendingOf(file), 'wx', 0o600)
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'EEXIST') return undefined
    throw new MisuseError(`${file}: ${code ?? 'cannot be made'}.`)
  }
}

/** Puts the pending file in its place, for good: both names are on the disk when it returns. */
async function settle(file: string): Promise<void> {
  await rename(pendingOf(file), file)
  if (process.platform === 'win32') return // cannot open folders
  await using folder = await open(path.dirname(file), 'r')
  await folder.sync()
}

function refuseExisting(file: string): never {
  throw new MisuseError(
    `${file} exists and is not overwritten.`,
    'a recipient that is lost cannot be made again; choose another --out, or replace it: sealwire recipients rotate',
  )
}

/** An earlier command kept its recipient and did not learn whether the server switched to it: asks again. */
async function resume(file: string, { confirm, replaces }: Enrolling): Promise<Recipient> {
  const pending = pendingOf(file)
  if (!replaces && (await exists(file))) refuseExisting(file)
  const recipient = await readRecipientFile(pending).catch((err: unknown) => {
    if (!(err instanceof SealwireError)) throw err
    const message = `${pending} is there and not complete: another command is under way, or was interrupted early.`
    throw new MisuseError(message, `if none is under way: rm ${pending}`)
  })
  try {
    await confirm(recipient)
  } catch (err) {
    if (!(err instanceof SealwireError) || err.code !== 'object.not_found') throw err
    const message = `${pending}: ${recipient.recipientId} can no longer be confirmed with this API key.`
    throw new MisuseError(
      message,
      `use the API key it was made with; if more than ten minutes have passed since: rm ${pending}`,
    )
  }
  await settle(file)
  return recipient
}

/**
 * Enrols a recipient and keeps it in `file`, mode 0600. It is written and synced as `FILE.pending` before the server switches
 * to it, and renamed after: at every moment a file on the disk opens the answers. After an interruption the same call goes on
 * where it stopped.
 *
 * @throws {MisuseError} when the file must not exist and does, or cannot be made
 */
export async function keepRecipient(
  name: string,
  enrolling: Enrolling,
): Promise<{ recipient: Recipient; resumed: boolean }> {
  const file = enrolling.replaces ? await realpath(name) : name
  const handle = await createPending(file)
  if (!handle) return { recipient: await resume(file, enrolling), resumed: true }
  let isKept = false
  try {
    await using pending = handle
    if (!enrolling.replaces && (await exists(file))) refuseExisting(file)
    const recipient = await enrolling.enrol(async (one) => {
      await pending.writeFile(serialiseRecipient(one))
      await pending.sync()
      isKept = true
    })
    await settle(file)
    return { recipient, resumed: false }
  } catch (err) {
    const mayBeActive = isKept && !(err instanceof SealwireError && err.outcome === 'rejected')
    if (mayBeActive) enrolling.hint(`run the same command again: it goes on with ${pendingOf(file)}`)
    else await unlink(pendingOf(file))
    throw err
  }
}
