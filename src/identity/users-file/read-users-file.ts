import { createHash } from 'node:crypto'
import { type BigIntStats, constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { MAX_USERS_FILE_BYTES, UsersFileInvalid } from './parse-users.ts'

/** What a look at a path finds out without reading the file. */
export interface FileLook {
  /** Device, inode, size and times of the file that the path leads to in the end. */
  readonly stamp: string
  /** Some folder has the file; what is mounted alone and then replaced where it comes from is in none. */
  readonly isInFolder: boolean
}

export interface FileRead extends FileLook {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** SHA-256 of the bytes. */
  readonly digest: string
}

const stampOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats) => [dev, ino, size, mtimeNs, ctimeNs].join(':')

/** A pipe without a writer would otherwise hold a thread for ever. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** Read and hashed at once: the event loop has its turn in between. */
const PIECE_BYTES = 1024 * 1024

function unreadable(err: unknown): UsersFileInvalid {
  return new UsersFileInvalid([
    `cannot be read: ${err instanceof Error && 'code' in err ? String(err.code) : 'unknown'}`,
  ])
}

/**
 * Reads a file through whatever links lead to it, from one open file, so that a swap of a link gives the old or the new one.
 * The stamp is empty, which equals nothing, where the file changed meanwhile.
 *
 * @throws {UsersFileInvalid} when it is no file, is too long, or cannot be read
 */
export async function readUsersFile(path: string): Promise<FileRead> {
  try {
    await using file = await open(path, READ)
    const before = await file.stat({ bigint: true })
    if (!before.isFile()) throw new UsersFileInvalid(['is not a file'])
    if (before.size > MAX_USERS_FILE_BYTES) throw new UsersFileInvalid([`is longer than ${MAX_USERS_FILE_BYTES} bytes`])
    const bytes = new Uint8Array(Number(before.size) + 1)
    const hash = createHash('sha256')
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = (await file.read(bytes, length, Math.min(PIECE_BYTES, bytes.length - length))).bytesRead
      hash.update(bytes.subarray(length, length + read))
    }
    const after = await file.stat({ bigint: true })
    const stamp = stampOf(before) === stampOf(after) ? stampOf(after) : ''
    return { bytes: bytes.subarray(0, length), digest: hash.digest('base64'), stamp, isInFolder: before.nlink > 0n }
  } catch (err) {
    throw err instanceof UsersFileInvalid ? err : unreadable(err)
  }
}

/** @throws {UsersFileInvalid} when nothing is there */
export async function lookAtFile(path: string): Promise<FileLook> {
  try {
    const found = await stat(path, { bigint: true })
    return { stamp: stampOf(found), isInFolder: found.nlink > 0n }
  } catch (err) {
    throw unreadable(err)
  }
}
