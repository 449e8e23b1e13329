import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { copyBytes, decodeUtf8 } from '../../core/bytes.ts'
import { parseStrictJson } from '../../core/strict-json.ts'
import { createScramVerifier, formatScramVerifier, scramMethods } from '../scram/verifier.ts'
import { decodeUsers, MAX_USERS_FILE_BYTES, parseUsers, USERS_FILE_JSON, UsersFileInvalid } from './parse-users.ts'
import { hashPassword } from './password-hash.ts'
import { readUsersFile } from './read-users-file.ts'

type Json = Readonly<Record<string, unknown>>

/** What a record becomes, given what it was; `undefined` where there is none. The name stays. */
export type EditRecord = (record: Json | undefined) => Json | undefined | Promise<Json | undefined>

export { checkUsersFile } from './describe-users.ts'
export { UsersFileInvalid }

export interface Edited {
  readonly change: 'added' | 'changed' | 'removed' | 'none'
  /** Users in the file now. */
  readonly users: number
  /** Others than owner and group could read the file before. */
  readonly wasOpen: boolean
}

/** Why a file was left as it is. */
export class UsersFileNotEdited extends Error {
  override readonly name = 'UsersFileNotEdited'
}

/** What a folder answers to `fsync` on file systems that have no such thing. */
const NO_FOLDER_SYNC: ReadonlySet<unknown> = new Set(['EINVAL', 'ENOTSUP', 'EPERM', 'EISDIR'])

const codeOf = (err: unknown) => (err as NodeJS.ErrnoException).code

async function unless<T>(absent: T, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return absent
    throw err
  }
}

/** Entries of either form of a file: names and records. */
function entriesOf(users: unknown): (readonly [name: string, record: Json])[] {
  if (!Array.isArray(users)) return Object.entries(users as Record<string, Json>)
  return (users as { username: string }[]).map(({ username, ...record }) => [username, record])
}

/** The text of a file with other entries, in the form that it had. */
function textWith(isList: boolean, entries: readonly (readonly [string, Json])[]): string {
  const users = isList ? entries.map(([username, record]) => ({ username, ...record })) : Object.fromEntries(entries)
  return `${JSON.stringify({ users }, null, 2)}\n`
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r')
  await handle.sync().catch((err: unknown) => {
    if (!NO_FOLDER_SYNC.has(codeOf(err))) throw err
  })
}

/** An edit takes a second at most, for a file of 64 MiB. */
const WAIT_MS = 10_000
const LOOK_AGAIN_MS = 20

/** Gives a new file the owner and the group of the one that it replaces; others get nothing. Answers whether they had a right. */
async function inherit(handle: FileHandle, file: string, old: Stats): Promise<boolean> {
  const fresh = await handle.stat()
  try {
    if (old.uid !== fresh.uid || old.gid !== fresh.gid) await handle.chown(old.uid, old.gid)
  } catch (err) {
    throw new UsersFileNotEdited(`${file} belongs to somebody else; do it as its owner`, { cause: err })
  }
  await handle.chmod((old.mode & 0o040) | 0o600)
  return (old.mode & 0o007) !== 0
}

/** How many users the edited text describes. */
function countOf(file: string, text: string): number {
  if (Buffer.byteLength(text) > MAX_USERS_FILE_BYTES) throw new UsersFileNotEdited(`${file} would become too long`)
  try {
    return parseUsers(text).length
  } catch (err) {
    if (!(err instanceof UsersFileInvalid)) throw err
    throw new UsersFileNotEdited(`${file} would not be valid: ${err.message}`, { cause: err })
  }
}

