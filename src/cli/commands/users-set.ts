import { type Command, Option } from 'commander'
import { editUsers } from '../edit-users.ts'
import { type Io, MisuseError, printable } from '../io.ts'
import type { LoadOperator, Operator } from '../operator.ts'
import { openToRead, readUpTo } from '../text-file.ts'

interface Options {
  passwordFile?: string
  generate?: true
  scram?: boolean
  group?: string[]
  role?: string[]
  scope?: string[]
  clientId?: string[]
  type?: string
  org?: string
}

const MAX_PASSWORD_BYTES = 1024
const SHORT = 8

const HELP = `
The password is read from a file or from standard input, never from an argument, which others on this machine could see; one
line break at its end is taken off. It is kept as argon2id. With --scram the keys for SCRAM-SHA-256 and SCRAM-SHA-512 are kept as
well, for MQTT 5 clients that log in that way; a user who has them gets new ones with every new password. Should the file leak,
guessing from them is cheaper than from argon2id: make such a password with --generate.

A list that is given replaces the one that was there; an empty text empties it (--group '').

Examples:
  $ sealwire users set users.json sensor-1 --generate --group sensors > sensor-1.password
  $ pass show mqtt/pump | sealwire users set users.json pump --password-file - --client-id pump-1
  $ sealwire users set users.json sensor-1 --group sensors --group hall-2`

const several = (value: string, before: string[] | undefined) => [...(before ?? []), value]
const list = (values: readonly string[]) => values.filter((value) => value !== '')

async function readPassword(io: Io, file: string): Promise<Uint8Array> {
  const limit = MAX_PASSWORD_BYTES + 3
  let bytes: Uint8Array
  if (file === '-') bytes = await io.stdin(limit)
  else {
    await using handle = await openToRead(file)
    bytes = await readUpTo(handle, limit)
  }
  const end = bytes.at(-1) !== 0x0a ? 0 : bytes.at(-2) === 0x0d ? 2 : 1
  const password = bytes.subarray(0, bytes.length - end)
  if (password.length === 0) throw new MisuseError('The password is empty.')
  if (password.length > MAX_PASSWORD_BYTES) throw new MisuseError(`The password is over ${MAX_PASSWORD_BYTES} bytes.`)
  if (password.length < SHORT) io.err(`warning: a password of under ${SHORT} bytes is guessed in no time`)
  return password
}

async function newPassword(
  io: Io,
  { usersFile }: Operator,
  { passwordFile, generate }: Options,
): Promise<Uint8Array | undefined> {
  if (passwordFile !== undefined && generate) throw new MisuseError('Give --password-file or --generate, not both.')
  if (passwordFile !== undefined) return readPassword(io, passwordFile)
  return generate ? new TextEncoder().encode(usersFile.generatePassword()) : undefined
}

/** The members that options name; those that they do not stay as they are. */
function membersOf({ group, role, scope, clientId, type, org }: Options): Record<string, unknown> {
  return {
    ...(type !== undefined && { type }),
    ...(org !== undefined && { org }),
    ...(group && { groups: list(group) }),
    ...(role && { roles: list(role) }),
    ...(scope && { scopes: list(scope) }),
    ...(clientId && { client_ids: list(clientId) }),
  }
}

const withoutEmpty = (record: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.entries(record).filter(
      ([name, value]) => !(name === 'client_ids' && Array.isArray(value) && value.length === 0),
    ),
  )

/** `sealwire users set FILE NAME` makes a user, or changes what is said of it. */
export function addUsersSet(users: Command, io: Io, load: LoadOperator): void {
  users
    .command('set <file> <name>')
    .description('make a user, or change the password, the groups or other members of one')
    .option('--password-file <file>', 'holds the password; - is standard input')
    .option('--generate', 'make a password of 192 bits and print it, this once')
    .option('--scram', 'keep keys for SCRAM as well')
    .option('--no-scram', 'keep none')
    .option('--group <name>', 'a group; again for another', several)
    .option('--role <name>', 'a role; again for another', several)
    .option('--scope <name>', 'a scope; again for another', several)
    .option('--client-id <id>', 'a client id that may use this name; again for another; without any, all may', several)
    .addOption(new Option('--type <type>', 'what the client is').choices(['device', 'application', 'service', 'user']))
    .option('--org <name>', 'the organisation that it belongs to')
    .addHelpText('after', HELP)
    .action(async (file: string, name: string, options: Options) => {
      const operator = await load()
      const password = await newPassword(io, operator, options)
      const { usersFile } = operator
      const hash = password && (await usersFile.passwordMember(password))
      let isDisabled = false
      await editUsers(io, load, file, name, async (record) => {
        if (!record && !password) throw new MisuseError('A new user needs --password-file or --generate.')
        const { scram: old, ...rest } = record ?? {}
        const wantsScram = options.scram ?? (Array.isArray(old) && old.length > 0)
        if (options.scram && !password)
          throw new MisuseError('--scram needs the password: add --password-file or --generate.')
        const verifiers = password && wantsScram && (await usersFile.scramMember(password))
        isDisabled = record?.['enabled'] === false
        return withoutEmpty({ ...(wantsScram ? record : rest), ...hash, ...verifiers, ...membersOf(options) })
      })
      if (isDisabled)
        io.err(printable(`${JSON.stringify(name)} is disabled; to let it in: sealwire users enable ${file} ${name}`))
      if (options.generate && password) io.out(new TextDecoder().decode(password))
    })
}
