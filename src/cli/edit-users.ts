import path from 'node:path'
import { positionAt } from '../policy/locate.ts'
import { counted } from './counted.ts'
import { type Io, printable } from './io.ts'
import { findJsonFault } from './json-fault.ts'
import type { LoadOperator, Operator } from './operator.ts'
import { FileProblemsError } from './policy-file.ts'
import { readTextFile } from './text-file.ts'

type UsersFile = Operator['usersFile']

const MAX_BYTES = 64 * 1024 * 1024

/** Does something with a users file; what is wrong with it is told a line each, with its place where it stops being JSON. */
export async function withUsersFile<T>(
  io: Io,
  load: LoadOperator,
  file: string,
  work: (usersFile: UsersFile) => Promise<T>,
): Promise<T> {
  const { usersFile } = await load()
  try {
    return await work(usersFile)
  } catch (err) {
    if (!(err instanceof usersFile.UsersFileInvalid)) throw err
    const text = await readTextFile(io, path.resolve(file), MAX_BYTES).catch(() => '{}') // that is among the problems, too
    const fault = findJsonFault(text)
    const problems = fault
      ? [{ message: `not JSON: ${fault.message}`, position: positionAt(text, fault.offset) }]
      : err.problems.map((message) => ({ message, position: null }))
    throw new FileProblemsError(
      file,
      problems.map((problem) => ({ path: '', ...problem })),
    )
  }
}

/** Edits one user of a file and says what became of it. */
export async function editUsers(
  io: Io,
  load: LoadOperator,
  file: string,
  name: string,
  edit: Parameters<UsersFile['editUsersFile']>[2],
): Promise<void> {
  const { change, users, wasOpen } = await withUsersFile(io, load, file, (usersFile) =>
    usersFile.editUsersFile(file, name, edit),
  )
  const what = change === 'none' ? 'is as it was' : `is ${change}`
  io.err(printable(`${JSON.stringify(name)} ${what}; ${file} has ${counted(users, 'user')}.`))
  if (wasOpen && change !== 'none')
    io.err('Others could read the file; now only its owner and group can, as it was for them.')
}
