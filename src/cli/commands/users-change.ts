import type { Command } from 'commander'
import { editUsers } from '../edit-users.ts'
import { type Io, MisuseError } from '../io.ts'
import type { LoadOperator } from '../operator.ts'

type RecordOf = Readonly<Record<string, unknown>>

const unknown = (name: string) => new MisuseError(`There is no user ${JSON.stringify(name)} in the file.`)

function addSwitch(users: Command, io: Io, load: LoadOperator, verb: 'disable' | 'enable', description: string): void {
  const enabled = verb === 'enable'
  const edit = (name: string) => (record: RecordOf | undefined) => {
    if (!record) throw unknown(name)
    return (record['enabled'] ?? true) === enabled ? record : { ...record, enabled }
  }
  users
    .command(`${verb} <file> <name>`)
    .description(description)
    .action((file: string, name: string) => editUsers(io, load, file, name, edit(name)))
}

/** `sealwire users disable FILE NAME` keeps a user who may not come in. */
export function addUsersDisable(users: Command, io: Io, load: LoadOperator): void {
  addSwitch(users, io, load, 'disable', 'keep a user, but let nobody in by it')
}

/** `sealwire users enable FILE NAME` takes that back. */
export function addUsersEnable(users: Command, io: Io, load: LoadOperator): void {
  addSwitch(users, io, load, 'enable', 'let a disabled user in again')
}

/** `sealwire users remove FILE NAME`. A name that is gone is unknown, so that the next provider may know it. */
export function addUsersRemove(users: Command, io: Io, load: LoadOperator): void {
  const edit = (name: string) => (record: RecordOf | undefined) => {
    if (!record) throw unknown(name)
    return undefined
  }
  users
    .command('remove <file> <name>')
    .description('delete a user; the next provider of a hook may then know the name, so disable it to keep it out')
    .action((file: string, name: string) => editUsers(io, load, file, name, edit(name)))
}