async function writeEdited(handle: FileHandle, file: string, username: string, edit: EditRecord): Promise<Edited> {
  const old = await unless(undefined, stat(file))
  const wasOpen = old !== undefined && (await inherit(handle, file, old))
  const bytes = old ? (await readUsersFile(file)).bytes : Buffer.from('{"users":[]}')
  decodeUsers(bytes) // whatever is wrong already is said before anything is changed
  const { users } = parseStrictJson(decodeUtf8(bytes).replace(/^\uFEFF/, ''), USERS_FILE_JSON) as { users: unknown }
  const entries = entriesOf(users)
  const at = entries.findIndex(([name]) => name === username)
  const record = await edit(at === -1 ? undefined : entries[at]?.[1])
  const isSame = JSON.stringify(record) === JSON.stringify(entries[at]?.[1])
  if (isSame) return { change: 'none', users: entries.length, wasOpen }

  const edited = entries.toSpliced(at === -1 ? entries.length : at, 1, ...(record ? [[username, record] as const] : []))
  const text = textWith(Array.isArray(users), edited)
  const count = countOf(file, text)
  await handle.writeFile(text)
  await handle.sync()
  const change = at === -1 ? 'added' : record ? 'changed' : 'removed'
  return { change, users: count, wasOpen }
}

/** Makes the new file, which nobody else may have: waits for whoever has. */
async function begin(next: string, waitMs: number): Promise<FileHandle> {
  const until = performance.now() + waitMs
  for (;;) {
    try {
      return await open(next, 'wx', 0o600)
    } catch (err) {
      if (codeOf(err) !== 'EEXIST')
        throw new UsersFileNotEdited(`${next} cannot be made: ${codeOf(err) ?? 'unknown'}`, { cause: err })
      if (performance.now() >= until) {
        const message = 'is there: somebody else is editing the file, or an edit was interrupted; if so, delete it'
        throw new UsersFileNotEdited(`${next} ${message}`, { cause: err })
      }
      await delay(LOOK_AGAIN_MS)
    }
  }
}

async function replace(next: string, target: string): Promise<void> {
  try {
    await rename(next, target)
  } catch (err) {
    if (codeOf(err) !== 'EBUSY') throw err
    throw new UsersFileNotEdited(`${target} is mounted by itself: mount the folder that holds it`, { cause: err })
  }
}

/**
 * Edits one user of a users file and replaces the file as a whole: a server that follows it sees the old or the new one, and so
 * does whoever looks after a crash. A file that is not there begins empty. The new one lies beside it as `<file>.new` meanwhile,
 * which also keeps a second edit waiting. Owner and group stay, others lose the right to read.
 *
 * @param waitMs for another edit
 * @throws {UsersFileInvalid} when the file is not valid as it is
 * @throws {UsersFileNotEdited}
 */
export async function editUsersFile(
  file: string,
  username: string,
  edit: EditRecord,
  waitMs = WAIT_MS,
): Promise<Edited> {
  const target = await unless(path.resolve(file), realpath(file))
  const next = `${target}.new`
  const handle = await begin(next, waitMs)
  let isReplaced = false
  try {
    const edited = await writeEdited(handle, target, username, edit)
    if (edited.change === 'none') return edited
    await replace(next, target)
    isReplaced = true
    await syncFolder(path.dirname(target))
    return edited
  } finally {
    await handle.close()
    if (!isReplaced) await rm(next, { force: true })
  }
}

/** 24 random bytes as text. */
export function generatePassword(): string {
  return randomBytes(24).toString('base64url')
}

/** The member of a record that keeps a password: an argon2id hash. Takes long, so it is made before an edit begins. */
export async function passwordMember(password: Uint8Array): Promise<Json> {
  return { password_hash: await hashPassword(password) }
}

/**
 * The member that keeps verifiers of a password for SCRAM, one of each method.
 *
 * @throws {UsersFileNotEdited} when the password is not text, or SASLprep refuses it
 */
export async function scramMember(password: Uint8Array): Promise<Json> {
  const scram: string[] = []
  for (const method of scramMethods) {
    const verifier = await createScramVerifier(method, textOf(password), { salt: copyBytes(randomBytes(16)) })
    if (!verifier)
      throw new UsersFileNotEdited('SCRAM cannot use this password: it has characters that SASLprep forbids')
    scram.push(formatScramVerifier(verifier))
  }
  return { scram }
}

function textOf(password: Uint8Array): string {
  try {
    return decodeUtf8(password)
  } catch (err) {
    throw new UsersFileNotEdited('SCRAM cannot use this password: it is not UTF-8', { cause: err })
  }
}
