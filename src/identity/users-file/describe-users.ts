import { stat } from 'node:fs/promises'
import { decodeUsers } from './parse-users.ts'
import { isWeak } from './password-hash.ts'
import { readUsersFile } from './read-users-file.ts'
import { countKinds } from './user.ts'

/** What there is to say about a users file; no name is in it. */
export interface UsersSummary {
  readonly users: number
  readonly disabled: number
  /** Users who can log in by SCRAM. */
  readonly scram: number
  /** Users by what verifying their password costs, most first. */
  readonly kinds: readonly (readonly [kind: string, users: number])[]
  /** Users whose hash is cheap to guess from, should the file leak. */
  readonly weak: number
  /** Others than owner and group can read the file. */
  readonly isOpen: boolean
}

/** Reads a users file as a server does. @throws {UsersFileInvalid} */
export async function checkUsersFile(path: string): Promise<UsersSummary> {
  const users = decodeUsers((await readUsersFile(path)).bytes)
  return {
    users: users.length,
    disabled: users.filter(({ enabled }) => !enabled).length,
    scram: users.filter(({ scram }) => scram.length > 0).length,
    kinds: [...countKinds(users)].sort(([, a], [, b]) => b - a),
    weak: users.filter(({ passwordHash }) => passwordHash && isWeak(passwordHash)).length,
    isOpen: ((await stat(path)).mode & 0o007) !== 0,
  }
}
