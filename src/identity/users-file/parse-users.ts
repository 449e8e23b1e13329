import type { z } from 'zod'
import { decodeUtf8 } from '../../core/bytes.ts'
import { AppError } from '../../core/errors.ts'
import { type JsonLimits, parseStrictJson } from '../../core/strict-json.ts'
import { recordSchema, type User, userOf } from './user.ts'

/** What is wrong with a users file, each line with its place; no line quotes a value. */
export class UsersFileInvalid extends Error {
  override readonly name = 'UsersFileInvalid'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('; '))
    this.problems = problems
  }
}

export const MAX_USERS_FILE_BYTES = 64 * 1024 * 1024
export const MAX_USERS = 200_000
/** What a file of so many users needs. */
export const USERS_FILE_JSON: JsonLimits = { maxDepth: 8, maxMembers: 8_000_000 }
const MAX_PROBLEMS = 20

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function parseJson(text: string): unknown {
  try {
    return parseStrictJson(text, USERS_FILE_JSON)
  } catch (err) {
    if (err instanceof AppError) throw new UsersFileInvalid([err.message.replace(/^Body: /, '').replace(/\.$/, '')])
    throw err
  }
}

/** `users[3].groups[0]` or `users["a name"].enabled`, then what is wrong there. */
function linesOf(place: string, { issues }: z.ZodError): string[] {
  return issues.map(({ path, message }) => {
    const members = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
    return `${place}${members}: ${message}`
  })
}

function userAt(place: string, record: unknown): User | string[] {
  const { data, error } = recordSchema.safeParse(record)
  return data ? userOf(data) : linesOf(place, error)
}

/** A list of records, each with its `username`, or an object whose members are named after the users. */
function* usersOf(users: object): Generator<User | string[]> {
  if (Array.isArray(users)) {
    for (const [i, record] of users.entries()) yield userAt(`users[${i}]`, record)
    return
  }
  for (const [username, record] of Object.entries(users)) {
    const place = `users[${JSON.stringify(username.slice(0, 64).toWellFormed())}]`
    if (!isObject(record)) yield [`${place}: must be an object`]
    else if (Object.hasOwn(record, 'username')) yield [`${place}: has its name already, so no \`username\``]
    else yield userAt(place, { username, ...record })
  }
}

/**
 * Reads a users file: `{"users": [{"username", "password_hash", …}]}` or `{"users": {"<username>": {"password_hash", …}}}`.
 * Unknown and duplicate members, and two users of one name, are problems; either all users are good or none is taken.
 *
 * @throws {UsersFileInvalid} that names the first problems with their places
 */
export function parseUsers(text: string): User[] {
  const document = parseJson(text)
  const problems: string[] = []
  if (!isObject(document)) throw new UsersFileInvalid(['must be an object with the member `users`'])
  const { users, ...others } = document
  for (const member of Object.keys(others))
    problems.push(`${JSON.stringify(member.slice(0, 64))}: there is no such member`)
  if (!isObject(users) && !Array.isArray(users)) {
    throw new UsersFileInvalid([...problems.slice(0, MAX_PROBLEMS), 'users: must be a list or an object'])
  }
  const count = Array.isArray(users) ? users.length : Object.keys(users).length
  if (count > MAX_USERS) throw new UsersFileInvalid([`users: must be at most ${MAX_USERS}`])

  const good = new Map<string, User>()
  for (const read of usersOf(users)) {
    if (problems.length >= MAX_PROBLEMS) break
    if (Array.isArray(read)) problems.push(...read)
    else if (good.has(read.username)) problems.push(`users: ${JSON.stringify(read.username)} is there twice`)
    else good.set(read.username, read)
  }
  if (problems.length > 0) throw new UsersFileInvalid(problems.slice(0, MAX_PROBLEMS))
  return [...good.values()]
}

/** The same for the bytes of a file. @throws {UsersFileInvalid} */
export function decodeUsers(bytes: Uint8Array): User[] {
  let text: string
  try {
    text = decodeUtf8(bytes)
  } catch {
    throw new UsersFileInvalid(['is not UTF-8'])
  }
  return parseUsers(text.replace(/^\uFEFF/, ''))
}
